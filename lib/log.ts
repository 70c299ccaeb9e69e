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

const encoder = new TextEncoder();

/** Buffers lines and writes them in the background; drops and counts the excess. */
export class Log {
  #batches = [""];
  #dropped = 0;
  #isFailing = false;
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
    if (this.#batches.length > MAX_BATCHES) {
      this.#dropped++;
      return;
    }
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
    for (let batch; (batch = this.#batches.shift() ?? "") !== "";) {
      await this.#write(encoder.encode(batch));
      if (this.#dropped > 0) this.#add(this.account(this.#dropped));
      this.#dropped = 0;
    }
    this.#writing = undefined;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(await this.out.write(bytes));
        this.#isFailing = false;
      } catch (error) {
        if (!this.#isFailing) this.onFailure(error);
        this.#isFailing = true;
        await sleep(RETRY_PAUSE);
      }
    }
  }
}
