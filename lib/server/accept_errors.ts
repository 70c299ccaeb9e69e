/** Errors of accept(), by how to handle them. */

const EXHAUSTED = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/**
 * Makes Deno 2.9 load what it can't load without a free descriptor, which would end the process.
 * These are the source maps of the files in an error's stack, here the callers, and a signal listener.
 */
export function prepareForNoDescriptors(): void {
  void new Error().stack;
  try {
    const listener = () => {};
    Deno.addSignalListener("SIGWINCH", listener);
    Deno.removeSignalListener("SIGWINCH", listener);
  } catch {
    // This system has no such signal.
  }
}

/** Returns true if a connection died in the listen queue: the next one can be accepted at once. */
export function isDeadConnection(error: unknown): boolean {
  const { ConnectionAborted, ConnectionReset, NotConnected } = Deno.errors;
  return [ConnectionAborted, ConnectionReset, NotConnected].some((Death) => error instanceof Death);
}

/** Returns true if descriptors or memory are missing: accept() will fail again. */
export function isOutOfResources(error: unknown): boolean {
  return error instanceof Error && "code" in error && EXHAUSTED.includes(String(error.code));
}
