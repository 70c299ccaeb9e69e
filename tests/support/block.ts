/** A process that does nothing for a while. */

/** Blocks this process, as a stop by SIGSTOP does: its timers are due before it has polled for input. */
export function block(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
