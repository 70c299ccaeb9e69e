/** The server's side of one conversation: read, answer, write, until either side ends it. */

import type { Addr } from "../net/address.ts";
import { close } from "../net/conn.ts";
import { isPending, timeLimit } from "../wait.ts";
import { BY_LF, type CustomFraming, Framer, type Framing } from "../wire/framing.ts";
import { errorReply, FramingError, MessageTooLong } from "../wire/message.ts";
import type { FairReads } from "./fair_reads.ts";
import { catchRejection, type Client, type Ending, type Handler } from "./handler.ts";
import { Outbox, type OutboxConn } from "./outbox.ts";
import type { ServeOptions } from "./serve_options.ts";

/** The options and callbacks that all conversations of a server share. */
export interface ConversationConfig<State>
  extends Pick<ServeOptions<State>, "onEof" | "onFraming" | "onMessage"> {
  readonly handler: Handler<State>;
  readonly framing: Framing | CustomFraming;
  /** Follows each reply, except in raw framing; by default, a reply ends as its message did. */
  readonly ending: Uint8Array | undefined;
  readonly maxMessage: number;
  readonly concurrency: number;
  /** The time limit of async handlers, in ms; 0 disables. */
  readonly handlerTimeout: number;
  /** Gives each reply a {@linkcode LateReply} and a `write` of its own: the connection has faults. */
  readonly separate: boolean;
  readonly once: boolean;
  readonly reads: FairReads;
  /** Reports that the handler or a callback failed. */
  failed(error: unknown): void;
  /** Reports the end of the conversation. */
  over(client: Client<State>, ending: Ending): void;
}

/**
 * Milliseconds without a byte. After that, held bytes without an LF are a raw message, and a client
 * of a stopping server has sent its last message.
 */
const PAUSE = 50;
/** In a crowd, so many more pauses must pass before a raw message is assumed. */
const CROWDED_PAUSES = 5;
/** Milliseconds that a stopping server waits in all for messages of a client that never pauses. */
export const LAST_MESSAGES_LIMIT = 500;
/** Milliseconds that a client may take to disconnect after the server has half-closed. */
const LINGER = 2000;
/** The number of ready bytes at which replies are written. */
const FLUSH = 65536;

/** The buffer of all reads whose bytes are discarded. */
const discarded = new Uint8Array(65536);

/** One conversation. {@linkcode run} resolves when it is over, and never rejects. */
export class Conversation<State = unknown> implements Client<State> {
  /** The number of messages received. */
  messages = 0;
  /** The number of bytes received. */
  bytes = 0;
  /** The result of `onOpen`, once there is one. */
  state = undefined as State;

  readonly addr: Addr;
  readonly localAddr: Addr | undefined;
  readonly isHealthCheck: boolean;
  readonly #framer: Framer;
  readonly #outbox: Outbox;
  #closing: Ending | undefined; // no more messages are handled, for this reason
  #halfClosing: Promise<void> | undefined;
  #reading: Promise<number | null> | undefined; // while `run` awaits nothing but this read
  #isPaused = false;
  #stopWait = Infinity; // ms for which a stopping server still waits for messages
  #cancelLinger: (() => void) | undefined;
  #silentSince = 0;
  #abort: AbortController | undefined; // once the signal was accessed

  /** @param conn owned from here on: closed when the conversation is over */
  constructor(readonly conn: OutboxConn, readonly config: ConversationConfig<State>) {
    const { framing, maxMessage, onFraming } = config;
    this.addr = conn.remoteAddr;
    this.localAddr = conn.localAddr;
    this.isHealthCheck = conn.isHealthCheck ?? false;
    this.#framer = new Framer(framing, maxMessage);
    if (onFraming) this.#framer.onDecided = (...decided) => onFraming(...decided, this);
    this.#outbox = new Outbox(conn, config, this);
  }

