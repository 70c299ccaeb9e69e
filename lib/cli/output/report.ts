/** The client's report of a conversation or a measurement: text for people, JSON for programs. */

import type { ReportedEvent, Transfer } from "../../ping/events.ts";
import type { Measurement } from "../../ping/measurement.ts";
import type { Outage } from "../../ping/outages.ts";
import type { Tally } from "../../ping/reply_matcher.ts";
import { type Figures, rounded, RoundTrips } from "../../ping/round_trips.ts";
import { concat } from "../../wire/framing.ts";
import { asJson, escape, quote } from "../../wire/quote.ts";
import { digits, emphasizeLosses, histogram, line, span } from "./picture.ts";
import { StandardOutput } from "./standard_output.ts";

/** The style of a report: the tutorial's words, replies alone, the lines of ping(8), or events. */
export type Style = "conversation" | "replies" | "ping" | "json";

/** A conversation or a measurement in numbers. Durations are in ms; `rate` is in replies a second. */
type Summary =
  & Omit<Tally, "pending" | keyof Lateness>
  & { lost: number }
  & Partial<Lateness & Figures & Pick<Measurement, "elapsed" | "outages"> & { rate: number }>;
type Lateness = Pick<Tally, "behind" | "delayed">;

type SummaryEvent = Summary & ({ event: "summary"; reason?: string } | { event: "progress" });
type PrintedEvent = ReportedEvent | { event: "received" } & Transfer | { event: "sent" } & Transfer;

/** An event for programs. `server` is an address as people write it, `reason` a sentence. */
export type ClientEvent = { server: string } & (PrintedEvent | SummaryEvent);

/** How a conversation or a measurement went. */
type Outcome = { tally: Tally } & Partial<Pick<Measurement, "elapsed" | "outages" | "timeline">>;

/** The contents of a report. */
export interface ReportOptions {
  readonly style: Style;
  /** Prints only the summary. */
  readonly summaryAlone: boolean;
  /** The measurement makes connections, and sends nothing. */
  readonly connect: boolean;
  /** Begins each line about a message with the local time. */
  readonly timestamps: boolean;
  /** Connections; with several, no line is printed for each message. */
  readonly connections: number;
}

/** The width of pictures where standard output is no terminal, in characters. */
const COLUMNS = 80;
/** The most outages listed in text; JSON has all. */
const MOST_OUTAGES = 20;
const RECEIVED = "Client received data:", SAYS = "Server says:";
const encoder = new TextEncoder();

type Named<N extends string> = Extract<PrintedEvent, { event: N }>;

/** Lines of ping(8) and the like; standard error has the other events. */
// deno-fmt-ignore
const LINES: { readonly [N in PrintedEvent["event"]]?: (event: Named<N>, report: Report) => string } = {
  reply: ({ bytes, seq, duration = 0 }, { server }) => `${bytes} bytes from ${server}: seq=${seq} time=${duration.toFixed(3)} ms`,
  wrong: ({ seq, data }, { server }) => `wrong reply from ${server}: seq=${seq} ${quote(data)}`,
  duplicate: ({ seq }, { server }) => `duplicate reply from ${server}: seq=${seq}`,
  late: ({ seq, duration }, { server }) => `late reply from ${server}: seq=${seq} time=${Math.round(duration)} ms`,
  lost: ({ seq, reason }, { server, options }) => options.connect ? `no connection: seq=${seq} ${reason}` : `no reply from ${server}: seq=${seq}`,
  unsolicited: ({ data }) => `${SAYS} ${escape(data)}`,
  connection: ({ seq, duration }, { server }) => `connected to ${server}: seq=${seq} time=${duration.toFixed(3)} ms`,
  outage: describeOutage,
};

/** Prints one conversation or measurement. */
export class Report {
  readonly output = new StandardOutput();
  readonly #roundTrips = new RoundTrips();
  #unwritten: Uint8Array[] = [];
  #writing = Promise.resolve();
  #next: Promise<void> | undefined; // after the write that is under way

  /** @param server its address as it is shown */
  constructor(readonly server: string, readonly options: ReportOptions) {}

  /**
   * Prints a reply.
   * @param seq the number of its message, from 1
   * @param duration milliseconds that it took, if known
   */
  async reply(data: Uint8Array, seq: number, duration?: number): Promise<void> {
    await this.print({ event: "reply", seq, bytes: data.length, data, duration });
  }

  /** Prints an event; resolves once it is written. */
  async print(event: PrintedEvent): Promise<void> {
    const isTrip = event.event === "reply" || event.event === "connection";
    if (isTrip && event.duration !== undefined) this.#roundTrips.record(event.duration);
    if (this.options.summaryAlone) return;
    const bytes = this.#format(event);
    if (bytes !== undefined) await this.#write(bytes);
  }

