/** Time limits of waits and writes, and what the error of a failed one shows. */

import { checkOne, timeRule } from "../checks.ts";

let general = 20_000;

/** Options of a single wait or write. */
export interface Wait {
  /** Milliseconds until it fails. @default {20000} or as set by {@linkcode setTimeLimit} */
  readonly timeout?: number;
}

/**
 * Sets the time limit of every wait and write from now on, in milliseconds: 20,000 unless set. A
 * wait that succeeds never takes longer because of it, so be generous where machines are slow.
 *
 * ```ts
 * import { Program, setTimeLimit } from "@readback/readback/testing";
 *
 * setTimeLimit(60_000); // for all
 * await using program = new Program(["sh", "-c", "echo ready"]);
 * await program.until("ready", { timeout: 5_000 }); // for this one
 * ```
 *
 * @throws {RangeError} if a timer can't wait that long
 */
export function setTimeLimit(milliseconds: number): void {
  checkOne("milliseconds", milliseconds, timeRule);
  general = milliseconds;
}

const LATE = Symbol("late");

/**
 * Starts the time limit of one wait or write.
 * @param describe returns the error's message, from words such as `in 50 ms`
 */
export function startTimeLimit({ timeout = general }: Wait, describe: (time: string) => string) {
  checkOne("timeout", timeout, timeRule);
  const { promise: late, resolve } = Promise.withResolvers<typeof LATE>();
  const timer = setTimeout(resolve, timeout, LATE);
  return {
    /**
     * Waits for a promise.
     * @throws {Error} at the time limit
     */
    async before<T>(promise: Promise<T>): Promise<T> {
      const first = await Promise.race([promise, late]);
      if (first !== LATE) return first;
      // Created here and not by the timer, so that its stack shows the line of the test that waited.
      throw new Error(describe(`in ${timeout} ms`));
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

/** Returns words or a pattern as a test's source has them. */
export const asWritten = (words: string | RegExp): string =>
  typeof words === "string" ? JSON.stringify(words) : String(words);

/** Leaves out the middle of a text that is longer than `most` characters. */
export function shortened(text: string, most = 10_000): string {
  const left = text.length - most;
  if (left <= 0) return text;
  return `${text.slice(0, most / 2)}\n... ${left} characters ...\n${text.slice(-most / 2)}`;
}
