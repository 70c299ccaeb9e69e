/** The client's part in a conversation: says what it is given, tells what comes back. */

import { TimeoutError } from "../client/datagram_peer.ts";

/** Whom to talk to: a peer, or who stands for one. */
export interface TalkPeer {
  /** Says a message; gives its reply. */
  request(message: Uint8Array): Promise<Uint8Array>;
  /** Rejects when it goes away, and never resolves. */
  gone(): Promise<never>;
  /** What it says next that is no reply. */
  receive?(): Promise<Uint8Array>;
}

/** Where messages come from. */
export interface MessageSource {
  /** The next message; null at the end. */
  next(): Promise<Uint8Array | null>;
  /** The server has gone away while it was asked for one. */
  abandon?(): Promise<void>;
  /** Writes something else, while it is asked or not. */
  interrupt?(write: () => Promise<void>): Promise<void>;
}

/** Who is told. */
export interface TalkCallbacks {
  /** A reply came. */
  readonly onReply: OnReply;
  /** Something came that nobody asked for. */
  onUnasked?(words: Uint8Array): Promise<void>;
}

/** Is told a reply, null where it was lost, the number of its message from 1, and how long it took, in ms. */
export type OnReply = (reply: Uint8Array | null, seq: number, duration: number) => Promise<void>;

/**
 * Talks until the source ends, or the server goes away, even while the source is asked.
 * @param most the number of messages after which it ends
 * @throws {Error} when a message was not answered, or the server has gone away; of lost replies at the end
 */
export async function talk(
  peer: TalkPeer,
  source: MessageSource,
  { onReply, onUnasked }: TalkCallbacks,
  most = Infinity,
): Promise<void> {
  let fail = (_: unknown) => {};
  let lost: TimeoutError | undefined;
  peer.gone().catch((error) => fail(error));
  if (onUnasked !== undefined) hearUnasked(peer, source, onUnasked).catch((error) => fail(error));
  for (let seq = 1; seq <= most; seq++) {
    // Not Promise.race: a promise that is raced for ever keeps something of each race.
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
    fail = reject;
    source.next().then(resolve, reject);
    const message = await promise.catch(async (error) => {
      await source.abandon?.();
      throw error;
    });
    if (message === null) break;
    const since = performance.now();
    const reply = await hear(peer, message);
    if (reply instanceof TimeoutError) lost = reply;
    await onReply(reply instanceof TimeoutError ? null : reply, seq, performance.now() - since);
  }
  if (lost !== undefined) throw lost;
}

async function hearUnasked(
  peer: TalkPeer,
  source: MessageSource,
  onUnasked: (words: Uint8Array) => Promise<void>,
): Promise<void> {
  for (let words; (words = await peer.receive?.()) !== undefined;) {
    const heard = words;
    const write = () => onUnasked(heard);
    await (source.interrupt?.(write) ?? write());
  }
}

/**
 * The most bytes of messages under way at once: much less than the least that systems hold
 * for a socket, where more would be lost.
 */
const MOST_AHEAD = 65536;
/** What a message counts for at least, in bytes: of short ones 32 are under way. */
const LEAST_COUNTED = MOST_AHEAD / 32;

/**
 * Talks with some messages under way at once; replies are told in the order of their messages.
 * @throws {Error} as {@linkcode talk} does
 */
export async function talkAhead(
  peer: TalkPeer,
  messages: AsyncIterable<Uint8Array>,
  onReply: (reply: Uint8Array, seq: number) => Promise<void>,
): Promise<void> {
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  const waiting: { telling: Promise<void>; bytes: number }[] = [];
  let underWay = 0;
  let seq = 0;
  let lost: TimeoutError | undefined;

  async function tellNext(
    reply: Promise<Uint8Array | TimeoutError>,
    before = waiting.at(-1),
  ): Promise<void> {
    const heard = await reply;
    await before?.telling;
    seq++;
    if (heard instanceof TimeoutError) lost = heard;
    else await onReply(heard, seq);
  }

  async function talkAll(): Promise<void> {
    for await (const message of messages) {
      const bytes = Math.max(message.length, LEAST_COUNTED);
      for (let first; underWay + bytes > MOST_AHEAD && (first = waiting[0]); waiting.shift()) {
        await first.telling;
        underWay -= first.bytes;
      }
      const telling = tellNext(hear(peer, message));
      telling.catch(fail);
      underWay += bytes;
      waiting.push({ telling, bytes });
    }
    await waiting.at(-1)?.telling;
  }

  peer.gone().catch(fail);
  await Promise.race([talkAll(), failed]);
  if (lost !== undefined) throw lost;
}

async function hear(peer: TalkPeer, message: Uint8Array): Promise<Uint8Array | TimeoutError> {
  try {
    return await peer.request(message);
  } catch (error) {
    if (error instanceof TimeoutError) return error;
    throw error;
  }
}
