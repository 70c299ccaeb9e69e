/** The client's part in a conversation: sends messages in turn, ahead, or freely, and reports what it receives. */

import type { DatagramPeer } from "../client/datagram_peer.ts";
import type { Peer } from "../client/peer.ts";
import { type BufferedConn, MAX_ADDED } from "../net/buffered_conn.ts";
import { Deadline } from "../net/deadline.ts";
import { Closed, TimeoutError } from "../net/errors.ts";
import { isPending, turn } from "../wait.ts";
import { ErrorReply } from "../wire/error_reply.ts";
import type { Framing } from "../wire/framing.ts";
import { Lines } from "./lines.ts";

/** The source of the messages of a conversation. */
export interface MessageSource {
  /** The next message; null at the end. */
  next(): Promise<Uint8Array | null>;
  /** Gives up the pending call of `next`, since the conversation has ended. */
  abandon?(): Promise<void>;
  /** Writes something else without breaking the line that is being typed. */
  interrupt?(write: () => Promise<void>): Promise<void>;
}

/** Callbacks of a conversation. */
export interface TalkCallbacks {
  /** A message was answered; null: its reply was lost. `duration` is in milliseconds. */
  onReply(reply: Uint8Array | null, seq: number, duration: number): Promise<void>;
  /** Something was received that answers no message. */
  onUnsolicited(data: Uint8Array): Promise<void>;
  /** Waits for an exchange, and may show that. */
  waiting?(exchange: Promise<void>): Promise<void>;
}

type OnUnsolicited = TalkCallbacks["onUnsolicited"];
type OnReply = (reply: Uint8Array | null) => Promise<void>;

/**
 * Sends the messages of a source in turn, until it ends, or the connection is closed.
 * @param most the number of messages after which the conversation ends
 * @throws {TimeoutError} at the end, if a reply was lost
 * @throws {Error} if a message was not answered, or the connection was closed
 */
export async function talk(
  turns: Turns | DatagramTurns,
  source: MessageSource,
  { onReply, onUnsolicited, waiting = (exchange) => exchange }: TalkCallbacks,
  most = Infinity,
): Promise<void> {
  let isAsking = false;
  let isDone = false; // every message was answered or lost: the server may close the connection

  async function sendAll(): Promise<void> {
    for (let seq = 1; seq <= most; seq++) {
      isAsking = true;
      const message = await source.next();
      isAsking = false;
      if (message === null) break;
      await turns.ready();
      const start = performance.now();
      await waiting(turns.exchange(message, (reply) => {
        return onReply(reply, seq, performance.now() - start);
      }));
    }
    isDone = true;
    await turns.ready();
    if (turns.lost) throw turns.lost;
  }

  const closed = turns.receive((data) => {
    const write = () => onUnsolicited(data);
    return source.interrupt?.(write) ?? write();
  });
  try {
    await Promise.race([sendAll(), closed]);
  } catch (error) {
    if (isDone && error instanceof Closed) return;
    if (isAsking) await source.abandon?.();
    throw error;
  }
}

/** Takes turns over a connection: the next data from the server is the reply that is due, if one is. */
export class Turns {
  /** Messages answered. */
  answered = 0;
  readonly lost = undefined; // without a reply, the conversation fails
  #onReply: OnReply | undefined; // of the message that waits for its reply
  #reporting: Promise<void> = Promise.resolve();

  /** @param peer a peer on the connection, whose time limit holds here */
  constructor(readonly conn: BufferedConn, readonly peer: Peer) {}

  /** Messages sent. */
  get sent(): number {
    return this.peer.sent;
  }

  /** Waits until what was received has been reported: it can't be the reply to a later message. */
  async ready(): Promise<void> {
    let last: unknown;
    while (last !== this.#reporting) {
      last = this.#reporting;
      await last;
      await turn();
    }
  }

