/**
 * The client's part in a conversation: sends messages one at a time, or independently of replies, and
 * reports what it receives.
 */

import type { DatagramPeer } from "../client/datagram_peer.ts";
import type { Peer } from "../client/peer.ts";
import { type BufferedConn, MAX_ADDED } from "../net/buffered_conn.ts";
import { isPending, pause, turn } from "../wait.ts";
import { Closed, TimeoutError } from "../net/errors.ts";
import { ErrorReply } from "../wire/message.ts";
import type { Framing } from "../wire/framing.ts";
import type { MessageSource } from "./pipes.ts";

/** Callbacks of a conversation. */
export interface TalkCallbacks {
  /** A message was answered; null is a lost reply. `duration` is in milliseconds. */
  onReply(reply: Uint8Array | null, seq: number, duration: number): Promise<void>;
  /** Something was received that answers no message. */
  onUnsolicited(data: Uint8Array): Promise<void>;
  /** Awaits an exchange, and may show progress meanwhile. */
  waiting?(exchange: Promise<void>): Promise<void>;
}

type OnReply = (reply: Uint8Array | null) => Promise<void>;

/**
 * Sends the messages of a source one at a time, until it ends, or the connection is closed.
 * @param maxMessages the number of messages after which the conversation ends
 * @throws {TimeoutError} at the end, if a reply was lost
 * @throws {Error} if a message was not answered, or the connection was closed
 */
export async function talk(
  turns: Turns | DatagramTurns,
  source: MessageSource,
  { onReply, onUnsolicited, waiting = (exchange) => exchange }: TalkCallbacks,
  maxMessages = Infinity,
): Promise<void> {
  let isReadingSource = false;
  let isDone = false; // every message was answered or lost: the server may close the connection

  async function sendAll(): Promise<void> {
    for (let seq = 1; seq <= maxMessages; seq++) {
      isReadingSource = true;
      const message = await source.next();
      isReadingSource = false;
      if (message === null) break;
      await turns.settle();
      const start = performance.now();
      const report: OnReply = (reply) => onReply(reply, seq, performance.now() - start);
      await waiting(turns.exchange(message, report));
    }
    isDone = true;
    await turns.settle();
    if (turns.lost) throw turns.lost;
  }

  const closed = turns.receive((data) => {
    const write = () => onUnsolicited(data);
    return source.interrupt?.(write) ?? write();
  });
  try {
    await Promise.race([sendAll(), closed]);
  } catch (error) {
    if (isReadingSource) await pause(0); // the source may have ended too
    if (isDone && error instanceof Closed) return;
    if (isReadingSource) await source.abandon?.();
    throw error;
  }
}

/** The most reads after which a server that never stops sending is not waited for. */
const MAX_READS = 50;

/**
 * Takes turns over a connection. The next data from the server is taken as the reply to the pending
 * message, if there is one.
 */
export class Turns {
  /** Messages answered. */
  answered = 0;
  readonly lost = undefined; // without a reply, the conversation fails
  #onReply: OnReply | undefined; // reports the reply to the pending message
  #reporting: Promise<void> = Promise.resolve();

  /** @param peer a peer on the connection, whose time limit holds here */
  constructor(readonly conn: BufferedConn, readonly peer: Peer) {}

  /** Messages sent. */
  get sent(): number {
    return this.peer.sent;
  }

  /** Waits until what was received is reported, so that it is not taken for the reply to the next message. */
  async settle(): Promise<void> {
    const end = this.conn.reads + MAX_READS;
    let last: unknown;
    while (last !== this.#reporting && this.conn.reads < end) {
      await (last = this.#reporting);
      await turn();
    }
  }

  /** Exchanges a message for its reply, which is reported before this resolves. */
  async exchange(message: Uint8Array, onReply: OnReply): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    using deadline = this.conn.deadline(undefined, "no reply", reject);
    this.#onReply = (reply) => {
      deadline[Symbol.dispose]();
      return onReply(reply).then(resolve, reject);
    };
    this.peer.send(message).catch(reject);
    await promise;
    this.answered++;
  }

  /** Reports what the server sends, one message at a time and in order; rejects at the end. */
  async receive(onUnsolicited: TalkCallbacks["onUnsolicited"]): Promise<never> {
    for (;;) {
      const { bytes } = await this.peer.receive();
      const report = this.#onReply ?? onUnsolicited;
      this.#onReply = undefined;
      this.#reporting = report(bytes);
      await this.#reporting;
    }
  }
}

/** Takes turns over UDP, which loses messages. */
export class DatagramTurns {
  /** Messages whose reply was reported. */
  answered = 0;
  /** Set if a reply was lost. */
  lost: TimeoutError | undefined;

  constructor(readonly peer: DatagramPeer) {}

  /** Messages sent. */
  get sent(): number {
    return this.peer.sent;
  }

  /** Replies are matched to messages, so there is nothing to wait for. */
  settle(): void {}

  /** Exchanges a message for its reply, or sets {@linkcode lost}. */
  async exchange(message: Uint8Array, onReply: OnReply): Promise<void> {
    const reply = await this.peer.request(message).catch((error) => {
      if (error instanceof ErrorReply) return error.reply;
      if (!(error instanceof TimeoutError)) throw error;
      this.lost = error;
      return null;
    });
    await onReply(reply?.bytes ?? null);
    if (reply) this.answered++;
  }

  /** Never settles: there is no connection that could be closed. */
  receive(): Promise<never> {
    return new Promise(() => {});
  }
}

/** A partial line is shown when nothing follows it for this time, in milliseconds. */
const PARTIAL_LINE = 50;

/**
 * Sends and receives independently, until the server closes the connection. The end of the input
 * half-closes it.
 * @param input bytes to send; each piece is sent before the next is asked for
 * @param show reports a line, or in raw framing what a read returned
 * @throws {TimeoutError} if nothing is received in time after the end of the input
 * @throws {Closed} if the server resets the connection
 */
export async function talkFreely(
  conn: BufferedConn,
  input: AsyncIterable<Uint8Array>,
  framing: Framing,
  show: (data: Uint8Array) => Promise<void>,
): Promise<void> {
  let isInputOver = false;
  let failure: unknown;
  using deadline = conn.deadline(() => isInputOver, "nothing was received");

  async function sendAll(): Promise<void> {
    try {
      for await (const bytes of input) await conn.send(bytes);
    } catch (error) {
      failure = error;
    }
    isInputOver = true;
    deadline.restart();
    await conn.closeWrite();
  }

  /** Shows what is held; meanwhile, more may be received. */
  async function showHeld(): Promise<void> {
    const { held } = conn;
    if (held.length > 0) await show(held);
    conn.consume(held.length);
  }

  void sendAll();
  try {
    for (;;) {
      for (let line; (line = conn.take({ framing })) !== null;) await show(line.reply);
      if (conn.held.length > MAX_ADDED) await showHeld();
      const more = conn.more();
      more.catch(() => {}); // awaited below, perhaps only after slow output
      const isPartial = framing === "auto" && conn.held.length > 0;
      if (isPartial && await isPending(more, PARTIAL_LINE)) await showHeld();
      if (!await more) break;
      deadline.restart();
    }
  } finally {
    await showHeld();
  }
  if (failure !== undefined) throw failure;
}
