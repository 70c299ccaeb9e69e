/** Connections that can't be accepted: those that died in the queue, and those there is no descriptor for. */

const EXHAUSTED = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/**
 * Does what would end the process if it were done for the first time without a free descriptor, in
 * Deno 2.9: makes an error's stack, and, under `deno run`, listens for a signal.
 */
export function prepareForNoDescriptors(): void {
  void new Error().stack;
  try {
    const none = () => {};
    Deno.addSignalListener("SIGWINCH", none);
    Deno.removeSignalListener("SIGWINCH", none);
  } catch {
    // There is no such signal here.
  }
}

/** Whether a connection died in the listen queue: no reason to wait for the next one. */
export function isDeadConnection(error: unknown): boolean {
  const { ConnectionAborted, ConnectionReset, NotConnected } = Deno.errors;
  return [ConnectionAborted, ConnectionReset, NotConnected].some((Death) => error instanceof Death);
}

/** Whether descriptors or memory are missing. */
export function isOutOfResources(error: unknown): boolean {
  return error instanceof Error && "code" in error && EXHAUSTED.includes(String(error.code));
}