  /**
   * Reads, answers and writes until the client has disconnected. After the last reply, further input
   * is read and discarded: closing a connection with unread input resets it, and loses the replies.
   *
   * The hot path is one function, down to the write: an awaited call costs as much as a message. An
   * idle conversation is this function, waiting for a read: its variables are what one costs.
   */
  async run(): Promise<void> {
    const { conn, config: { reads, concurrency } } = this;
    const framer = this.#framer;
    const outbox = this.#outbox;
    let reading: Promise<number | null> | undefined;
    let count: number | null = 0;
    let more = false; // the framer may hold whole messages
    let now = 0; // the time at which the answered messages were received
    try {
      if (this.#closing !== undefined) await this.#halfClose(); // `onOpen` has ended it
      while (more || count !== null) {
        let isQuiet = false;
        if (!more) {
          reading ??= conn.read(this.#closing === undefined ? framer.room() : discarded);
          const mayBeQuiet = framer.undecided || this.#stopWait < Infinity;
          isQuiet = mayBeQuiet && this.#closing === undefined && await this.#pauses(reading);
          if (isQuiet) framer.pause();
          else {
            this.#reading = reading;
            count = await reading;
            this.#reading = reading = undefined;
            if (count === null) this.config.onEof?.(this);
            else outbox.activeAt = Date.now();
            if (this.#halfClosing !== undefined) {
              if (count !== null) await reads.waitForTurn(discarded.length);
              continue;
            }
            framer.took(count);
            this.bytes += count ?? 0;
          }
          now = count === null || isQuiet ? Date.now() : outbox.activeAt;
        }
        more = this.#answer(now);
        const replies = outbox.take(reads.conversations);
        if (replies.length > 0) {
          if (outbox.isIdle) {
            const sent = await (outbox.writing = conn.write(replies));
            if (sent < replies.length) await (outbox.writing = outbox.send(replies.subarray(sent)));
            outbox.writing = undefined;
            outbox.wasActive = true;
            now = outbox.activeAt = Date.now();
          } else outbox.queue(replies.slice());
        }
        outbox.release();
        const turn = reads.waitForTurn(replies.length);
        if (turn !== undefined) await turn;
        while (this.#mustWait(concurrency)) {
          // One read ahead detects a reset, if somebody has asked for the signal.
          const readsAhead = this.#abort !== undefined && !this.#isPaused && count !== null;
          if (readsAhead) reading ??= this.#readAhead(framer.roomBeside());
          await outbox.changed();
          now = Date.now();
        }
        if (outbox.isOver) break;
        if (this.#stopWait < Infinity && !more && count !== null && outbox.outstanding === 0) {
          const hasWaited = this.#stopWait <= 0 && !framer.filled;
          if (isQuiet || hasWaited) this.#closing ??= "stopped";
        }
        if (this.#closing === undefined) continue;
        more = false;
        if (count === null) break;
        reading ??= this.#readAhead(discarded); // else its end would be noticed late
        await this.#halfClose();
      }
      await (this.#halfClosing ?? outbox.empty());
      this.cut(this.#closing ?? "left");
    } catch { // the client has disconnected, or the conversation was cut
      this.cut("reset");
    }
    this.#cancelLinger?.();
    this.config.over(this, this.#closing as Ending);
  }

  get idle(): number {
    return Math.max(0, Date.now() - this.#outbox.activeAt); // clocks are sometimes set back
  }

  /** Ends the conversation once all messages that have arrived are answered. */
  async stop(): Promise<void> {
    this.#stopWait = LAST_MESSAGES_LIMIT;
    this.conn.skipDelays?.();
    const reading = this.#reading; // unless `run` waits for it alone, `run` ends it
    while (reading !== undefined && await this.#pauses(reading)) {
      if (this.#outbox.outstanding === 0) return this.#close("stopped");
    }
  }

  end(): void {
    this.#close("done");
  }

  write(part: string | Uint8Array): boolean {
    return this.#closing === undefined && this.#outbox.push(part);
  }

  drained(): Promise<boolean> {
    return this.#outbox.drained().then(() => this.#closing === undefined);
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    this.#outbox.wake(); // `run` reads ahead from now on
    if (this.#outbox.isOver) this.#abort.abort();
    return this.#abort.signal;
  }

  /** Handles no further message, not even one that was already read, and reads nothing meanwhile. */
  async pauseUntil(settled: Promise<void>): Promise<void> {
    this.#isPaused = true;
    await settled;
    this.#isPaused = false;
    this.#outbox.wake();
  }

  /** Closes the connection at once. Repeated calls do nothing. */
  cut(ending: Ending): void {
    if (this.#outbox.isOver) return;
    this.#closing = ending;
    this.#abort?.abort();
    this.#outbox.giveUp();
    close(this.conn);
  }

  /** Ends the conversation because an async handler failed: nothing of the failed reply is sent. */
  failed(error: unknown): void {
    this.#failed(error);
    this.#abort?.abort();
  }

  /**
   * Milliseconds without a whole message received, or a byte of output sent, to the precision at
   * which it is called.
   * @param now a steady clock, in ms
   */
  silentFor(now: number): number {
    if (this.#outbox.wasActive || this.#outbox.isClientWaiting) this.#silentSince = now;
    this.#outbox.wasActive = false;
    return now - this.#silentSince;
  }

  /** Reads while nothing awaits it: a reset ends the conversation at once. */
  #readAhead(into: Uint8Array): Promise<number | null> {
    const reading = this.conn.read(into);
    reading.catch(() => this.cut("reset"));
    return reading;
  }

  /** True while no further message may be handled or read. */
  #mustWait(concurrency: number): boolean {
    if (this.#closing !== undefined) return false;
    return this.#outbox.outstanding >= concurrency || this.#isPaused;
  }

  /**
   * Tests if nothing is received for {@linkcode PAUSE}. In a crowd, input that has arrived may stay
   * unread for that long, so the test is repeated. A stopping server repeats it for as long as it
   * takes, and counts the time for which it waits for the client.
   */
  async #pauses(reading: Promise<unknown>): Promise<boolean> {
    for (let left = CROWDED_PAUSES;; left--) {
      const since = performance.now(), { crowdedTurns } = this.config.reads;
      const isQuiet = await isPending(reading, PAUSE);
      const isCrowded = this.config.reads.crowdedTurns > crowdedTurns;
      // If the last read filled its room, more has arrived. With late replies, the client waits.
      const isBusy = isCrowded || this.#framer.filled || this.#outbox.outstanding > 0;
      if (!isBusy) this.#stopWait -= performance.now() - since;
      if (!isQuiet || !isCrowded || (this.#stopWait === Infinity && left === 0)) return isQuiet;
    }
  }

  /** Answers held messages until their replies fill one write; returns false if no more are held. */
  #answer(now: number): boolean {
    const { handler, onMessage, concurrency, once, ending } = this.config;
    const framer = this.#framer;
    const outbox = this.#outbox;
    const { framing } = outbox;
    framer.message.receivedAt = now;
    let plain = outbox.plain();
    let outstanding = outbox.outstanding;
    try {
      while (this.#closing === undefined && outstanding < concurrency && !this.#isPaused) {
        const message = framer.next();
        if (message === null) return false;
        this.messages++;
        outbox.wasActive = true;
        const result: unknown = onMessage?.(message, this);
        if (result !== undefined) catchRejection(result, (error) => this.#failed(error));
        const end = ending !== undefined && framer.framing !== "raw" ? ending : framer.ending;
        const reply = plain ?? outbox.next(end);
        const done = handler(concurrency === 1 ? message : message.copy(), reply, this);
        if (once) this.#closing ??= "done";
        if (plain !== undefined && done === undefined) {
          plain.end(end, framing);
          if (plain.length >= FLUSH) return true;
        } else {
          outbox.add(reply, end, done);
          plain = outbox.plain();
          outstanding = outbox.outstanding;
        }
      }
    } catch (error) {
      this.#failed(error);
    }
    return this.#closing === undefined;
  }

  /** Handles no further message, and sends nothing of the reply that failed. */
  #failed(error: unknown): void {
    this.#outbox.undo();
    if (error instanceof MessageTooLong) {
      return this.#close("message too long", errorReply(error.message));
    }
    if (error instanceof FramingError) return this.#close("framing error", error.reply);
    this.#close("failed");
    this.config.failed(error);
  }

  /** Handles no further message; half-closes once all replies, and an error reply, are sent. */
  #close(why: Ending, last?: string | Uint8Array): void {
    const end = this.config.ending ?? BY_LF;
    this.#closing ??= why;
    try {
      if (last !== undefined) {
        const reply = this.#outbox.next(end);
        reply.write(last);
        this.#outbox.add(reply, end);
      }
    } catch (error) { // a custom framing can't frame it
      this.#outbox.undo();
      this.config.failed(error);
    }
    if (this.#reading !== undefined) void this.#halfClose();
    this.#outbox.wake();
  }

  /** Half-closes once everything is sent. A client that does not disconnect then is cut. */
  #halfClose(): Promise<void> {
    const why = this.#closing as Ending;
    const closeWrite = async () => {
      await this.#outbox.empty();
      if (this.#outbox.isOver) return;
      // A stopping server has one time limit for all.
      if (why !== "stopped") this.#cancelLinger = timeLimit(LINGER, () => this.cut(why));
      await this.conn.closeWrite();
    };
    return this.#halfClosing ??= closeWrite().catch(() => {}); // the read loop reports the disconnect
  }
}

/**
 * Prepares for errors while no descriptor is free. Makes Deno 2.9 load what it can't load
 * then, which would end the process. These are the source maps of the files in an error's stack, here
 * this one and the callers, and a signal listener.
 */
export function prepareErrors(): void {
  void new Error().stack;
  try {
    const listener = () => {};
    Deno.addSignalListener("SIGWINCH", listener);
    Deno.removeSignalListener("SIGWINCH", listener);
  } catch {
    // This system has no such signal.
  }
}
