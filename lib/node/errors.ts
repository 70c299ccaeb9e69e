/** The classes of Deno's errors that the library distinguishes, for Node. */

function named(name: string): ErrorConstructor {
  const known = { [name]: class extends Error {} };
  const Named = known[name] as unknown as ErrorConstructor;
  Named.prototype.name = name;
  return Named;
}

const NAMES = [
  "AddrInUse",
  "AddrNotAvailable",
  "AlreadyExists",
  "BadResource",
  "BrokenPipe",
  "ConnectionAborted",
  "ConnectionRefused",
  "ConnectionReset",
  "Interrupted",
  "NotCapable",
  "NotConnected",
  "NotFound",
  "PermissionDenied",
  "UnexpectedEof",
  "WouldBlock",
] as const;

const errors = Object.fromEntries(NAMES.map((name) => [name, named(name)])) as Record<
  typeof NAMES[number],
  ErrorConstructor
>;

export { errors, errors as "Deno.errors" };