  /** Exchanges a message for its reply, which is reported before this resolves. */
  async exchange(message: Uint8Array, onReply: OnReply): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { timeout } = this.conn;
    const late = () => reject(new TimeoutError("no reply", timeout));
    using deadline = new Deadline(timeout, late, undefined, () => this.conn.reads);
    this.#onReply = (reply) => {
      deadline[Symbol.dispose]();
      return onReply(reply).then(resolve, reject);
    };
    this.peer.send(message).catch(reject);
    await promise;
    this.answered++;
  }

  /** Reports what the server sends, one message at a time and in order; rejects at the end. */
  async receive(onUnsolicited: OnUnsolicited): Promise<never> {
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
  /** Set if a reply was lost. */
  lost: TimeoutError | undefined;

  constructor(readonly peer: DatagramPeer) {}

  ready(): void {}

  /** As that of {@linkcode Turns}. */
  async exchange(message: Uint8Array, onReply: OnReply): Promise<void> {
    const reply = await this.peer.request(message).catch((error) => {
      if (error instanceof ErrorReply) return error.reply;
      if (error instanceof TimeoutError) return this.lost = error;
      throw error;
    });
    await onReply(reply instanceof TimeoutError ? null : reply.bytes);
  }

  /** There is no connection that could be closed. */
  receive(): Promise<never> {
    return new Promise(() => {});
  }
}

/** A partial line is shown when nothing follows for this time, in milliseconds. */
const PARTIAL_LINE = 50;

/**
 * Sends and receives freely, until the server closes the connection. The end of the input
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

  void sendAll();
  let lines = new Lines(show);
  for (;;) {
    const more = conn.more();
    const isStuck = framing === "auto" && lines.held > 0 && await isPending(more, PARTIAL_LINE);
    if (isStuck || lines.held > MAX_ADDED) {
      await lines.end();
      lines = new Lines(show);
    }
    if (!await more) break;
    const { held } = conn;
    await (framing === "raw" ? show(held) : lines.write(held));
    conn.consume(held.length);
    deadline.restart();
  }
  await lines.end();
  if (failure !== undefined) throw failure;
}

/**
 * The most bytes of messages in flight over UDP: much less than the smallest receive buffer of
 * any system, past which datagrams are lost.
 */
const MAX_IN_FLIGHT = 65536;
/** The bytes that a shorter message counts for: 32 messages are in flight. */
const MIN_COUNTED = MAX_IN_FLIGHT / 32;

/**
 * Sends messages while others wait for their replies. Replies are reported in the order of the messages.
 * @throws {TimeoutError} at the end, if a message was lost
 * @throws {Error} if a message can't be sent, or was refused
 */
export async function requestAhead(
  peer: DatagramPeer,
  messages: AsyncIterable<Uint8Array>,
  onReply: (reply: Uint8Array, seq: number) => Promise<void>,
): Promise<void> {
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  const inFlight: { reported: Promise<void>; bytes: number }[] = [];
  let bytesInFlight = 0;
  let seq = 0;
  let lost: TimeoutError | undefined;

  async function reportNext(message: Uint8Array, before = inFlight.at(-1)): Promise<void> {
    const reply = await peer.request(message).catch((error) => {
      if (!(error instanceof TimeoutError)) throw error;
      lost = error;
    });
    await before?.reported;
    seq++;
    if (reply) await onReply(reply.bytes, seq);
  }

  async function sendAll(): Promise<void> {
    for await (const message of messages) {
      const bytes = Math.max(message.length, MIN_COUNTED);
      for (let first; bytesInFlight + bytes > MAX_IN_FLIGHT && (first = inFlight[0]);) {
        await first.reported;
        bytesInFlight -= first.bytes;
        inFlight.shift();
      }
      const reported = reportNext(message);
      reported.catch(fail);
      bytesInFlight += bytes;
      inFlight.push({ reported, bytes });
    }
    await inFlight.at(-1)?.reported;
  }

  await Promise.race([sendAll(), failed]);
  if (lost !== undefined) throw lost;
}
