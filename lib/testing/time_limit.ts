/** How long a wait may take, and what a failed one shows. */

import { checkOne, timeRule } from "../checks.ts";

/** What no wait should take, in ms: only a failure does. */
let general = 20_000;

/** What a single wait may have of its own. */
export interface Wait {
  /** How long it may take, in ms. Without, as long as {@linkcode setTimeLimit} says, or 20 s. */
  readonly timeout?: number;
}

/**
 * Sets how long every wait may take from here on, in ms: 20,000 unless set. A wait that succeeds
 * never takes longer because of it, so be generous where machines are slow.
 * @throws {RangeError} if that is no time that a timer can wait
 *
 * ```ts
 * import { Program, setTimeLimit } from "@readback/readback/testing";
 *
 * setTimeLimit(60_000); // for all
 * await using program = new Program(["sh", "-c", "echo ready"]);
 * await program.until("ready", { timeout: 5_000 }); // for this one
 * ```
 */
export function setTimeLimit(milliseconds: number): void {
  checkOne("patience", milliseconds, timeRule);
  general = milliseconds;
}

/** The end of a wait's patience. */
export class TimeLimit implements Disposable {
  readonly #late = Promise.withResolvers<void>();
  readonly #timer;
  readonly #patience;

  /** @param complain what is wrong once it is over, told in what time */
  constructor({ timeout: patience = general }: Wait, readonly complain: (time: string) => string) {
    checkOne("patience", patience, timeRule);
    this.#patience = patience;
    this.#timer = setTimeout(() => this.#late.resolve(), patience);
  }

  /** Waits for a promise, but no longer than the patience lasts. */
  async before<T>(promise: Promise<T>): Promise<T> {
    const late = this.#late.promise.then(() => this);
    const first = await Promise.race([promise, late]);
    if (first !== this) return first as T;
    // Made here and not by the timer, its stack shows the line of the test that waited.
    throw new Error(this.complain(`in ${this.#patience} ms`));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Words or a pattern as a pattern. */
export function patternOf(words: string | RegExp): RegExp {
  return typeof words === "string" ? new RegExp(RegExp.escape(words)) : words;
}

/** Words or a pattern as their test has them. */
export function asWritten(words: string | RegExp): string {
  return typeof words === "string" ? JSON.stringify(words) : String(words);
}

/** A text of which the middle is left out, should it be too long to read. */
export function shortened(text: string, most = 10_000): string {
  const left = text.length - most;
  if (left <= 0) return text;
  return `${text.slice(0, most / 2)}\n... ${left} characters ...\n${text.slice(-most / 2)}`;
}
