/** Replies on their way out: what handlers write, as bytes in one buffer. */

import { type CustomFraming, framed } from "../wire/custom_framing.ts";
import type { Message } from "../wire/message.ts";

/**
 * Where a handler writes its reply. What it writes is copied at once.
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
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * assertEquals(new TextDecoder().decode(await peer.request("hello")), "hello -- yours");
 * ```
 */
export interface Reply {
  /**
   * Adds text, bytes or the message itself to the reply; what ends it on the wire is
   * added for you. Where a handler writes nothing, not even an empty text, nothing is sent.
   */
  write(part: string | Uint8Array | Message): void;
}

/** Up to this many bytes are copied by hand, in less time than a call of `set` takes. */
const BY_HAND = 128;
/** In steps of this many bytes, each one load and one store. */
const STEP = 8;
/** How many bytes of unused reply buffers are kept. */
const SPARE = 16 << 20;

const encoder = new TextEncoder();
const NONE = new Uint8Array(0);
const NO_VIEW = new DataView(NONE.buffer);

/** Replies on their way out, in one buffer that grows. */
export class ReplyBuffer implements Reply {
  static readonly #spare: ReplyBuffer[] = [];
  static #kept = 0; // bytes
  // Fields that begin as what they are for good cost less to read than any that begin as undefined.
  bytes = NONE;
  view = NO_VIEW;
  length = 0;
  #whole = 0; // the length of the replies that are done
  #begun = false; // the next one

  constructor(bytes = new Uint8Array(4096), view = new DataView(bytes.buffer)) {
    this.bytes = bytes;
    this.view = view;
  }

  /** One that is not in use. */
  static take(): ReplyBuffer {
    const out = ReplyBuffer.#spare.pop();
    if (out === undefined) return new ReplyBuffer();
    ReplyBuffer.#kept -= out.bytes.length;
    return out;
  }

  /** Nothing more is written to it; its buffer goes to another, for a handler may still hold this one. */
  static give(out: ReplyBuffer): void {
    if (ReplyBuffer.#kept + out.bytes.length <= SPARE) {
      ReplyBuffer.#kept += out.bytes.length;
      ReplyBuffer.#spare.push(new ReplyBuffer(out.bytes, out.view));
    }
    out.bytes = NONE;
  }

  write(part: string | Uint8Array | Message): void {
    this.#begun = true;
    if (isMessage(part)) this.#copyMessage(part);
    else this.#copy(typeof part === "string" ? encoder.encode(part) : part);
  }

  /** In steps of eight bytes, the last of which may go beyond the message's end: byte by byte took three times as long. */
  #copyMessage({ source, start, end, view: from }: Message): void {
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
      throw new TypeError(`a reply is text, bytes or a message, not ${String(part)}`);
    }
    const to = this.#room(length);
    if (length > BY_HAND) this.bytes.set(part, to);
    else for (let at = 0; at < length; at++) this.bytes[to + at] = part[at] as number;
  }

  /** Makes room for this many bytes and a step more; gives the place where they go. */
  #room(length: number): number {
    const to = this.length;
    this.length += length;
    if (this.length + STEP > this.bytes.length) this.#grow(this.length + STEP);
    return to;
  }

  #grow(length: number): void {
    if (this.bytes === NONE) {
      throw new Error(
        "cannot write: the reply is over, for the handler's promise has settled, or it gave none",
      );
    }
    const larger = new Uint8Array(Math.max(length, 2 * this.bytes.length));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
    this.view = new DataView(larger.buffer);
  }

  /** Whether there is a reply that was begun, be it empty. */
  get isBegun(): boolean {
    return this.#begun;
  }

  /** Ends a reply, if there is one. */
  end(ending: Uint8Array): void {
    if (!this.#begun) return;
    this.#copy(ending);
    this.#whole = this.length;
    this.#begun = false;
  }

  /** Ends a reply as a framing of one's own does, if there is one. */
  endIn(framing: CustomFraming): void {
    if (!this.#begun) return;
    const start = this.#whole, end = this.length;
    const [before, after] = framed(framing, this.bytes.subarray(start, end));
    this.#room(before.length);
    this.bytes.copyWithin(start + before.length, start, end);
    this.bytes.set(before, start);
    this.end(after);
  }

  /** Takes back a reply that was begun. */
  undo(): void {
    this.length = this.#whole;
    this.#begun = false;
  }

  /** Parts with the replies that are done: they are in the new one. */
  split(): ReplyBuffer {
    const done = ReplyBuffer.take();
    done.#copy(this.bytes.subarray(0, this.#whole));
    done.#whole = done.length;
    this.bytes.copyWithin(0, this.#whole, this.length);
    this.length -= this.#whole;
    this.#whole = 0;
    return done;
  }

  /** Adds a reply that was late, and has ended. */
  add(out: ReplyBuffer): void {
    this.#copy(out.bytes.subarray(0, out.#whole));
    this.#whole = this.length;
    ReplyBuffer.give(out);
  }
}

/** As `instanceof` does, which would walk the prototypes: that takes 2 % of all the time. */
function isMessage(part: string | Uint8Array | Message): part is Message {
  return (part as Message).view !== undefined;
}
