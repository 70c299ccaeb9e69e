/** A time limit that a process does not exceed by being paused itself. */

import { timeLimit } from "../wait.ts";

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
