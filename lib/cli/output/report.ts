/** The client's report of a conversation or a measurement: text for people, JSON for programs. */

import { concat } from "../../wire/framing.ts";
import { asJson, escape, quote } from "../../wire/quote.ts";
import type { StandardOutput } from "./standard_output.ts";
import type { ReportedEvent } from "../../ping/events.ts";
import type { Outage } from "../../ping/outages.ts";
import { digits, emphasizeLosses, histogram, line, span } from "./picture.ts";
import { type Figures, rounded, RoundTrips } from "../../ping/round_trips.ts";
import type { Timeline } from "../../ping/timeline.ts";

/** The style of a report: the tutorial's words, replies alone, the lines of ping(8), or events. */
export type Style = "conversation" | "replies" | "ping" | "json";

/** Counts and times of a conversation. Durations are in ms. */
interface Summary extends Partial<Figures> {
  sent: number;
  answered: number;
  wrong: number;
  lost: number;
  late: number;
  duplicate: number;
  /** Connections made. */
  connects: number;
  /** Since the first message was due. */
  elapsed?: number;
  /** Replies a second. */
  rate?: number;
  /** By how much the client itself sent a message too late, at most. */
  behind?: number;
  /** Messages that the client itself sent too late. */
  delayed?: number;
  outages?: readonly Outage[];
  reason?: string;
}

/** An event for programs. `server` is an address as people write it, `reason` a sentence. */
export type ClientEvent =
  & { server: string }
  & (
    | ReportedEvent
    | TransferEvent
    | { event: "summary" } & Summary
    | { event: "progress" } & Omit<Summary, "reason">
  );

/** A read or a write. */
export type TransferEvent =
  | { event: "received"; bytes: number; data: Uint8Array }
  | { event: "sent"; bytes: number; data: Uint8Array };

/** The contents of a report. */
export interface ReportOptions {
  readonly style: Style;
  /** Prints only the summary. @default {false} */
  readonly summaryAlone?: boolean;
  /** The measurement makes connections, and sends nothing. @default {false} */
  readonly connect?: boolean;
  /** Begins each line about a message with the local time. @default {false} */
  readonly timestamps?: boolean;
  /** Connections; with several, no line is printed for each message. @default {1} */
  readonly connections?: number;
}

/** The width of pictures without a terminal, in characters. */
const COLUMNS = 80;
/** The most outages listed for people; programs get all. */
const MOST_OUTAGES = 20;
const encoder = new TextEncoder();
const NONE = new Uint8Array();
const NEWLINE = encoder.encode("\n");
const RECEIVED = "Client received data:";
const SAYS = "Server says:";

/** Prints one conversation or measurement. */
export class Report {
  readonly style: Style;

  readonly #roundTrips = new RoundTrips();
  #unwritten: Uint8Array[] = [];
  #writing: Promise<void> | undefined;

  /** @param server its address as people write it */
  constructor(
    readonly server: string,
    readonly output: StandardOutput,
    readonly options: ReportOptions,
  ) {
    this.style = options.style;
  }

  /**
   * Prints a reply; null is one that was lost.
   * @param seq the number of its message, from 1
   * @param duration milliseconds that it took, if known
   */
  async reply(data: Uint8Array | null, seq: number, duration?: number): Promise<void> {
    if (data === null && this.style === "json") return; // a program sees that a number is left out
    if (data === null) return await this.print({ event: "lost", seq });
    const took = duration === undefined ? {} : { duration };
    await this.print({ event: "reply", seq, bytes: data.length, data, ...took });
  }

  /** Prints an event; resolves once it is written. */
  async print(event: ReportedEvent | TransferEvent): Promise<void> {
    const isTrip = event.event === "reply" || event.event === "connection";
    if (isTrip && event.duration !== undefined) this.#roundTrips.record(event.duration);
    if (this.options.summaryAlone) return;
    const bytes = this.style === "json" ? this.#asJson(event) : this.#asText(event);
    if (bytes.length > 0) await this.#write(bytes);
  }

