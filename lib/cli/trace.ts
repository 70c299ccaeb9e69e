/** The lines of a trace: what was read and written, with its time. */

import type { TraceEvent } from "../net/traced.ts";
import { quote } from "../wire/quote.ts";

/** The width of a line where there is no terminal, in characters. */
const COLUMNS = 80;

/** Formats the lines of one program's trace. */
export class TraceText {
  #addressWidth = 0; // of the longest so far: lines are aligned
  #countWidth = 2;

  /**
   * @param client the end that is the client: what it sends is marked `>`
   * @param columns the width of the terminal; undefined if there is none
   */
  constructor(
    readonly client: TraceEvent["from"],
    readonly columns: () => number | undefined,
  ) {}

  /** Formats a read or a write, or the end of a connection. */
  line({ kind, from, data, time }: TraceEvent, address: string): string {
    if (kind === "connected") return this.#line(time, address, " ", kind);
    const mark = from === this.client ? ">" : "<";
    if (kind !== "data") {
      return this.#line(time, address, mark, kind === "half-close" ? "end (half-close)" : kind);
    }
    const count = String(data.length);
    this.#countWidth = Math.max(this.#countWidth, count.length);
    return this.#line(time, address, mark, `${count.padStart(this.#countWidth)} bytes`, data);
  }

  /** Formats what is neither a read nor a write, such as a message. */
  note(address: string, text: string, data?: Uint8Array): string {
    return this.#line(performance.now(), address, " ", text, data);
  }

  #line(time: number, address: string, mark: string, text: string, data?: Uint8Array): string {
    this.#addressWidth = Math.max(this.#addressWidth, address.length);
    const seconds = (time / 1000).toFixed(3).padStart(7);
    const line = `${seconds} ${address.padEnd(this.#addressWidth)} ${mark} ${text}`;
    return data === undefined ? line : `${line} ${this.#cut(quote(data), line.length + 1)}`;
  }

  /** Shortens a quoted text to the rest of the line. */
  #cut(quoted: string, start: number): string {
    const room = Math.max((this.columns() ?? COLUMNS) - start, 12);
    return quoted.length <= room ? quoted : `${[...quoted].slice(0, room - 2).join("")}…"`;
  }
}
