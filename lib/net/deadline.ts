/** A time by which something must have happened. */

/** Calls back once this long has passed since it was made or put off; disposing of it calls it off. */
export class Deadline implements Disposable {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #since = performance.now();

  /**
   * @param milliseconds 0 is never
   * @param waits whether anything is waited for; time without does not count
   */
  constructor(
    readonly milliseconds: number,
    readonly passed: () => void,
    readonly waits: () => boolean = () => true,
  ) {
    if (milliseconds > 0) this.#wait(milliseconds);
  }

  /** Starts it anew. */
  putOff(): void {
    this.#since = performance.now();
  }

  #wait(milliseconds: number): void {
    this.#timer = setTimeout(() => {
      if (!this.waits()) this.putOff();
      const left = this.#since + this.milliseconds - performance.now();
      if (left > 0) this.#wait(left);
      else this.passed();
    }, milliseconds);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
