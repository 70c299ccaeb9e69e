/** Messages over a connection, which is made anew when it is lost. */

import { errorMessage } from "../checks.ts";
import type { Conn } from "../net/conn.ts";
import { BufferedConn, MAX_ADDED } from "../net/buffered_conn.ts";
import { concat, type Framing } from "../wire/framing.ts";
import { type FoundReply, frame, nextReply, Queue } from "../wire/replies.ts";
import type { MeasurementOptions } from "./measurement.ts";
import type { Probe } from "./reply_matcher.ts";
import type { Transport, TransportCallbacks } from "./transport.ts";

/** Messages that are due together are sent by one write, until it has so many bytes. */
const BATCH = 65536;
/** A server that takes nothing for longer than this holds up messages, in ms. */
const BLOCKED = 300;

/** A connection, and what has happened on it. */
class Link extends BufferedConn {
  first: Probe | undefined; // from whose reply `auto` finds the framing
  turn: Probe | undefined; // the message sent last
  transferred = performance.now(); // when a byte was last sent or received
  blockedSince = Infinity; // while a write is pending: when it began
  isReceiving = false; // lines that were read can't answer what would be sent meanwhile
  hasReceived = false; // a line
}

/** A transport over connections. */
export class ConnTransport implements Transport {
  #link: Link | undefined;
  #framing: Framing;
  readonly #queue = new Queue<Probe>(({ state }) => state !== "queued");
  #isSending = false;
  #isClosed = false;

  /** @param connect makes another connection once the first is lost */
  constructor(
    readonly callbacks: TransportCallbacks,
    readonly connect: () => Promise<Conn>,
    readonly options: Pick<MeasurementOptions, "any" | "messages" | "framing" | "greeting">,
  ) {
    this.#framing = options.framing;
  }

  /**
   * Sends and receives over a connection.
   * @param conn closed with the transport
   */
  open(conn: Conn): void {
    if (this.#isClosed) return conn.close();
    const link = this.#link = new Link(conn, 0);
    this.callbacks.opened();
    this.#receive(link).catch((error) => this.#lose(link, error));
  }

  send(probe: Probe): void {
    if (probe.since - (this.#link?.blockedSince ?? Infinity) > BLOCKED) this.callbacks.blocked();
    this.#queue.push(probe);
    this.settled();
  }

  settled(timeout?: number): void {
    if (timeout !== undefined && this.#link) this.#expired(timeout, this.#link);
    if (this.#isSending || this.#link?.isReceiving || this.#queue.first === undefined) return;
    this.#sendAll().catch((error) => this.callbacks.failed(error));
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#link?.close();
    this.#link = undefined;
  }

  /** Gives up a connection that is stuck, or on which a late reply would be taken for another message's. */
  #expired(timeout: number, link: Link): void {
    const { any, messages } = this.options;
    const isBlocked = performance.now() - link.blockedSince >= timeout;
    const isOutOfStep = any || messages.length > 0 || this.#framing === "raw";
    if (isBlocked) this.#lose(link, `the server has taken nothing for ${timeout / 1000}s`);
    else if (isOutOfStep) this.#lose(link);
  }

  /** Sends what is due, until nothing may be sent. */
  async #sendAll(): Promise<void> {
    this.#isSending = true;
    while (this.#next() !== undefined) {
      if (this.#link !== undefined) await this.#sendBatch(this.#link);
      else await this.connect().then(this.open.bind(this), (error) => this.#unreachable(error));
    }
    this.#isSending = false; // at once: what is due from now on would not be sent
  }

  /** The next message, if it may be sent now: replies that can't be distinguished come one by one. */
  #next(): Probe | undefined {
    const { any, greeting } = this.options;
    const isGreeted = !greeting || this.#link?.hasReceived !== false;
    const takesTurns = any || this.#framing !== "line";
    const isAnswered = !takesTurns || this.#link?.turn?.state !== "sent";
    return !this.#isClosed && isGreeted && isAnswered ? this.#queue.first : undefined;
  }

  #unreachable(error: unknown): void {
    for (let probe; (probe = this.#next()) !== undefined;) {
      this.callbacks.unreachable(probe, errorMessage(error));
    }
  }

  async #sendBatch(link: Link): Promise<void> {
    const frames = [];
    for (let probe, room = BATCH; room > 0 && (probe = this.#next()) !== undefined;) {
      frames.push(frame(probe.message, this.#framing));
      room -= probe.message.length + 1;
      this.callbacks.sent(probe);
      link.first ??= probe;
      link.turn = probe;
      link.maxHeld = Math.max(link.maxHeld, probe.message.length + MAX_ADDED);
    }
    link.blockedSince = performance.now();
    try {
      await link.send(concat(frames));
      link.transferred = performance.now();
    } catch (error) {
      // What the server sent before comes first, and how it ended.
      while (await link.more().catch(() => false));
      this.#lose(link, error as Error);
    }
    link.blockedSince = Infinity;
  }

  /**
   * Receives until the end.
   * @throws {Error} that says how it ended
   */
  async #receive(link: Link): Promise<never> {
    while (await link.more()) {
      link.transferred = performance.now();
      link.isReceiving = true;
      for (let found; this.#link === link && (found = this.#find(link)) !== null;) {
        this.#framing = found.framing as Framing;
        link.consume(found.length);
        link.hasReceived = true;
        const reader = this.callbacks.received(found.reply);
        if (reader !== undefined) await reader;
      }
      link.isReceiving = false;
      this.settled();
    }
    throw link.endError();
  }

  /** Finds the next line that has come whole, or what is one where the server speaks raw. */
  #find({ held, first, turn }: Link): FoundReply | null {
    const probe = this.#framing === "auto" ? first : turn;
    return nextReply(held, { message: probe?.message, framing: this.#framing });
  }

  /** @param how the server ended it, or what it failed to do; nothing for a healthy connection */
  #lose(link: Link, how?: Error | string): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    link.close();
    const silence = performance.now() - link.transferred;
    const ending = `after ${(silence / 1000).toFixed(1)} s of silence`;
    const failure = how instanceof Error ? `${how.message} ${ending}` : how;
    this.callbacks.disconnected(failure, silence);
  }
}
