/** Timers that look at pending input before they fire, and waits that can be cancelled. */

/** Waits, in ms, or until a signal is aborted. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  const removeListener = onAbort(signal, resolve);
  await promise;
  clearTimeout(timer);
  removeListener();
}

/** Waits for one turn of the event loop: input that is ready is processed first. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * After so many turns of the event loop, pending input has been read. A process that got no
 * processor time, or was stopped, runs timers that are due before it polls for input.
 */
const TURNS = 3;

/**
 * Calls back after a time, in ms, and after the runtime has polled for input since.
 * @returns cancels the call
 */
export function timeLimit(milliseconds: number, passed: () => void): () => void {
  let turns = TURNS;
  const poll = () => {
    if (turns-- > 0) timer = setTimeout(poll, 0);
    else passed();
  };
  let timer = setTimeout(poll, milliseconds);
  return () => clearTimeout(timer);
}

/** The most looks at pending input before the time is up: a peer that never stops sending is not waited for. */
const MAX_LOOKS = 50;

/** Calls back once a time has passed since it was made or restarted. Disposing of it cancels it. */
export class Deadline implements Disposable {
  #cancel = () => {};
  #since = performance.now();

  /**
   * @param milliseconds 0 is no limit
   * @param isWaiting time counts only while it returns true
   * @param reads returns the number of reads until now: what is pending is read before the time is up
   */
  constructor(
    readonly milliseconds: number,
    readonly passed: () => void,
    readonly isWaiting: () => boolean = () => true,
    readonly reads: () => number = () => 0,
  ) {
    if (milliseconds > 0) this.#wait(milliseconds);
  }

  /** Starts the time anew. */
  restart(): void {
    this.#since = performance.now();
  }

  #wait(milliseconds: number, looks = 0): void {
    const before = this.reads();
    this.#cancel = timeLimit(milliseconds, () => {
      if (!this.isWaiting()) this.restart();
      const left = this.#since + this.milliseconds - performance.now();
      if (left > 0) this.#wait(left);
      else if (before !== this.reads() && looks < MAX_LOOKS) this.#wait(0, looks + 1);
      else this.passed();
    });
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }
}

/** Waits, in ms, and until the runtime has polled for input since. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => timeLimit(milliseconds, resolve));
}

/** Tests if a promise is still pending after a time, in ms, and after the runtime has polled for input. */
export function isPending(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const cancel = timeLimit(milliseconds, () => resolve(true));
  const settled = () => false;
  return Promise.race([promise.then(settled, settled), late]).finally(cancel);
}

/**
 * Waits until nothing new has been counted for a while.
 * @param count returns how many arrived so far
 * @param quiet milliseconds without an arrival
 * @param most milliseconds to wait in all; time in which the process was busy does not count
 */
export async function untilQuiet(count: () => number, quiet: number, most: number): Promise<void> {
  let before = -1;
  for (let waited = 0; before !== count() && waited < most; waited += quiet) {
    before = count();
    await pause(quiet);
  }
}

/**
 * Waits for a promise up to a time limit, in ms.
 * @param reason the error's message if the time limit passes
 * @param over resolves if nobody waits any more
 * @throws {Error} once the time limit has passed
 */
export async function inTime<T>(promise: T, limit: number, reason: string, over: Promise<void>) {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const cancel = timeLimit(limit, () => reject(new Error(reason)));
  return await Promise.race([promise, late, over]).finally(cancel);
}

/**
 * Calls `stop` when a signal is aborted, at once if it already is.
 * @returns removes the listener from the signal, which may outlive the caller
 */
export function onAbort(signal: AbortSignal | undefined, stop: () => void): () => void {
  if (signal?.aborted) stop();
  else signal?.addEventListener("abort", stop, { once: true });
  return () => signal?.removeEventListener("abort", stop);
}

/**
 * Waits for a promise, unless a signal is aborted before.
 * @throws the signal's reason
 */
export function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const removeListener = onAbort(signal, () => reject(signal?.reason));
  return Promise.race([promise, aborted]).finally(removeListener);
}
