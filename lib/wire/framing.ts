/** Framings: cut streams of bytes into messages. Pure: the caller reads, and reports pauses and the end. */

import { MessageTooLong, MessageView, NONE, utf8 } from "./message.ts";

/**
 * The way to find the end of a message. `line`: at LF or CRLF. `raw`: each read is a message. `auto`:
 * one of the two for good, as soon as the first message shows which.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Framing, Peer, serve } from "@readback/readback";
 *
 * for (const framing of ["auto", "line", "raw"] satisfies Framing[]) {
 *   await using server = serve((message, reply) => reply.write(message), { framing });
 *   using peer = await Peer.connect({ port: server.port, framing });
 *   assertEquals((await peer.request("hello")).text, "hello");
 * }
 * ```
 */
export type Framing = "auto" | "line" | "raw";

/** The names of the framings, for options. */
export const FRAMINGS: readonly Framing[] = ["auto", "line", "raw"];

/**
 * The position of a message in a stream.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type CustomFraming, type Frame, Peer, serve } from "@readback/readback";
 *
 * // Messages of four bytes, each followed by one byte that means nothing.
 * const frame: Frame = { start: 0, end: 4, next: 5 };
 * const framing: CustomFraming = { read: () => frame, write: () => ({ after: "." }) };
 * await using server = serve((message, reply) => reply.write(message), { framing });
 * using peer = await Peer.connect({ port: server.port, framing });
 * assertEquals((await peer.request("four")).text, "four");
 * ```
 */
export interface Frame<Value = unknown> {
  /** The position of the message's first byte. */
  readonly start: number;
  /** The position after its last byte; the bytes up to there may still be missing. */
  readonly end: number;
  /** The position at which the next frame begins. @default {end} */
  readonly next?: number | undefined;
  /** The parsed message, passed on as `message.value`. */
  readonly value?: Value | undefined;
}

/**
 * Finds messages in a stream, and frames replies. One object serves all conversations, so it must
 * hold no state. A {@linkcode FramingError} that it throws ends the conversation with
 * `framing error`; any other error is reported to `onError`, and ends it with `failed`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type CustomFraming, serve } from "@readback/readback";
 * import { Wire } from "@readback/readback/testing";
 *
 * // Each message follows its length, which is one byte.
 * const counted: CustomFraming = {
 *   read: ([length = 0]) => ({ start: 1, end: 1 + length }),
 *   write: ({ length }) => ({ before: Uint8Array.of(length) }),
 * };
 * await using server = serve((message, reply) => reply.write(message.text.toUpperCase()), {
 *   framing: counted,
 *   maxMessage: 255,
 * });
 * using wire = await Wire.dial(server.port);
 * await wire.send("\x02hi\x01!");
 * await wire.end();
 * assertEquals(await wire.rest(), "\x02HI\x01!");
 * ```
 */
export interface CustomFraming<Value = unknown> {
  /**
   * Finds the next message. A conversation that ends inside a frame ends without that message.
   *
   * @param bytes the unread bytes of the stream, at least one; valid during the call
   * @param seen how many of `bytes` were passed to the previous call, which found no frame
   * @param isOver true if no more bytes will be received
   * @returns the frame as soon as its positions are known; before that, the least number of bytes
   *   still missing. A frame may have up to 1 KiB around its message
   */
  read(bytes: Uint8Array, seen: number, isOver: boolean): Frame<Value> | number;
  /**
   * Returns the bytes to send before and after a reply.
   *
   * @param reply valid during the call
   */
  write(reply: Uint8Array): {
    readonly before?: string | Uint8Array | undefined;
    readonly after?: string | Uint8Array | undefined;
  };
}

export const CR = 13, LF = 10;
export const BY_LF: Uint8Array = Uint8Array.of(LF);
export const BY_CRLF: Uint8Array = Uint8Array.of(CR, LF);

/** The size of the first read, in bytes: small, so that an idle conversation costs little. */
const SMALLEST_READ = 64;
/** The largest read of lines, in bytes: other clients wait while its messages are answered. */
const LARGEST_READ = 16384;
/** The longest raw message, in bytes. */
const RAW_READ = 65536;
/** The longest line, in bytes, that is scanned in place, without a call. */
const BY_HAND = 256;
/** Constants that detect an LF in four bytes at once. */
const LFS = 0x0a0a0a0a, ONES = 0x01010101, TOPS = 0x80808080;
/** The number of reads in a row that must fill less than an eighth of their room before reads shrink. */
const SLACK_READS = 16;

/**
 * Cuts a stream into messages: read into {@linkcode room}, report the count to {@linkcode took},
 * then call {@linkcode next} until it returns null.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Framer } from "./framing.ts";
 *
 * const framer = new Framer("line", 1024);
 * const { written } = new TextEncoder().encodeInto("one\r\ntwo\nthr", framer.room());
 * framer.took(written);
 * const texts = [];
 * for (let message; (message = framer.next()) !== null;) texts.push(message.text);
 * assertEquals(texts, ["one", "two"]);
 * ```
 */
