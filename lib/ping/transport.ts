/** A way to a server, for measuring: says messages, hears lines, and connects anew when it must. */

import { errorMessage } from "../checks.ts";
import type { Conn } from "../net/listener.ts";
import { concat, type Framing } from "../wire/framing.ts";
import type { Probe } from "./reply_matcher.ts";
import { frame, MOST_ADDED } from "../client/peer.ts";
import { replyTo } from "../wire/replies.ts";
import { BufferedConn } from "../net/buffered_conn.ts";

/** Messages that are due together are sent by one write, up to this many bytes. */
const BATCH = 65536;
const CR = 13, LF = 10;

/** A way to a server. */
export interface Transport extends Disposable {
  /** How many connections were made. */
  readonly connects: number;
  /** Since when the server has taken no byte of what is being sent, by `performance.now()`; or undefined. */
  readonly blockedSince: number | undefined;
  /** Says a message, as soon as it can be said. */
  say(said: Probe): void;
  /** Messages are settled: others may be said. */
  settled(): void;
  /** Messages that were sent are given up: where a late reply could be taken for another's, so is the connection. */
  lost(): void;
  /** Gives up the connection. */
  drop(failure: string): void;
}

/** Who is told what passes. */
export interface TransportCallbacks {
  /**
   * The server said this; a view that holds during the call.
   * @return settles when more can be heard
   */
  heard(line: Uint8Array): Promise<void> | undefined;
  /** A connection was made, where that is what is measured; how long it took, and its TLS handshake, in ms. */
  connected(said: Probe, connect: number, handshake?: number): void;
  /**
   * The connection is lost.
   * @param failure how, in a sentence; undefined where it was given up without a fault of its own
   * @param silence for how long no byte had passed, in ms
   */
  disconnected(failure: string | undefined, silence: number): void;
  /** There is no connection for messages that were due. */
  unreachable(messages: readonly Probe[], failure: string): void;
  /** A message can't be said at all. */
  failed(failure: unknown): void;
}

/** How messages are said over connections. */
export interface ConnectionTransportOptions {
  readonly framing: Framing;
  /**
   * No message is said while another is under way. Where it is not known that the
   * server speaks lines, none is anyway.
   */
  readonly takesTurns: boolean;
  /** A late reply can't be told from another's. */
  readonly areAlike: boolean;
  /** The server speaks first: nothing is said before its first line has come. */
  readonly greeting: boolean;
}

/** A way to a server over connections, of which there is one at a time. */
export class ConnectionTransport implements Transport {
  connects = 0;
  blockedSince: number | undefined;

  #stream: BufferedConn | undefined;
  #framing: Framing;
  #queue: Probe[] = []; // due, and not sent
  #first: Probe | undefined; // of a connection, while it is not known what the server speaks
  #turn: Probe | undefined; // under way, where messages take turns
  #passed = 0; // the time when a byte last passed
  #isGreeted = false;
  #isSending = false;
  #isHearing = false; // what is said meanwhile has not been said when these lines came
  #isClosed = false;

  /** @param connect makes a connection */
  constructor(
    readonly listener: TransportCallbacks,
    readonly connect: () => Promise<Conn>,
    readonly options: ConnectionTransportOptions,
  ) {
    this.#framing = options.framing;
  }

  /** Talks on a connection, which is owned from here on. */
  open(conn: Conn): void {
    const stream = new BufferedConn(conn, 0);
    this.connects++;
    this.#stream = stream;
    this.#first = this.#turn = undefined;
    this.#isGreeted = !this.options.greeting;
    this.#isHearing = false;
    this.#passed = performance.now();
    this.#hear(stream).catch((error) => this.#fail(stream, error));
  }

  say(said: Probe): void {
    this.#queue.push(said);
    this.#sendDue();
  }

