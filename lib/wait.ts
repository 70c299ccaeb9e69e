/** To wait, and to be called off. */

/** Waits this long, in ms. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Lets the event loop turn once: what is ready is heard first. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Sleeps that can be ended all at once. */
export class Sleeps {
  readonly #wakes = new Set<() => void>();
  #isOver = false;

  /** Waits this long, in ms, or until {@linkcode end}. */
  sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#wakes.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, this.#isOver ? 0 : milliseconds);
      this.#wakes.add(wake);
    });
  }

  /** Ends them, and all that are begun from now on. */
  end(): void {
    this.#isOver = true;
    for (const wake of this.#wakes) wake();
  }
}

/**
 * After a pause the event loop turns this often before it is true that nothing came: a process
 * that gets little processor time runs a timer that is due before it has looked for input.
 */
const TURNS = 3;

/** Waits this long, in ms, and until the runtime has looked for input since. */
export async function pause(milliseconds: number): Promise<void> {
  await sleep(milliseconds);
  for (let turn = 0; turn < TURNS; turn++) await sleep(0);
}

/** Whether a promise is still pending after this many milliseconds, and after the runtime has looked for input. */
export function isPending(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    let turns = TURNS;
    const late = () => turns-- > 0 ? timer = setTimeout(late, 0) : resolve(true);
    let timer = setTimeout(late, milliseconds);
    const settled = () => {
      clearTimeout(timer);
      resolve(false);
    };
    promise.then(settled, settled);
  });
}

/**
 * Waits for a promise, but not beyond a time, in ms.
 * @param why the error's message when the time is over
 * @param over nobody waits any more once it settles
 */
export async function inTime<T>(
  promise: T | Promise<T>,
  milliseconds: number,
  why: string,
  over: Promise<T | void>,
): Promise<T | void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(why)), milliseconds);
  try {
    return await Promise.race([promise, late, over]);
  } finally {
    clearTimeout(timer);
  }
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
