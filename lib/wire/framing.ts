/** Cuts streams of bytes into messages. Pure: the caller reads, and reports pauses and the end. */

import { type CustomFraming, findFrame, type WholeFrame } from "./custom_framing.ts";
import { MessageTooLong, MessageView } from "./message.ts";

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

const CR = 13, LF = 10;
const NONE = new Uint8Array(0);
const BY_LF = new Uint8Array([LF]);
const BY_CRLF = new Uint8Array([CR, LF]);

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
  /** The message that was found last. */
  message: MessageView = new MessageView();
  /** Called when `auto` has chosen a framing, with the reason. */
  onDecided: ((framing: Framing, why: string) => void) | undefined;
  /** True if the last read filled its room: more bytes may have been received. */
  filled = false;
  #framing: Framing;
  readonly #custom: CustomFraming | undefined; // with one, #framing is "raw"
  #frame: WholeFrame | undefined; // of the next message, once known
  #needed = 0; // a custom framing is asked again with so many bytes
  #bytes: Uint8Array = NONE;
  #start = 0; // of the held bytes
  #end = 0;
  #scanned = 0; // no LF before this
  #ended = false;
  #read = SMALLEST_READ;
  #slack = 0;
  #ending = NONE;

  /**
   * @param maxMessage the longest allowed message, in bytes, without its ending
   */
  constructor(framing: Framing | CustomFraming, readonly maxMessage: number) {
    this.#custom = typeof framing === "string" ? undefined : framing;
    this.#framing = typeof framing === "string" ? framing : "raw";
  }

  /** The framing; `auto` while undecided. */
  get framing(): Framing | CustomFraming {
    return this.#custom ?? this.#framing;
  }

  /** The ending of the last message: LF, CRLF or, for raw and an unfinished last line, nothing. */
  get ending(): Uint8Array {
    return this.#ending;
  }

  /** True if a pause would turn the held bytes into a raw message. */
  get undecided(): boolean {
    return this.#framing === "auto" && this.#end > this.#start;
  }

  /** Returns the buffer for the next read, which may overwrite earlier messages. */
  room(): Uint8Array {
    const held = this.#end - this.#start;
    const read = this.#nextRead(held);
    if (held === 0) {
      if (this.#bytes.length !== read) this.#holdIn(new Uint8Array(read));
      this.#start = this.#end = this.#scanned = 0;
      return this.#bytes;
    }
    if (this.#bytes.length - this.#end < read) {
      // Twice the held bytes: a message in tiny pieces is not copied once a piece.
      this.#moveTo(new Uint8Array(held + Math.max(read, held)));
    }
    return this.#bytes.subarray(this.#end);
  }

  /** Returns a buffer for the next read that overwrites no earlier message. */
  roomBeside(): Uint8Array {
    const held = this.#end - this.#start;
    this.#moveTo(new Uint8Array(held + Math.max(this.#nextRead(held), held)));
    return this.#bytes.subarray(this.#end);
  }

  /** Adds the next `count` bytes, which were read into {@linkcode room}. */
  took(count: number): void {
    const room = this.#bytes.length - this.#end;
    this.#end += count;
    this.filled = count === room;
    if (this.filled) {
      this.#read = Math.min(this.#read * 8, LARGEST_READ);
      this.#slack = 0;
    } else if (count * 8 >= this.#read) {
      this.#slack = 0;
    } else if (++this.#slack === SLACK_READS) {
      this.#read = Math.max(this.#read / 8, SMALLEST_READ);
      this.#slack = 0;
    }
  }

  /** The held bytes that are not yet part of a message. */
  get rest(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** Decides `auto` for raw, if bytes are held: nothing was received for a while. */
  pause(): void {
    if (this.undecided) this.#decide("raw", "50 ms without an LF");
  }

  /** Marks the end of the stream: the held bytes are the last message. */
  end(): void {
    this.#ended = true;
  }

  /**
   * Returns the next whole message without its ending, or null until more is read. The message is
   * valid until the next call of this or of {@linkcode room}.
   * @throws {MessageTooLong} at this and every later call
   */
  next(): MessageView | null {
    const lf = this.#framing === "raw" ? -1 : this.#findLF();
    if (lf === -1) return this.#rest();
    if (this.#framing !== "line") this.#decide("line", "an LF came");
    const cr = lf > this.#start && this.#bytes[lf - 1] === CR;
    return cr ? this.#cut(lf - 1, BY_CRLF) : this.#cut(lf, BY_LF);
  }

  #decide(framing: Framing, why: string): void {
    this.#framing = framing;
    this.onDecided?.(framing, why);
  }

  /** Returns the held bytes without an LF as a message, if they are a whole one. */
  #rest(): MessageView | null {
    if (this.#start === this.#end) return null;
    if (this.#custom !== undefined) return this.#nextFrame(this.#custom);
    if (this.#framing === "raw" || this.#ended) return this.#cut(this.#end, NONE);
    this.#scanned = this.#end;
    // A CR at the end may belong to the ending that is still to come.
    const last = this.#bytes[this.#end - 1] === CR ? this.#end - 1 : this.#end;
    this.#check(last);
    return null;
  }

  /** Returns the next message of a custom framing, which is asked once per frame. */
  #nextFrame(framing: CustomFraming): MessageView | null {
    const { rest } = this;
    if (this.#frame === undefined) {
      if (rest.length < this.#needed && !this.#ended) return null;
      const seen = this.#scanned - this.#start;
      const found = findFrame(framing, rest, seen, this.#ended, this.maxMessage);
      this.#scanned = this.#end;
      if (typeof found === "number") {
        this.#needed = found;
        return null;
      }
      this.#frame = found;
      this.#needed = 0;
    }
    const { start, end, next, value } = this.#frame;
    if (rest.length < next) return null;
    this.#frame = undefined;
    const { message } = this;
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
    const bytes = this.#bytes;
    const { view } = this.message;
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

  #cut(end: number, ending: Uint8Array<ArrayBuffer>): MessageView {
    this.#check(end);
    const { message } = this;
    message.start = this.#start;
    message.end = end;
    this.#start = this.#scanned = end + ending.length;
    this.#ending = ending;
    return message;
  }

  #check(end: number): void {
    if (end - this.#start > this.maxMessage) throw new MessageTooLong(this.maxMessage);
  }

  /** Raw reads have the largest size: each read is a message, and a small one would cut it. */
  #nextRead(held: number): number {
    const raw = this.#framing === "raw" || (this.#framing === "auto" && held > 0);
    return raw && this.#custom === undefined ? Math.min(this.maxMessage + 1, RAW_READ) : this.#read;
  }

  #holdIn(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.message = new MessageView(bytes);
  }

  #moveTo(bytes: Uint8Array): void {
    bytes.set(this.#bytes.subarray(this.#start, this.#end));
    this.#holdIn(bytes);
    this.#end -= this.#start;
    this.#scanned -= this.#start;
    this.#start = 0;
  }
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
    if (count === null) framer.end();
    else framer.took(count);
    for (let message; (message = framer.next()) !== null;) yield message.bytes;
  }
}
