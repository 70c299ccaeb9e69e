/** A time limit that a process does not exceed by being paused itself. */

import { timeLimit } from "../wait.ts";

/** The most looks at input that was pending: a peer that never stops sending is not waited for. */
const MAX_LOOKS = 50;

/** What a deadline waits for. */
export interface DeadlineOptions {
  /** Time counts only while this is true. @default {() => true} */
  readonly isWaiting?: (() => boolean) | undefined;
  /** The number of reads until now: pending input is read before the time is up. @default {() => 0} */
  readonly reads?: (() => number) | undefined;
}

/** Calls back once a time has passed since it was made or restarted. Disposing of it cancels it. */
export class Deadline implements Disposable {
  #cancel = () => {};
  #since = performance.now();

  /** @param milliseconds 0 is no limit */
  constructor(
    readonly milliseconds: number,
    readonly passed: () => void,
    readonly options: DeadlineOptions = {},
  ) {
    if (milliseconds > 0) this.#wait(milliseconds);
  }

  /** Starts the time anew. */
  restart(): void {
    this.#since = performance.now();
  }

  #wait(milliseconds: number, looks = 0): void {
    const reads = this.options.reads?.();
    this.#cancel = timeLimit(milliseconds, () => {
      if (this.options.isWaiting?.() === false) this.restart();
      const left = this.#since + this.milliseconds - performance.now();
      if (left > 0) this.#wait(left);
      else if (reads !== this.options.reads?.() && looks < MAX_LOOKS) this.#wait(0, looks + 1);
      else this.passed();
    });
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }
}
