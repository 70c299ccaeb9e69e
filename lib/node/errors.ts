/** The classes of Deno's errors that the library distinguishes, for Node. */

const NAMES =
  ("AddrInUse AddrNotAvailable AlreadyExists BadResource BrokenPipe ConnectionAborted " +
    "ConnectionRefused ConnectionReset Interrupted NotCapable NotConnected NotFound PermissionDenied " +
    "UnexpectedEof WouldBlock").split(" ");

const errors: typeof Deno.errors = Object.assign(
  {},
  ...NAMES.map((name) => ({
    [name]: class extends Error {
      static {
        this.prototype.name = name;
      }
    },
  })),
);

export { errors, errors as "Deno.errors" };