  /**
   * Writes how it went: to people if they measure, to programs always.
   * @param outcome what is known of it
   * @param event `progress` while it continues
   * @param timeline of a measurement
   */
  async summary(
    outcome: Pick<Summary, "sent" | "answered" | "connects"> & Partial<Summary>,
    event: "summary" | "progress" = "summary",
    timeline?: Timeline,
  ): Promise<void> {
    const { sent, answered, connects, wrong = 0, late = 0, duplicate = 0, ...more } = outcome;
    const counts = { sent, answered, wrong, lost: sent - answered - wrong, late, duplicate };
    const summary = { ...counts, connects, ...more, ...this.#roundTrips.figures };
    if (this.style === "json") await this.#write(this.#asJson({ event, ...summary }));
    if (this.style !== "ping") return;
    await this.#write(encoder.encode(this.#summaryAsText(summary, timeline)));
  }

  /** Writes in order, and all that has gathered meanwhile at once. */
  #write(bytes: Uint8Array): Promise<void> {
    this.#unwritten.push(bytes);
    return this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#unwritten.length > 0) await this.output.write(concat(this.#unwritten.splice(0)));
    } finally {
      this.#writing = undefined;
    }
  }

  #asJson(
    { event, ...fields }: ReportedEvent | TransferEvent | { event: string } & Summary,
  ): Uint8Array {
    const named: Record<string, unknown> = { server: this.server, ...fields };
    for (
      const name of [
        "duration",
        "resolve",
        "connect",
        "handshake",
        "silence",
        "elapsed",
        "rate",
        "behind",
      ]
    ) {
      if (name in named) named[name] = rounded(named[name] as number);
    }
    const reason = named["reason"]; // the server's words may be in it: escaped as its data is
    if (typeof reason === "string") named["reason"] = escape(encoder.encode(reason), "\\");
    return encoder.encode(`${asJson({ event, ...named }, new Date())}\n`);
  }

  #asText(event: ReportedEvent | TransferEvent): Uint8Array {
    switch (this.style) {
      case "ping":
        return encoder.encode(this.#asPing(event));
      case "conversation":
        if (event.event === "lost") return encoder.encode("Client received no reply\n");
        if (event.event === "unsolicited") {
          return concat([this.#word(SAYS), this.#shown(event.data)]);
        }
        return event.event === "reply"
          ? concat([this.#word(RECEIVED), this.#shown(event.data)])
          : NONE;
      default:
        return event.event === "reply" ? this.#shown(event.data) : NONE;
    }
  }

  /** Words of the transcript's own. */
  #word(text: string): Uint8Array {
    return encoder.encode(this.output.emphasis ? `\x1b[2m${text}\x1b[22m ` : `${text} `);
  }

  /** To a terminal so that it can't be obeyed, elsewhere byte for byte. */
  #shown(data: Uint8Array): Uint8Array {
    const safe = this.output.columns === undefined ? data : encoder.encode(escape(data));
    return concat([safe, NEWLINE]);
  }

  #asPing(event: ReportedEvent | TransferEvent): string {
    const { connections = 1, timestamps } = this.options;
    if (connections > 1 && event.event !== "outage") return "";
    const line = this.#lineAbout(event);
    return timestamps && line !== "" ? `${timeOfDay(new Date(), 3)} ${line}` : line;
  }

  #lineAbout(event: ReportedEvent | TransferEvent): string {
    const { server } = this;
    switch (event.event) {
      case "reply":
        return `${event.bytes} bytes from ${server}: seq=${event.seq} ${took(event)}\n`;
      case "wrong":
        return `wrong reply from ${server}: seq=${event.seq} ${quote(event.data)}\n`;
      case "duplicate":
        return `duplicate reply from ${server}: seq=${event.seq}\n`;
      case "late":
        return `late reply from ${server}: seq=${event.seq} time=${
          Math.round(event.duration)
        } ms\n`;
      case "lost":
        return this.options.connect
          ? `no connection: seq=${event.seq} ${event.reason}\n`
          : `no reply from ${server}: seq=${event.seq}\n`;
      case "unsolicited":
        return `${SAYS} ${escape(event.data)}\n`;
      case "connection":
        return `connected to ${server}: seq=${event.seq} ${took(event)}\n`;
      default:
        return ""; // standard error has it
      case "outage":
        return `${describeOutage(event)}\n`;
    }
  }

  /** As ping(8) has it, and pictures. What is not worth a word if all is well is left out. */
  #summaryAsText(summary: Summary, timeline?: Timeline): string {
    const { sent, answered, wrong, lost, late, duplicate, connects } = summary;
    const { elapsed = 0, rate = 0, behind = 0, delayed = 0, outages = [] } = summary;
    const { figures } = this.#roundTrips;
    const { connect, connections = 1 } = this.options;
    const { columns = COLUMNS, emphasis } = this.output;
    const share = sent === 0 ? 0 : Math.round(100 * lost / sent);
    const counts = [
      connect ? `${sent} tried, ${answered} connected` : `${sent} sent, ${answered} answered`,
      ...wrong > 0 ? [`${wrong} wrong`] : [],
      `${lost} lost (${share} %)`,
      ...late > 0 ? [`${late} late`] : [],
      ...duplicate > 0 ? [`${duplicate} duplicate`] : [],
      ...connects > connections && !connect ? [`${connects} connects`] : [],
    ];
    const picture = timeline && line(timeline, columns);
    const more = outages.length - MOST_OUTAGES;
    return [
      `--- ${this.server} ---`,
      counts.join(", "),
      `elapsed ${span(elapsed)}, ${digits(rate)} ${connect ? "connections" : "replies"}/s`,
      ...delayed > 0
        ? [`the client itself was late: ${delayed} of ${sent}, by up to ${digits(behind)} ms`]
        : [],
      ...figures
        ? [`${Object.keys(figures).join("/")} = ${Object.values(figures).join("/")} ms`]
        : [],
      ...outages.slice(0, MOST_OUTAGES).map(describeOutage),
      ...more > 0 ? [`and ${more} more outages`] : [],
      ...picture ? [emphasis ? emphasizeLosses(picture) : picture] : [],
      ...histogram(this.#roundTrips, columns),
    ].map((line) => `${line}\n`).join("");
  }
}

function took({ duration = 0 }: { duration?: number }): string {
  return `time=${duration.toFixed(3)} ms`;
}

/** `outage 14:01:15.6 to 14:01:16.8: 1.2 s, 12 lost`. */
function describeOutage({ from, to, duration, lost }: Outage): string {
  const end = to === undefined ? "until now" : `to ${timeOfDay(new Date(to), 1)}`;
  return `outage ${timeOfDay(new Date(from), 1)} ${end}: ${span(duration)}, ${lost} lost`;
}

/** The local time: `14:01:15.634`. */
function timeOfDay(time: Date, digits: number): string {
  const [hours, minutes, seconds] = [time.getHours(), time.getMinutes(), time.getSeconds()]
    .map((part) => String(part).padStart(2, "0"));
  const fraction = String(time.getMilliseconds()).padStart(3, "0").slice(0, digits);
  return `${hours}:${minutes}:${seconds}.${fraction}`;
}
