/** Replies: what handlers write, as bytes in a buffer. */

import { type CustomFraming, framed } from "../wire/framing.ts";
import { type Message, type MessageView, NONE, utf8 } from "../wire/message.ts";

/**
 * The reply to a message, to be written by a handler. All written data is copied at once.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, type Reply, serve } from "@readback/readback";
 *
 * const sign = (reply: Reply) => reply.write(" -- yours");
 * await using server = serve((message, reply) => {
 *   reply.write(message);
 *   sign(reply);
 * });
 * using peer = await Peer.connect({ port: server.port });
 * assertEquals((await peer.request("hello")).text, "hello -- yours");
 * ```
 */
export interface Reply {
  /**
   * Adds text, bytes or a message to the reply. The server adds the line ending or the frame. If a
   * handler writes nothing, not even an empty text, nothing is sent.
   *
   * @throws {Error} once the handler is done
   */
  write(part: string | Uint8Array | Message): void;
}

/** The most bytes that are copied in a loop, which takes less time than a call of `set`. */
const BY_HAND = 128;
/** The bytes that the loop copies per step, with one load and one store. */
const STEP = 8;
/** The most bytes of unused buffers that are kept. */
const SPARE = 16 << 20;

const NO_VIEW = new DataView(NONE.buffer);

/** Replies in one buffer that grows. */
export class ReplyBuffer implements Reply {
  static readonly #spare: ReplyBuffer[] = [];
  static #spareBytes = 0;
  // Fields that are never undefined, as those that a constructor declares are, cost less to read.
  bytes = NONE;
  view = NO_VIEW;
  length = 0;
  #finished = 0; // the length of the finished replies
  #begun = false; // the next reply

  constructor(bytes = new Uint8Array(4096), view = new DataView(bytes.buffer)) {
    this.bytes = bytes;
    this.view = view;
  }

  /** Returns an empty buffer. */
  static take(): ReplyBuffer {
    const out = ReplyBuffer.#spare.pop();
    if (out !== undefined) ReplyBuffer.#spareBytes -= out.bytes.length;
    return out ?? new ReplyBuffer();
  }

  /** Reuses the bytes of a buffer. A handler may still hold the object: writing to it throws. */
  static give(out: ReplyBuffer): void {
    if (ReplyBuffer.#spareBytes + out.bytes.length <= SPARE) {
      ReplyBuffer.#spareBytes += out.bytes.length;
      ReplyBuffer.#spare.push(new ReplyBuffer(out.bytes, out.view));
    }
    out.bytes = NONE;
  }

  write(part: string | Uint8Array | Message): void {
    this.#begun = true;
    if (isMessage(part)) this.#copyMessage(part);
    else this.#copy(utf8(part as string | Uint8Array));
  }

  /** Copies eight bytes per step, up to seven beyond the end; single bytes take three times as long. */
  #copyMessage({ source, start, end, view: from }: MessageView): void {
    const length = end - start;
    let to = this.#room(length);
    if (length > BY_HAND) return this.bytes.set(source.subarray(start, end), to);
    const { bytes, view } = this;
    const last = from.byteLength - STEP;
    let at = start | 0;
    for (; at < end && at <= last; at += STEP, to += STEP) {
      view.setBigUint64(to, from.getBigUint64(at, true), true);
    }
    for (; at < end; at++, to++) bytes[to] = source[at] as number;
  }

  #copy(part: Uint8Array): void {
    const { length } = part;
    if (length === undefined) {
      throw new TypeError(`a reply must be text, bytes or a message, not ${String(part)}`);
    }
    const to = this.#room(length);
    if (length > BY_HAND) this.bytes.set(part, to);
    else for (let at = 0; at < length; at++) this.bytes[to + at] = part[at] as number;
  }

  /** Makes room for `length` bytes and one step more; returns their position. */
  #room(length: number): number {
    const to = this.length;
    this.length += length;
    if (this.length + STEP > this.bytes.length) this.#grow(this.length + STEP);
    return to;
  }

  #grow(length: number): void {
    if (this.bytes === NONE) {
      throw new Error(
        "cannot write: the reply was sent when the handler returned, or when its promise settled",
      );
    }
    const larger = new Uint8Array(Math.max(length, 2 * this.bytes.length));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
    this.view = new DataView(larger.buffer);
  }

  /** Removes the unfinished reply, and returns it; undefined if none was begun, not even an empty one. */
  withdraw(): Uint8Array | undefined {
    const reply = this.#begun ? this.bytes.slice(this.#finished, this.length) : undefined;
    this.undo();
    return reply;
  }

  /** Finishes a reply, if one was begun, with an ending or in a custom framing. */
  end(ending: Uint8Array, framing?: CustomFraming): void {
    if (!this.#begun) return;
    this.#copy(framing === undefined ? ending : this.#frame(framing));
    this.#finished = this.length;
    this.#begun = false;
  }

  /** Puts a framing's bytes before the unfinished reply; returns those that follow it. */
  #frame(framing: CustomFraming): Uint8Array {
    const start = this.#finished, end = this.length;
    const [before, after] = framed(framing, this.bytes.subarray(start, end));
    this.#room(before.length);
    this.bytes.copyWithin(start + before.length, start, end);
    this.bytes.set(before, start);
    return after;
  }

  /** Discards an unfinished reply. */
  undo(): void {
    this.length = this.#finished;
    this.#begun = false;
  }

  /** Removes the finished replies, and returns them. */
  cut(): Uint8Array {
    const finished = this.bytes.slice(0, this.#finished);
    this.bytes.copyWithin(0, this.#finished, this.length);
    this.length -= this.#finished;
    this.#finished = 0;
    return finished;
  }
}

/** The failure of a reply: what its handler has thrown. */
export type Failure = Readonly<{ error: unknown }>;

/**
 * A reply that is sent later: its handler is async, a reply to an earlier message is late, or
 * the server's replies are separate. In the last case, a wrapper round the handler may use all of it.
 */
export class LateReply implements Reply {
  /** The finished reply, once the handler is done, or its failure: from then on, nothing can be written. */
  result: Uint8Array | Failure | undefined;
  /**
   * Delays the reply, and those after it, until it resolves. Meanwhile the reply does not count
   * against `concurrency` or `handlerTimeout`, and the client is not idle.
   */
  until: Promise<void> | undefined;
  /** Passed on to the `write` of the reply, if the server's replies are separate. */
  tag: unknown;
  /** Cancels the time limit of the handler. */
  cancel: (() => void) | undefined;

  /**
   * @param buffer owned from here on
   * @param finish finishes the reply with its ending or frame; what is written then is another reply
   */
  constructor(readonly buffer: ReplyBuffer, readonly finish: () => void) {}

  write(part: string | Uint8Array | Message): void {
    this.buffer.write(part);
  }

  /**
   * Takes the finished bytes out of the buffer: the handler is done or has failed, or nobody waits.
   * @returns their number; 0 if that was done before
   */
  handled(failure?: Failure): number {
    if (this.result !== undefined) return 0;
    this.cancel?.();
    try {
      if (failure === undefined) this.finish();
      this.result = failure ?? this.buffer.cut();
    } catch (error) {
      this.result = { error };
    }
    ReplyBuffer.give(this.buffer);
    return this.result instanceof Uint8Array ? this.result.length : 0;
  }
}

/** Tests for a field: `instanceof` walks the prototypes, which takes 2 % of the total time. */
function isMessage(part: string | Uint8Array | Message): part is MessageView {
  return (part as MessageView).view !== undefined;
}
