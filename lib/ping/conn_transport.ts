/** Messages over a connection, which is made anew when it is lost. */

import { errorMessage } from "../checks.ts";
import type { Conn } from "../net/conn.ts";
import { BufferedConn, MAX_ADDED } from "../net/buffered_conn.ts";
import { concat, type Framing } from "../wire/framing.ts";
import { frame, nextReply, Queue } from "../wire/replies.ts";
import type { MeasurementOptions } from "./measurement.ts";
import type { Probe } from "./reply_matcher.ts";
import type { Transport, TransportCallbacks } from "./transport.ts";

/** Messages that are due together are sent by one write, until it has so many bytes. */
const BATCH = 65536;
/** A server that takes nothing for longer than this holds up messages, in ms. */
const BLOCKED = 300;

/** A transport over connections. */
export class ConnTransport implements Transport {
  #conn: BufferedConn | undefined;
  #framing: Framing;
  readonly #queue = new Queue<Probe>(({ state }) => state !== "queued");
  #first: Probe | undefined; // of a connection, from whose reply `auto` finds the framing
  #turn: Probe | undefined; // the message sent last
  #transferred = 0; // when a byte was last sent or received
  #blockedSince = Infinity; // while a write is pending: when it began
  #isGreeted = false;
  #isSending = false;
  #isReceiving = false; // lines that were read can't answer what would be sent meanwhile
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
    const buffered = this.#conn = new BufferedConn(conn, 0);
    this.callbacks.opened();
    this.#first = this.#turn = undefined;
    this.#isGreeted = !this.options.greeting;
    this.#isReceiving = false;
    this.#transferred = performance.now();
    this.#receive(buffered).catch((error) => this.#lose(buffered, error));
  }

  send(probe: Probe): void {
    if (probe.since - this.#blockedSince > BLOCKED) this.callbacks.blocked();
    this.#queue.push(probe);
    this.settled();
  }

  settled(timeout?: number): void {
    if (timeout !== undefined) this.#expired(timeout);
    if (this.#isSending || this.#isReceiving || this.#queue.first === undefined) return;
    this.#sendAll().catch((error) => this.callbacks.failed(error));
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#conn?.close();
    this.#conn = undefined;
  }

  /** Gives up a connection that is stuck, or on which a late reply would be taken for another message's. */
  #expired(timeout: number): void {
    const { any, messages } = this.options;
    const isBlocked = performance.now() - this.#blockedSince >= timeout;
    const isOutOfStep = any || messages.length > 0 || this.#framing === "raw";
    if (isBlocked) this.#lose(this.#conn, `the server has taken nothing for ${timeout / 1000}s`);
    else if (isOutOfStep) this.#lose(this.#conn);
  }

  /** Sends what is due, until nothing may be sent. */
  async #sendAll(): Promise<void> {
    this.#isSending = true;
    try {
      while (this.#next() !== undefined) {
        if (this.#conn !== undefined) await this.#sendBatch(this.#conn);
        else await this.connect().then(this.open.bind(this), (error) => this.#unreachable(error));
      }
    } finally {
      this.#isSending = false; // at once: what is due from now on would not be sent
    }
  }

  /** The next message, if it may be sent now: replies that can't be distinguished come one by one. */
  #next(): Probe | undefined {
    if (this.#isClosed || this.#conn !== undefined && !this.#isGreeted) return undefined;
    const takesTurns = this.options.any || this.#framing !== "line";
    return takesTurns && this.#turn?.state === "sent" ? undefined : this.#queue.first;
  }

  #unreachable(error: unknown): void {
    for (let probe; (probe = this.#next()) !== undefined;) {
      this.callbacks.unreachable(probe, errorMessage(error));
    }
  }

  async #sendBatch(conn: BufferedConn): Promise<void> {
    const frames = [];
    for (let probe, room = BATCH; room > 0 && (probe = this.#next()) !== undefined;) {
      frames.push(frame(probe.message, this.#framing));
      room -= probe.message.length + 1;
      this.callbacks.sent(probe);
      this.#first ??= probe;
      this.#turn = probe;
      conn.maxHeld = Math.max(conn.maxHeld, probe.message.length + MAX_ADDED);
    }
    this.#blockedSince = performance.now();
    try {
      await conn.send(concat(frames));
      this.#transferred = performance.now();
    } catch (error) {
      // What the server sent before comes first, and how it ended.
      while (await conn.more().catch(() => false));
      this.#lose(conn, error as Error);
    }
    this.#blockedSince = Infinity;
  }

  /**
   * Receives until the end.
   * @throws {Error} that says how it ended
   */
  async #receive(conn: BufferedConn): Promise<never> {
    while (await conn.more()) {
      this.#transferred = performance.now();
      this.#isReceiving = true;
      for (let line; this.#conn === conn && (line = this.#line(conn)) !== null;) {
        this.#isGreeted = true;
        const reader = this.callbacks.received(line);
        if (reader !== undefined) await reader;
      }
      this.#isReceiving = false;
      this.settled();
    }
    throw conn.endError();
  }

  /** The next line that has come whole, or what is one where the server speaks raw. */
  #line(conn: BufferedConn): Uint8Array | null {
    const probe = this.#framing === "auto" ? this.#first : this.#turn;
    const found = nextReply(conn.held, { message: probe?.message, framing: this.#framing });
    if (found === null) return null;
    this.#framing = found.framing as Framing;
    conn.consume(found.length);
    return found.reply;
  }

  /** @param how the server ended it, or what it failed to do; nothing for a healthy connection */
  #lose(conn: BufferedConn | undefined, how?: Error | string): void {
    if (conn === undefined || this.#conn !== conn) return;
    this.#conn = undefined;
    conn.close();
    const silence = performance.now() - this.#transferred;
    const ending = `after ${(silence / 1000).toFixed(1)} s of silence`;
    const failure = how instanceof Error ? `${how.message} ${ending}` : how;
    this.callbacks.disconnected(failure, silence);
  }
}
