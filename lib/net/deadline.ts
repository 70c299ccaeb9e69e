/** A time limit that a process does not exceed by being paused itself. */

import { timeLimit } from "../wait.ts";

/** Calls back once a time has passed since it was made or restarted. Disposing of it cancels it. */
export class Deadline implements Disposable {
  #cancel = () => {};
  #since = performance.now();

  /**
   * @param milliseconds 0 is no limit
   * @param isWaiting time counts only while it returns true
   */
  constructor(
    readonly milliseconds: number,
    readonly passed: () => void,
    readonly isWaiting: () => boolean = () => true,
  ) {
    if (milliseconds > 0) this.#wait(milliseconds);
  }

  /** Starts the time anew. */
  restart(): void {
    this.#since = performance.now();
  }

  #wait(milliseconds: number): void {
    this.#cancel = timeLimit(milliseconds, () => {
      if (!this.isWaiting()) this.restart();
      const left = this.#since + this.milliseconds - performance.now();
      if (left > 0) this.#wait(left);
      else this.passed();
    });
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }
}
