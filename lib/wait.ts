/** To wait, and to be called off. */

/**
 * The longest that a timer waits, in ms: about 24.8 days. More would be over at once.
 */
export const LONGEST: number = 2 ** 31 - 1;

/** Waits so long, in ms. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Calls `stop` once a signal is aborted, at once if it is already.
 * @return lets go of the signal, which may live longer than what it stops
 */
export function onAbort(signal: AbortSignal | undefined, stop: () => void): () => void {
  if (signal?.aborted) stop();
  else signal?.addEventListener("abort", stop, { once: true });
  return () => signal?.removeEventListener("abort", stop);
}
