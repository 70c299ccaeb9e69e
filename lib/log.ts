/** Lines to a reader that may be slow, stop or go away: telling one never waits. */

import { isPending, sleep } from "./wait.ts";

/** What is written at once, in characters: to encode more would hold others up. */
const BATCH = 65536;
/** What is held for a reader that is behind, in batches; past it lines are only counted. */
const MOST_HELD = 32;
/** The pause before a write that failed is tried again, in ms. */
const PAUSE = 1000;
/** How long the last lines may take to be read, in ms. */
const LAST_LINES = 1000;

const encoder = new TextEncoder();

/** A log of lines, written in batches behind the teller's back, bounded. */
export class Log {
  #held = [""]; // batches
  #untold = 0;
  #failing = false;
  #writing: Promise<void> | undefined;

  /**
   * @param out where the lines go
   * @param account the line that says how many could not be told
   * @param onFailure is told that nothing can be written for now; once, until something can. Who
   *   writes what it is told must do so through another log: to write may block, and throw
   */
  constructor(
    readonly out: { write(bytes: Uint8Array): Promise<number> },
    readonly account: (untold: number) => string,
    readonly onFailure: (error: unknown) => void = () => {},
  ) {}

  /** Tells a line. */
  line(text: string): void {
    if (this.#held.length > MOST_HELD) {
      this.#untold++;
      return;
    }
    this.#hold(text);
    this.#writing ??= this.#drain();
  }

  /** Waits until all is written; where nobody reads, not for long. */
  async flush(): Promise<void> {
    if (this.#writing !== undefined) await isPending(this.#writing, LAST_LINES);
  }

  #hold(text: string): void {
    const last = this.#held.pop() ?? "";
    this.#held.push(`${last}${text}\n`);
    if (last.length + text.length > BATCH) this.#held.push("");
  }

  async #drain(): Promise<void> {
    for (let batch; (batch = this.#held.shift() ?? "") !== "";) {
      await this.#write(encoder.encode(batch));
      if (this.#untold === 0) continue;
      const untold = this.#untold;
      this.#untold = 0;
      this.#hold(this.account(untold));
    }
    this.#writing = undefined;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(await this.out.write(bytes));
        this.#failing = false;
      } catch (error) {
        if (!this.#failing) this.onFailure(error);
        this.#failing = true;
        await sleep(PAUSE);
      }
    }
  }
}
