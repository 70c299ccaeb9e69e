/** The classes of Deno's errors that the library distinguishes, for Node. */

const NAMES =
  ("AddrInUse AddrNotAvailable AlreadyExists BadResource BrokenPipe ConnectionAborted " +
    "ConnectionRefused ConnectionReset Interrupted NotCapable NotConnected NotFound PermissionDenied " +
    "UnexpectedEof WouldBlock").split(" ");

const errors = Object.fromEntries(NAMES.map((name) => {
  class DenoError extends Error {}
  DenoError.prototype.name = name;
  Object.defineProperty(DenoError, "name", { value: name }); // node:assert prints it
  return [name, DenoError];
})) as unknown as typeof Deno.errors;

export { errors, errors as "Deno.errors" };