  /**
   * Writes how it went: to people if they measure, as ping(8) does, to programs always. People
   * read nothing of what was 0 if all is well.
   * @param event `progress` while it continues
   * @param reason the reason why it failed
   */
  async summary(outcome: Outcome, event: "summary" | "progress", reason?: string): Promise<void> {
    const { tally, elapsed = 0, outages = [], timeline } = outcome;
    const { style, connect, connections } = this.options;
    const { figures } = this.#roundTrips;
    const { sent, answered, wrong, pending, late, duplicate, connects, delayed, behind } = tally;
    const lost = sent - answered - wrong - (event === "progress" ? pending : 0);
    const rate = elapsed > 0 ? 1000 * answered / elapsed : 0;
    if (style === "json") {
      const counts = { event, sent, answered, wrong, lost, late, duplicate, connects };
      const why = reason === undefined ? {} : { reason };
      const measured = timeline ? { delayed, behind, ...why, elapsed, rate, outages } : why;
      await this.#write(this.#asJson({ ...counts, ...measured, ...figures }));
    }
    if (style !== "ping") return;
    const { columns = COLUMNS, emphasis } = this.output;
    const share = sent === 0 ? 0 : Math.round(100 * lost / sent);
    const counts = [
      connect ? `${sent} tried, ${answered} connected` : `${sent} sent, ${answered} answered`,
      wrong > 0 && `${wrong} wrong`,
      `${lost} lost (${share} %)`,
      late > 0 && `${late} late`,
      duplicate > 0 && `${duplicate} duplicate`,
      connects > connections && !connect && `${connects} connects`,
    ];
    const picture = timeline && line(timeline, columns);
    const more = outages.length - MOST_OUTAGES;
    const lines = [
      `--- ${this.server} ---`,
      counts.filter(Boolean).join(", "),
      `elapsed ${span(elapsed)}, ${digits(rate)} ${connect ? "connections" : "replies"}/s`,
      delayed > 0 &&
      `the client itself was late: ${delayed} of ${sent}, by up to ${digits(behind)} ms`,
      figures && `${Object.keys(figures).join("/")} = ${Object.values(figures).join("/")} ms`,
      ...outages.slice(0, MOST_OUTAGES).map(describeOutage),
      more > 0 && `and ${more} more outages`,
      picture && (emphasis ? emphasizeLosses(picture) : picture),
      ...histogram(this.#roundTrips, columns),
    ];
    await this.#write(lines.filter(Boolean).join("\n"));
  }

  /** Writes in order, and all that has gathered meanwhile at once. Resolves once the text is written. */
  #write(text: string | Uint8Array): Promise<void> {
    this.#unwritten.push(typeof text === "string" ? encoder.encode(`${text}\n`) : text);
    return this.#next ??= this.#writing.then(() => {
      this.#next = undefined;
      return this.#writing = this.output.write(concat(this.#unwritten.splice(0)));
    });
  }

  /** Formats an event in the report's style; undefined: nothing is printed. */
  #format(event: PrintedEvent): string | Uint8Array | undefined {
    const { style, connections, timestamps } = this.options;
    if (style === "json") return this.#asJson(event);
    if (style === "ping") {
      if (connections > 1 && event.event !== "outage") return undefined;
      const line = LINES[event.event]?.(event as never, this);
      return timestamps && line ? `${timeOfDay(new Date(), 3)} ${line}` : line;
    }
    const isAlone = style === "replies";
    if (event.event === "reply") return this.#shown(event.data, isAlone ? "" : RECEIVED);
    if (isAlone) return undefined;
    if (event.event === "unsolicited") return this.#shown(event.data, SAYS);
    return event.event === "lost" ? "Client received no reply" : undefined;
  }

  #asJson(event: PrintedEvent | SummaryEvent): string {
    const fields: Record<string, unknown> & typeof event = { server: this.server, ...event };
    for (const name in fields) {
      const value = fields[name];
      if (typeof value === "number") fields[name] = rounded(value);
    }
    const { reason } = fields; // the server's words may be in it: escaped as its data is
    if (typeof reason === "string") fields["reason"] = escape(encoder.encode(reason), "\\");
    return asJson(fields);
  }

  /** Data after the transcript's own words: to a terminal so that it can't be obeyed, elsewhere byte for byte. */
  #shown(data: Uint8Array, words: string): Uint8Array {
    const { emphasis, columns } = this.output;
    const opening = words && (emphasis ? `\x1b[2m${words}\x1b[22m ` : `${words} `);
    const safe = columns === undefined ? data : encoder.encode(escape(data));
    return concat([encoder.encode(opening), safe, encoder.encode("\n")]);
  }
}

/** `outage 14:01:15.6 to 14:01:16.8: 1.2 s, 12 lost`. */
function describeOutage({ from, to, duration, lost }: Outage): string {
  const end = to === undefined ? "until now" : `to ${timeOfDay(new Date(to), 1)}`;
  return `outage ${timeOfDay(new Date(from), 1)} ${end}: ${span(duration)}, ${lost} lost`;
}

/** The local time: `14:01:15.634`. */
function timeOfDay(time: Date, digits: number): string {
  return time.toTimeString().slice(0, 8) + time.toISOString().slice(19, 20 + digits);
}
