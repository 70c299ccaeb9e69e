/** What the client tells of a conversation: to people in words, to programs as JSON lines. */

import { join } from "../wire/framing.ts";
import { asJson, escape } from "../wire/quote.ts";
import type { Output } from "./pipes.ts";
import { type Figures, rounded, RoundTrips } from "./round_trips.ts";

/** How replies are told: in the tutorial's words, alone, as ping(8) does, or as events. */
export type Style = "conversation" | "replies" | "ping" | "json";

/**
 * What there is to tell. `server` is an address as people write it, `reason` is why it
 * failed; durations are in ms, and known where each reply was waited for.
 */
export type ClientEvent =
  | {
    event: "reply";
    server: string;
    seq: number;
    bytes: number;
    data: Uint8Array;
    duration?: number;
  }
  | Summary & Partial<Figures>;

/** Who counts: a peer of either kind. */
type Tally = Readonly<Pick<Summary, "sent" | "answered">>;

/** How a conversation went. */
export interface Summary {
  event: "summary";
  server: string;
  sent: number;
  answered: number;
  lost: number;
  reason?: string;
}

/** Where it is told. */
export interface Paper extends Output {
  /** The width of the terminal, in characters; undefined where there is none. */
  readonly columns: number | undefined;
  /** It shows emphasis, by escape sequences. */
  readonly emphasis: boolean;
}

/** How wide a histogram is where there is no terminal, in characters. */
const COLUMNS = 80;
const encoder = new TextEncoder();
const NONE = new Uint8Array();
const NEWLINE = encoder.encode("\n");
const RECEIVED = "Client received data:";

/** Tells of one conversation. */
export class Report {
  readonly #roundTrips = new RoundTrips();

  /** @param server its address as people write it */
  constructor(readonly server: string, readonly style: Style, readonly paper: Paper) {}

  /**
   * Tells a reply; null is one that was lost.
   * @param seq the number of its message, from 1
   * @param duration how long it took, in ms, where that is known
   */
  async reply(data: Uint8Array | null, seq: number, duration?: number): Promise<void> {
    if (data === null) return await this.#lost(seq);
    if (duration !== undefined) this.#roundTrips.record(duration);
    await this.paper.write(this.#form(data, seq, duration));
  }

  /**
   * Tells how it went, to those who measure.
   * @param reason why it failed, if it did
   */
  async summary({ sent, answered }: Tally, reason?: string): Promise<void> {
    const { server, style, paper } = this;
    const failed = reason === undefined ? {} : { reason };
    const lost = sent - answered;
    const summary: Summary = { event: "summary", server, sent, answered, lost, ...failed };
    if (style === "json") await paper.write(toLine({ ...summary, ...this.#roundTrips.figures }));
    if (style === "ping") await paper.write(encoder.encode(this.#asText(summary)));
  }

  get #received(): Uint8Array {
    return encoder.encode(this.paper.emphasis ? `\x1b[2m${RECEIVED}\x1b[22m ` : `${RECEIVED} `);
  }

  /** A program sees that a number is left out. */
  async #lost(seq: number): Promise<void> {
    const { style, server, paper } = this;
    const ping = style === "ping";
    if (ping) await paper.write(encoder.encode(`no reply from ${server}: seq=${seq}\n`));
    if (style === "conversation") await paper.write(encoder.encode("Client received no reply\n"));
  }

  #form(data: Uint8Array, seq: number, duration = 0): Uint8Array {
    const { server, style, paper } = this;
    const bytes = data.length;
    switch (style) {
      case "json": {
        const took = duration > 0 ? { duration: rounded(duration) } : {};
        return toLine({ event: "reply", server, seq, bytes, data, ...took });
      }
      case "ping": {
        const told = `${bytes} bytes from ${server}: seq=${seq} time=${duration.toFixed(3)} ms\n`;
        return encoder.encode(told);
      }
      default: {
        // To a terminal so that it can't be obeyed, elsewhere byte for byte.
        const safe = paper.columns === undefined ? data : encoder.encode(escape(data));
        return join([style === "conversation" ? this.#received : NONE, safe, NEWLINE]);
      }
    }
  }

  /** As ping(8) has it, and a histogram. */
  #asText({ sent, answered, lost }: Summary): string {
    const { figures } = this.#roundTrips;
    const share = sent === 0 ? 0 : Math.round(100 * lost / sent);
    const measured = figures === undefined ? [] : [
      `${Object.keys(figures).join("/")} = ${Object.values(figures).join("/")} ms`,
      ...this.#roundTrips.histogram(this.paper.columns ?? COLUMNS),
    ];
    const counted = `${sent} sent, ${answered} answered, ${lost} lost (${share} %)`;
    return [`--- ${this.server} ---`, counted, ...measured].map((line) => `${line}\n`).join("");
  }
}

function toLine(event: ClientEvent): Uint8Array {
  return encoder.encode(`${asJson(event, new Date())}\n`);
}
