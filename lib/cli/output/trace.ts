/** The lines of a trace: what was read and written, with its time. */

import type { Trace, TraceEvent } from "../../net/traced.ts";
import { quote } from "../../wire/quote.ts";
import type { Report } from "./report.ts";
import { columnsOf } from "./standard_output.ts";

/** Characters that take two columns of a terminal, or nearly so. */
const WIDE =
  /[\p{sc=Han}\p{sc=Hangul}\p{sc=Hiragana}\p{sc=Katakana}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60]/u;
/** The least width of data, in a terminal that is too narrow for a line, in characters. */
const LEAST_SHOWN = 12;
/** The width of a line where there is no terminal, in characters. */
const COLUMNS = 80;

/** Reports a client's reads and writes: as events, or as lines that are printed elsewhere. */
export function reportTrace(report: Report, print: (line: string) => void): Trace {
  const text = new TraceText("self", () => columnsOf(Deno.stderr));
  return (event) => {
    if (report.options.style !== "json") return print(text.line(event, report.server));
    const { kind, from, data } = event;
    if (kind !== "data") return;
    const name = from === "peer" ? "received" : "sent";
    report.print({ event: name, bytes: data.length, data }).catch(() => {}); // the next one fails too
  };
}

/** Formats the lines of one program's trace. */
export class TraceText {
  #addressWidth = 0; // of the longest so far: lines are aligned
  #countWidth = 2;

  /**
   * @param client the end that is the client: what it sends is marked `>`
   * @param columns the width of the terminal; undefined if there is none
   */
  constructor(readonly client: TraceEvent["from"], readonly columns: () => number | undefined) {}

  /** Formats a read or a write, or the end of a connection. */
  line({ kind, from, data, time }: TraceEvent, address: string): string {
    const mark = kind === "connected" ? " " : from === this.client ? ">" : "<";
    const what = kind === "half-close" ? "end (half-close)" : kind;
    if (kind !== "data") return this.#line(time, address, mark, what);
    const count = String(data.length);
    this.#countWidth = Math.max(this.#countWidth, count.length);
    const unit = data.length === 1 ? "byte " : "bytes";
    return this.#line(time, address, mark, `${count.padStart(this.#countWidth)} ${unit}`, data);
  }

  /** Formats what is neither a read nor a write, such as a message. */
  note(address: string, text: string, data?: Uint8Array): string {
    return this.#line(performance.now(), address, " ", text, data);
  }

  #line(time: number, address: string, mark: string, text: string, data?: Uint8Array): string {
    this.#addressWidth = Math.max(this.#addressWidth, address.length);
    const seconds = (time / 1000).toFixed(3).padStart(7);
    const line = `${seconds} ${address.padEnd(this.#addressWidth)} ${mark} ${text}`;
    return data ? `${line} ${this.#cut(quote(data), line.length + 1)}` : line;
  }

  /** Shortens a quoted text to the rest of the line, between characters and escapes. */
  #cut(quoted: string, start: number): string {
    const room = Math.max((this.columns() ?? COLUMNS) - start, LEAST_SHOWN);
    let width = 0;
    let shown = "";
    for (const [piece] of quoted.matchAll(/\\x..|\\.|./gu)) {
      width += WIDE.test(piece) ? 2 : piece.length;
      if (width > room) return `${shown}…"`;
      if (width <= room - 2) shown += piece;
    }
    return quoted;
  }
}
