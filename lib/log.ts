/** Lines for a reader that may be slow, stop or disappear. */

import { isPending, sleep } from "./wait.ts";

/** Characters per write: to encode more at once would delay other work. */
const BATCH = 65536;
/** The most batches that are buffered; further lines are counted and dropped. */
const MAX_BATCHES = 32;
/** Milliseconds before a failed write is tried again. */
const RETRY_PAUSE = 1000;
/** Milliseconds that the last lines may take to be written. */
const FLUSH_LIMIT = 1000;

/** Buffers lines and writes them in the background; drops and counts the excess. */
export class Log {
  #batches = [""];
  #dropped = 0;
  #writing: Promise<void> | undefined;

  /**
   * @param account returns the line that reports how many lines were dropped
   * @param onFailure called when writing fails, once until it succeeds again. It must not write to
   *   this log
   */
  constructor(
    readonly out: { write(bytes: Uint8Array): Promise<number> },
    readonly account: (dropped: number) => string,
    readonly onFailure: (error: unknown) => void = () => {},
  ) {}

  /** Adds a line. */
  line(text: string): void {
    if (this.#batches.length > MAX_BATCHES) return void this.#dropped++;
    this.#add(text);
    this.#writing ??= this.#drain();
  }

  /** Resolves once everything is written, or nobody has read it for a second. */
  async flush(): Promise<void> {
    if (this.#writing !== undefined) await isPending(this.#writing, FLUSH_LIMIT);
  }

  #add(text: string): void {
    const last = this.#batches.pop() ?? "";
    this.#batches.push(`${last}${text}\n`);
    if (last.length + text.length > BATCH) this.#batches.push("");
  }

  async #drain(): Promise<void> {
    let isFailing = false;
    for (let batch; (batch = this.#batches.shift() ?? "") !== "";) {
      for (let left = new TextEncoder().encode(batch); left.length > 0;) {
        try {
          left = left.subarray(await this.out.write(left));
          isFailing = false;
        } catch (error) {
          if (!isFailing) this.onFailure(error);
          isFailing = true;
          await sleep(RETRY_PAUSE);
        }
      }
      if (this.#dropped > 0) this.#add(this.account(this.#dropped));
      this.#dropped = 0;
    }
    this.#writing = undefined;
  }
}
