/** What the client tells of a conversation: to people in words, to programs as JSON lines. */

import { concat } from "../wire/framing.ts";
import { asJson, escape, quote } from "../wire/quote.ts";
import type { Output } from "./pipes.ts";
import type { ReportedEvent } from "../ping/events.ts";
import { type Figures, rounded, RoundTrips } from "../ping/round_trips.ts";

/** How replies are told: in the tutorial's words, alone, as ping(8) does, or as events. */
export type Style = "conversation" | "replies" | "ping" | "json";

/** What became of the messages. */
export interface Tally {
  readonly sent: number;
  readonly answered: number;
  readonly wrong?: number;
  readonly doubled?: number;
  readonly late?: number;
}

/** How a conversation went. */
export interface Summary extends Required<Tally>, Partial<Figures> {
  event: "summary";
  lost: number;
  /** How many connections were made. */
  connects: number;
  reason?: string;
}

/** An event as programs see it. `server` is an address as people write it, `reason` is why something failed. */
export type ClientEvent = { server: string } & (ReportedEvent | Summary);

/** Where it is told. */
export interface TextOutput extends Output {
  /** The width of the terminal, in characters; undefined where there is none. */
  readonly columns: number | undefined;
  /** It shows emphasis, by escape sequences. */
  readonly emphasis: boolean;
}

/** What a report is about, and how it is written. */
export interface ReportOptions {
  readonly style: Style;
  /** Tell the summary alone. @default {false} */
  readonly summaryAlone?: boolean;
  /** Only connections are made, and nothing is said. @default {false} */
  readonly connect?: boolean;
}

/** How wide a histogram is where there is no terminal, in characters. */
const COLUMNS = 80;
const encoder = new TextEncoder();
const NONE = new Uint8Array();
const NEWLINE = encoder.encode("\n");
const RECEIVED = "Client received data:";
const SAYS = "Server says:";

/** Tells of one conversation. */
export class Report {
  readonly style: Style;

  readonly #roundTrips = new RoundTrips();
  #unwritten: Uint8Array[] = [];
  #writing: Promise<void> | undefined;

  /** @param server its address as people write it */
  constructor(
    readonly server: string,
    readonly paper: TextOutput,
    readonly options: ReportOptions,
  ) {
    this.style = options.style;
  }

  /**
   * Tells a reply; null is one that was lost.
   * @param seq the number of its message, from 1
   * @param duration how long it took, in ms, where that is known
   */
  async reply(data: Uint8Array | null, seq: number, duration?: number): Promise<void> {
    if (data === null && this.style === "json") return; // a program sees that a number is left out
    if (data === null) return await this.tell({ event: "lost", seq });
    const took = duration === undefined ? {} : { duration };
    await this.tell({ event: "reply", seq, bytes: data.length, data, ...took });
  }

  /** Tells what happened; settles once that is written. */
  async tell(event: ReportedEvent): Promise<void> {
    const isTrip = event.event === "reply" || event.event === "connection";
    if (isTrip && event.duration !== undefined) this.#roundTrips.record(event.duration);
    if (this.options.summaryAlone) return;
    await this.#write(this.style === "json" ? this.#asJson(event) : this.#asText(event));
  }

