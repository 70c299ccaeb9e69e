/**
 * The client's part in a conversation: sends messages one at a time, or independently of replies, and
 * reports what it receives.
 */

import { DatagramPeer } from "../client/datagram_peer.ts";
import { Peer } from "../client/peer.ts";
import { type BufferedConn, MAX_ADDED } from "../net/buffered_conn.ts";
import { isPending, pause, turn } from "../wait.ts";
import { Closed, TimeoutError } from "../net/errors.ts";
import { ErrorReply } from "../wire/message.ts";
import type { Framing } from "../wire/framing.ts";
import type { Messages } from "./pipes.ts";

/** How to take turns, and what to do with what is received. */
export interface TalkOptions {
  /** The number of messages after which the conversation ends. @default {Infinity} */
  readonly maxMessages?: number | undefined;
  /** An empty message ends the conversation. */
  readonly endsAtBlank?: boolean;
  /** A message was answered; null is a lost reply. `duration` is in milliseconds. */
  onReply(reply: Uint8Array | null, seq: number, duration: number): Promise<void>;
  /** Something was received that answers no message. */
  onUnsolicited(data: Uint8Array): Promise<void>;
  /** Awaits an exchange, and may show progress meanwhile. */
  waiting(exchange: Promise<void>): Promise<void>;
}

type OnReply = (reply: Uint8Array | null) => Promise<void>;

/**
 * Sends the messages of a source one at a time, until it ends, or the connection is closed.
 * @throws {TimeoutError} at the end, if a reply was lost
 * @throws {Error} if a message was not answered, or the connection was closed
 */
export async function talk(turns: Turns, source: Messages, options: TalkOptions) {
  const { maxMessages = Infinity, endsAtBlank, onReply, onUnsolicited, waiting } = options;
  let isDone = false; // every message was answered or lost: the server may close the connection

  async function sendAll(): Promise<void> {
    for (let seq = 1; seq <= maxMessages; seq++) {
      const message = await source.next();
      if (message === null || (endsAtBlank && message.length === 0)) break;
      await turns.settle();
      const start = performance.now();
      const report: OnReply = (reply) => onReply(reply, seq, performance.now() - start);
      await waiting(turns.exchange(message, report));
    }
    isDone = true;
    await turns.settle();
    if (turns.lost) throw turns.lost;
  }

  try {
    await Promise.race([sendAll(), turns.receive(onUnsolicited)]);
  } catch (error) {
    await pause(0); // the source may have ended too
    if (!isDone || !(error instanceof Closed)) throw error;
  }
}

/** The reads after which {@linkcode Turns.settle} stops waiting: a server may never stop sending. */
const MAX_READS = 50;

/** Takes turns over a connection, or over UDP, which loses messages. */
export class Turns {
  /** Messages whose reply was reported. */
  answered = 0;
  /** Set if a reply was lost. Over a connection, the conversation fails without one. */
  lost: TimeoutError | undefined;
  readonly peer: Peer | DatagramPeer;
  #reporting: Promise<void> = Promise.resolve();

  /** @param server a connection, whose time limit holds here, or a peer over UDP */
  constructor(readonly server: BufferedConn | DatagramPeer, framing: Framing) {
    // Over a connection, the next data from the server is taken as the reply to the pending message.
    const options = { framing, matches: () => true };
    this.peer = server instanceof DatagramPeer ? server : new Peer(server, options);
  }

  /** Messages sent. */
  get sent(): number {
    return this.peer.sent;
  }

  /** Waits until what was received is reported, so that it is not taken for the reply to the next message. */
  async settle(): Promise<void> {
    const { server } = this;
    if (server instanceof DatagramPeer) return; // over UDP, only replies are reported
    const end = server.reads + MAX_READS;
    let last: unknown;
    while (last !== this.#reporting && server.reads < end) {
      await (last = this.#reporting);
      await turn();
    }
  }

  /** Exchanges a message for its reply, and reports that, or over UDP that it is lost. */
  async exchange(message: Uint8Array, onReply: OnReply): Promise<void> {
    const replying = this.peer.request(message).catch((error) => {
      if (error instanceof ErrorReply) return error.reply;
      const isLost = error instanceof TimeoutError && this.server instanceof DatagramPeer;
      if (!isLost) throw error;
      this.lost = error;
      return null;
    });
    this.#reporting = replying.then((reply) => onReply(reply?.bytes ?? null));
    await this.#reporting;
    if (await replying) this.answered++;
  }

  /** Reports what answers no message, in order with the replies; rejects at the end of a connection. */
  async receive(onUnsolicited: TalkOptions["onUnsolicited"]): Promise<never> {
    const { peer } = this;
    if (peer instanceof DatagramPeer) return await new Promise(() => {});
    for (;;) {
      const { bytes } = await peer.receive().finally(() => this.#reporting); // the reply before it is reported first
      await (this.#reporting = onUnsolicited(bytes));
    }
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
  using deadline = conn.deadline(() => isInputOver, "nothing was received");

  async function sendAll(): Promise<void> {
    try {
      for await (const bytes of input) await conn.send(bytes);
    } finally {
      isInputOver = true;
      deadline.restart();
      void conn.closeWrite(); // under TLS, it waits for a server that reads nothing
    }
  }

  /** Shows what is held; meanwhile, more may be received. */
  async function showHeld(): Promise<void> {
    const { held } = conn;
    if (held.length > 0) await show(held);
    conn.consume(held.length);
  }

  const sending = sendAll();
  sending.catch(() => {}); // awaited below, after what is still received
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
  if (isInputOver) await sending;
}