  settled(): void {
    if (this.#queue.length > 0) this.#sendDue();
  }

  lost(): void {
    const isOutOfStep = this.options.areAlike || this.#framing === "raw";
    if (isOutOfStep && this.#stream !== undefined) this.#lose(this.#stream, undefined);
    else this.settled();
  }

  drop(failure: string): void {
    if (this.#stream !== undefined) this.#lose(this.#stream, failure);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#stream?.close();
    this.#stream = undefined;
  }

  #sendDue(): void {
    if (!this.#isSending && !this.#isHearing) {
      this.#sendAll().catch((error) => this.listener.failed(error));
    }
  }

  /** Sends what is due, until nothing may be sent any more. */
  async #sendAll(): Promise<void> {
    this.#isSending = true;
    try {
      while (this.#next().length > 0 && !this.#isClosed) {
        const stream = this.#stream ?? await this.#reconnect();
        if (stream !== undefined) await this.#send(stream, this.#next());
      }
    } finally {
      this.#isSending = false; // at once: nobody else would send what is due from now on
    }
  }

  /** The messages that may be sent now, from the beginning of the queue. */
  #next(): Probe[] {
    this.#queue = this.#queue.filter(({ isSettled }) => !isSettled);
    if (this.#stream !== undefined && !this.#isGreeted) return [];
    if (!this.options.takesTurns && this.#framing === "line") return this.#queue;
    return this.#turn?.isSettled === false ? [] : this.#queue.slice(0, 1);
  }

  async #reconnect(): Promise<BufferedConn | undefined> {
    try {
      const conn = await this.connect();
      if (this.#isClosed) conn.close();
      else this.open(conn);
      return this.#stream;
    } catch (error) {
      if (!this.#isClosed) this.listener.unreachable(this.#queue.splice(0), errorMessage(error));
      return undefined;
    }
  }

  async #send(stream: BufferedConn, messages: readonly Probe[]): Promise<void> {
    const frames = [];
    let length = 0;
    for (const said of messages) {
      const bytes = frame(said.message, this.#framing);
      if (length > 0 && length + bytes.length > BATCH) break;
      length += bytes.length;
      frames.push(bytes);
      said.isSent = true;
      this.#first ??= said;
      this.#turn = said;
      stream.mostHeld = Math.max(stream.mostHeld, said.message.length + MOST_ADDED);
    }
    this.#queue.splice(0, frames.length);
    this.blockedSince = performance.now();
    try {
      await stream.send(frames.length === 1 ? frames[0] as Uint8Array : concat(frames));
      this.#passed = performance.now();
    } catch (error) {
      // What the server said before it went away is heard first; and how it went is told there.
      await stream.gone().catch(() => {});
      this.#fail(stream, error);
    }
    this.blockedSince = undefined;
  }

  /** Hears until the end; throws what is to be said of that. */
  async #hear(stream: BufferedConn): Promise<never> {
    while (await stream.more()) {
      this.#passed = performance.now();
      this.#isHearing = true;
      for (let line; this.#stream === stream && (line = this.#line(stream)) !== null;) {
        this.#isGreeted = true;
        const busy = this.listener.heard(line);
        if (busy !== undefined) await busy;
      }
      this.#isHearing = false;
      this.settled();
    }
    throw stream.over();
  }

  /** The next line that is held, or what stands for one where the server speaks raw. */
  #line(stream: BufferedConn): Uint8Array | null {
    const { held } = stream;
    if (held.length === 0) return null;
    const asked = this.#framing === "auto" ? this.#first : this.#turn;
    if (asked !== undefined && this.#framing !== "line") {
      const found = replyTo(asked.message, held, this.#framing);
      if (found === null) return null;
      this.#framing = found.framing;
      stream.drop(found.length);
      return found.reply;
    }
    const lf = held.indexOf(LF);
    if (lf === -1) return null;
    stream.drop(lf + 1);
    return held.subarray(0, held[lf - 1] === CR ? lf - 1 : lf);
  }

  #fail(stream: BufferedConn, error: unknown): void {
    const silence = (performance.now() - this.#passed) / 1000;
    this.#lose(stream, `${errorMessage(error)} after ${silence.toFixed(1)} s of silence`);
  }

  #lose(stream: BufferedConn, failure: string | undefined): void {
    if (this.#stream !== stream || this.#isClosed) return;
    this.#stream = undefined;
    stream.close();
    this.listener.disconnected(failure, performance.now() - this.#passed);
    this.settled();
  }
}