  /**
   * Tells how it went, to those who measure.
   * @param connects how many connections were made
   * @param reason why it failed, if it did
   */
  async summary(tally: Tally, connects: number, reason?: string): Promise<void> {
    const { sent, answered, wrong = 0, doubled = 0, late = 0 } = tally;
    const summary: Summary = {
      ...{ event: "summary", sent, answered, wrong, lost: sent - answered - wrong, late, doubled },
      ...{ connects, ...reason === undefined ? {} : { reason }, ...this.#roundTrips.figures },
    };
    if (this.style === "json") await this.#write(this.#asJson(summary));
    if (this.style === "ping") await this.#write(encoder.encode(this.#summaryAsText(summary)));
  }

  /** Writes in order, and all that has gathered meanwhile at once. */
  #write(bytes: Uint8Array): Promise<void> {
    this.#unwritten.push(bytes);
    return this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#unwritten.length > 0) await this.paper.write(concat(this.#unwritten.splice(0)));
    } finally {
      this.#writing = undefined;
    }
  }

  #asJson({ event, ...fields }: ReportedEvent | Summary): Uint8Array {
    const told: Record<string, unknown> = { server: this.server, ...fields };
    for (const name of ["duration", "connect", "handshake", "silence"]) {
      if (name in told) told[name] = rounded(told[name] as number);
    }
    const reason = told["reason"]; // the server's words may be in it: escaped as its data is
    if (typeof reason === "string") told["reason"] = escape(encoder.encode(reason), "\\");
    return encoder.encode(`${asJson({ event, ...told }, new Date())}\n`);
  }

  #asText(event: ReportedEvent): Uint8Array {
    switch (this.style) {
      case "ping":
        return encoder.encode(this.#asPing(event));
      case "conversation":
        if (event.event === "lost") return encoder.encode("Client received no reply\n");
        if (event.event === "unasked") return concat([this.#word(SAYS), this.#shown(event.data)]);
        return event.event === "reply"
          ? concat([this.#word(RECEIVED), this.#shown(event.data)])
          : NONE;
      default:
        return event.event === "reply" ? this.#shown(event.data) : NONE;
    }
  }

  /** Words of the transcript's own. */
  #word(text: string): Uint8Array {
    return encoder.encode(this.paper.emphasis ? `\x1b[2m${text}\x1b[22m ` : `${text} `);
  }

  /** To a terminal so that it can't be obeyed, elsewhere byte for byte. */
  #shown(data: Uint8Array): Uint8Array {
    const safe = this.paper.columns === undefined ? data : encoder.encode(escape(data));
    return concat([safe, NEWLINE]);
  }

  #asPing(event: ReportedEvent): string {
    const { server } = this;
    switch (event.event) {
      case "reply":
        return `${event.bytes} bytes from ${server}: seq=${event.seq} ${took(event)}\n`;
      case "wrong":
        return `wrong reply from ${server}: seq=${event.seq} ${quote(event.data)}\n`;
      case "doubled":
        return `doubled reply from ${server}: seq=${event.seq}\n`;
      case "late":
        return `late reply from ${server}: seq=${event.seq} time=${
          Math.round(event.duration)
        } ms\n`;
      case "lost":
        return this.options.connect
          ? `no connection: seq=${event.seq} ${event.reason}\n`
          : `no reply from ${server}: seq=${event.seq}\n`;
      case "unasked":
        return `${SAYS} ${escape(event.data)}\n`;
      case "connection":
        return `connected to ${server}: seq=${event.seq} ${took(event)}\n`;
      case "disconnected":
        return ""; // said on standard error
    }
  }

  /** As ping(8) has it, and a histogram. What is not worth a word where all is well is left out. */
  #summaryAsText({ sent, answered, wrong, lost, late, doubled, connects }: Summary): string {
    const { figures } = this.#roundTrips;
    const { connect } = this.options;
    const share = sent === 0 ? 0 : Math.round(100 * lost / sent);
    const counts = [
      connect ? `${sent} tried, ${answered} connected` : `${sent} sent, ${answered} answered`,
      ...wrong > 0 ? [`${wrong} wrong`] : [],
      `${lost} lost (${share} %)`,
      ...late > 0 ? [`${late} late`] : [],
      ...doubled > 0 ? [`${doubled} doubled`] : [],
      ...connects > 1 && !connect ? [`${connects} connects`] : [],
    ];
    const measured = figures === undefined ? [] : [
      `${Object.keys(figures).join("/")} = ${Object.values(figures).join("/")} ms`,
      ...this.#roundTrips.histogram(this.paper.columns ?? COLUMNS),
    ];
    return [`--- ${this.server} ---`, counts.join(", "), ...measured]
      .map((line) => `${line}\n`).join("");
  }
}

function took({ duration = 0 }: { duration?: number }): string {
  return `time=${duration.toFixed(3)} ms`;
}