export class Framer {
  /** The message that was found last, over the buffer that holds what was read. */
  message: MessageView = new MessageView();
  /** Called when `auto` has chosen a framing, with the reason. */
  onDecided: ((framing: Framing, why: string) => void) | undefined;
  /** True if the last read filled its room: more bytes may have been received. */
  filled = false;
  /** The ending of the last message: LF, CRLF or, for raw and an unfinished last line, nothing. */
  ending: Uint8Array = NONE;
  #found: WholeFrame | number = 0; // of a custom framing: the next frame, or how many bytes to hold for it
  #start = 0; // of the held bytes, in the message's buffer
  #end = 0;
  #scanned = 0; // no LF before this
  #ended = false;
  #read = SMALLEST_READ;
  #slack = 0; // reads in a row that filled little of their room

  /**
   * @param framing remains `auto` while undecided
   * @param maxMessage the longest allowed message, in bytes, without its ending
   */
  constructor(public framing: Framing | CustomFraming, readonly maxMessage: number) {}

  /** True if a pause would turn the held bytes into a raw message. */
  get undecided(): boolean {
    return this.framing === "auto" && this.#end > this.#start;
  }

  /** Returns the buffer for the next read, which may overwrite earlier messages. */
  room(): Uint8Array {
    const held = this.#end - this.#start;
    const read = this.#nextRead(held);
    if (held > 0 && this.message.source.length - this.#end < read) return this.roomBeside();
    if (held > 0) return this.message.source.subarray(this.#end);
    if (this.message.source.length !== read) this.message = new MessageView(new Uint8Array(read));
    this.#start = this.#end = this.#scanned = 0;
    return this.message.source;
  }

  /** Returns a buffer for the next read that overwrites no earlier message. */
  roomBeside(): Uint8Array {
    const { rest } = this;
    const held = rest.length;
    // Twice the held bytes: a message in tiny pieces is not copied once a piece.
    const bytes = new Uint8Array(held + Math.max(this.#nextRead(held), held));
    bytes.set(rest);
    this.message = new MessageView(bytes);
    this.#scanned -= this.#start;
    this.#start = 0;
    this.#end = held;
    return bytes.subarray(held);
  }

  /** Adds `count` bytes that were read into {@linkcode room}. At null, the held bytes are the last message. */
  took(count: number | null): void {
    const added = count ?? 0;
    this.filled = added === this.message.source.length - this.#end;
    this.#ended = count === null;
    this.#end += added;
    this.#slack = this.filled || added * 8 >= this.#read ? 0 : this.#slack + 1;
    if (this.filled) this.#read = Math.min(this.#read * 8, LARGEST_READ);
    if (this.#slack < SLACK_READS) return;
    this.#read = Math.max(this.#read / 8, SMALLEST_READ);
    this.#slack = 0;
  }

  /** The held bytes that are not yet part of a message. */
  get rest(): Uint8Array {
    return this.message.source.subarray(this.#start, this.#end);
  }

  /** Decides `auto` for raw, if bytes are held: nothing was received for a while. */
  pause(): void {
    if (this.undecided) this.#decide("raw", "50 ms without an LF");
  }

  /**
   * Returns the next whole message without its ending, or null until more is read. The message is
   * valid until the next call of this or of {@linkcode room}.
   * @throws {MessageTooLong} at this and every later call
   */
  next(): MessageView | null {
    const { framing } = this;
    const lf = framing === "line" || framing === "auto" ? this.#findLF() : -1;
    if (lf === -1) return this.#rest();
    if (framing === "auto") this.#decide("line", "an LF came");
    const cr = lf > this.#start && this.message.source[lf - 1] === CR;
    return cr ? this.#cut(lf - 1, BY_CRLF) : this.#cut(lf, BY_LF);
  }

  #decide(framing: Framing, why: string): void {
    this.framing = framing;
    this.onDecided?.(framing, why);
  }

  /** Returns the held bytes without an LF as a message, if they are a whole one. */
  #rest(): MessageView | null {
    const { framing } = this;
    if (this.#start === this.#end) return null;
    if (typeof framing !== "string") return this.#nextFrame(framing);
    if (framing === "raw" || this.#ended) return this.#cut(this.#end, NONE);
    this.#scanned = this.#end;
    // A CR at the end may belong to the ending that is still to come.
    const last = this.message.source[this.#end - 1] === CR ? this.#end - 1 : this.#end;
    this.#check(last);
    return null;
  }

  /** Returns the next message of a custom framing, which is asked once per frame. */
  #nextFrame(framing: CustomFraming): MessageView | null {
    const { rest, message } = this;
    if (typeof this.#found === "number") {
      if (rest.length < this.#found && !this.#ended) return null;
      const seen = this.#scanned - this.#start;
      this.#found = findFrame(framing, rest, seen, this.#ended, this.maxMessage);
      this.#scanned = this.#end;
    }
    if (typeof this.#found === "number" || rest.length < this.#found.next) return null;
    const { start, end, next, value } = this.#found;
    this.#found = 0;
    message.start = this.#start + start;
    message.end = this.#start + end;
    message.value = value;
    this.#start = this.#scanned = this.#start + next;
    return message;
  }

  /**
   * Returns the position of the next LF, or -1. Short lines are scanned here, four bytes at a time,
   * in a third of the time that a call takes. `| 0` marks integers: without it, each round of the
   * loop checks the type, at a tenth of the total cost.
   */
  #findLF(): number {
    const { view, source: bytes } = this.message;
    let at = this.#scanned | 0;
    const end = this.#end | 0;
    const near = end - at < BY_HAND ? end : at + BY_HAND;
    for (; at + 4 <= near; at += 4) {
      const differs = view.getInt32(at, true) ^ LFS; // an LF becomes a zero byte
      if (((differs - ONES) & ~differs & TOPS) !== 0) break;
    }
    for (; at < near; at++) if (bytes[at] === LF) return at;
    if (near === end) return -1;
    return bytes.subarray(0, end).indexOf(LF, near);
  }

  #cut(end: number, ending: Uint8Array): MessageView {
    this.#check(end);
    const { message } = this;
    message.start = this.#start;
    message.end = end;
    this.#start = this.#scanned = end + ending.length;
    this.ending = ending;
    return message;
  }

  #check(end: number): void {
    if (end - this.#start > this.maxMessage) throw new MessageTooLong(this.maxMessage);
  }

  /** Raw reads have the largest size: each read is a message, and a small one would cut it. */
  #nextRead(held: number): number {
    const isRaw = this.framing === "raw" || (this.framing === "auto" && held > 0);
    return isRaw ? Math.min(this.maxMessage + 1, RAW_READ) : this.#read;
  }
}

/** A frame whose positions are all known. */
type WholeFrame = Frame & { readonly next: number };

/** The most bytes that a frame may have around its message. */
const MAX_AROUND = 1024;
const WRONG_FRAME = "a framing's read() must return a frame, or the number of missing bytes: not";

/**
 * Asks a framing for the next frame.
 * @returns the frame, or the number of bytes to hold before asking again
 * @throws {MessageTooLong} as soon as the length is known to exceed `maxMessage`
 * @throws {TypeError} if the result is not a position in a stream
 */
export function findFrame(
  framing: CustomFraming,
  bytes: Uint8Array,
  seen: number,
  isOver: boolean,
  maxMessage: number,
): WholeFrame | number {
  const found = framing.read(bytes, seen, isOver);
  if (typeof found === "number") {
    if (!(Number.isInteger(found) && found > 0)) throw new TypeError(`${WRONG_FRAME} ${found}`);
    const needed = bytes.length + found;
    if (needed > maxMessage + MAX_AROUND) throw new MessageTooLong(maxMessage);
    return needed;
  }
  const { start, end, next = end } = found;
  const isPlace = [start, end, next].every(Number.isInteger) &&
    start >= 0 && end >= start && next >= end && next > 0;
  if (!isPlace) throw new TypeError(`${WRONG_FRAME} ${JSON.stringify({ start, end, next })}`);
  const around = next - (end - start);
  if (end - start > maxMessage || around > MAX_AROUND) throw new MessageTooLong(maxMessage);
  return { start, end, next, value: found.value };
}

/**
 * Returns the bytes that a framing puts before and after a message.
 * @throws {TypeError} if they are neither text nor bytes
 */
export function framed(framing: CustomFraming, message: Uint8Array): [Uint8Array, Uint8Array] {
  const { before = "", after = "" } = framing.write(message);
  return [bytesOf(before), bytesOf(after)];
}

function bytesOf(part: string | Uint8Array): Uint8Array {
  if (typeof part === "string" || part instanceof Uint8Array) return utf8(part);
  throw new TypeError(`a framing's write() must return text or bytes, not ${typeof part}`);
}

/** Returns a view of a datagram's line ending, which is not part of its message: LF, CRLF or nothing. */
export function endingOf(datagram: Uint8Array, framing: Framing): Uint8Array {
  const { length } = datagram;
  if (framing === "raw" || datagram[length - 1] !== LF) return NONE;
  return datagram.subarray(length - (datagram[length - 2] === CR ? 2 : 1));
}

/** Concatenates byte strings. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Yields the messages of a stream, each a view that is valid until the next. */
export async function* messagesOf(
  input: { read(into: Uint8Array): Promise<number | null> },
  framer: Framer,
): AsyncGenerator<Uint8Array> {
  for (let count: number | null = 0; count !== null;) {
    count = await input.read(framer.room());
    framer.took(count);
    for (let message; (message = framer.next()) !== null;) yield message.bytes;
  }
}
