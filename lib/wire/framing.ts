/**
 * Bytes to messages. Pure: no socket, and no clock of its own; the one
 * who reads says when a pause or the end came.
 */

import { type CustomFraming, findFrame, type WholeFrame } from "./custom_framing.ts";
import { Message, MessageTooLong } from "./message.ts";

/**
 * How a message's end is told; `auto` until the first bytes have shown which.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Framing, Peer, serve } from "@readback/readback";
 *
 * for (const framing of ["auto", "line", "raw"] satisfies Framing[]) {
 *   await using server = serve((message, reply) => reply.write(message), { framing });
 *   using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port, framing });
 *   assertEquals(new TextDecoder().decode(await peer.request("hello")), "hello");
 * }
 * ```
 */
export type Framing = "auto" | "line" | "raw";

/** The framings by name, for options. */
export const FRAMINGS: readonly Framing[] = ["auto", "line", "raw"];

const CR = 13, LF = 10;
const NONE = new Uint8Array(0);
const BY_LF = new Uint8Array([LF]);
const BY_CRLF = new Uint8Array([CR, LF]);

/** The first read of a conversation: small, so that an idle one costs little. */
const SMALLEST_READ = 64;
/** The largest read of lines: what others wait for while its messages are answered. */
const LARGEST_READ = 16384;
/** The longest raw message. */
const RAW_READ = 65536;
/** Lines up to this many bytes are scanned in place, without a call. */
const BY_HAND = 256;
/** An LF in each of an integer's bytes; with it and these, arithmetic sees whether one is there. */
const LFS = 0x0a0a0a0a, ONES = 0x01010101, TOPS = 0x80808080;
/** After this many reads in a row that each fill less than an eighth of their room, the next is smaller. */
const SLACK_READS = 16;

/**
 * Cuts a stream of bytes into messages: read into {@linkcode room}, say
 * {@linkcode took}, then call {@linkcode next} until it gives null.
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
  message: Message = new Message();
  #framing: Framing;
  readonly #custom: CustomFraming | undefined; // if there is one, #framing is "raw"
  #frame: WholeFrame | undefined; // that of the next message, where it is known
  #needed = 0; // a custom framing is not asked before this many bytes are held
  #bytes: Uint8Array = NONE;
  #start = 0; // of what is held
  #end = 0;
  #scanned = 0; // no LF before this
  #ended = false;
  #read = SMALLEST_READ;
  #slack = 0;
  #ending = NONE;

  /**
   * Begins a stream.
   * @param framing `auto` decides by the first bytes, for good
   * @param maxMessage the longest message allowed, in bytes, its ending not counted
   */
  constructor(framing: Framing | CustomFraming, readonly maxMessage: number) {
    this.#custom = typeof framing === "string" ? undefined : framing;
    this.#framing = typeof framing === "string" ? framing : "raw";
  }

  /** The framing, as far as it is known. */
  get framing(): Framing | CustomFraming {
    return this.#custom ?? this.#framing;
  }

  /** How the last message ended: LF, CRLF or, for raw and a last line, nothing. */
  get ending(): Uint8Array {
    return this.#ending;
  }

  /** Bytes are here that a pause would make a raw message. */
  get undecided(): boolean {
    return this.#framing === "auto" && this.#end > this.#start;
  }

  /** Where the next read may put its bytes. Earlier messages may be overwritten by it. */
  room(): Uint8Array {
    const held = this.#end - this.#start;
    const read = this.#nextRead(held);
    if (held === 0) {
      if (this.#bytes.length !== read) this.#holdIn(new Uint8Array(read));
      this.#start = this.#end = this.#scanned = 0;
      return this.#bytes;
    }
    if (this.#bytes.length - this.#end < read) {
      // Twice what is held, so that a message in tiny pieces is not copied once a piece.
      this.#moveTo(new Uint8Array(held + Math.max(read, held)));
    }
    return this.#bytes.subarray(this.#end);
  }

  /** As {@linkcode room}, but no message that was given is overwritten. */
  roomBeside(): Uint8Array {
    const held = this.#end - this.#start;
    this.#moveTo(new Uint8Array(held + Math.max(this.#nextRead(held), held)));
    return this.#bytes.subarray(this.#end);
  }

  /** The next `count` bytes were read into {@linkcode room}. */
  took(count: number): void {
    const room = this.#bytes.length - this.#end;
    this.#end += count;
    if (count === room) {
      this.#read = Math.min(this.#read * 8, LARGEST_READ);
      this.#slack = 0;
    } else if (count * 8 >= this.#read) {
      this.#slack = 0;
    } else if (++this.#slack === SLACK_READS) {
      this.#read = Math.max(this.#read / 8, SMALLEST_READ);
      this.#slack = 0;
    }
  }

  /** What is held and not yet given as a message. */
  get rest(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** Nothing came for a while: what is undecided is raw. */
  pause(): void {
    if (this.undecided) this.#framing = "raw";
  }

  /** Nothing will come any more: what is left is a last message. */
  end(): void {
    this.#ended = true;
  }

  /**
   * The next whole message without its ending, or null until more is read. It
   * holds until the next one, or {@linkcode room}.
   * @throws {MessageTooLong} and from then on nothing else
   */
  next(): Message | null {
    const lf = this.#framing === "raw" ? -1 : this.#findLF();
    if (lf === -1) return this.#rest();
    this.#framing = "line";
    const cr = lf > this.#start && this.#bytes[lf - 1] === CR;
    return cr ? this.#cut(lf - 1, BY_CRLF) : this.#cut(lf, BY_LF);
  }

  /** What has no LF: a message, or the beginning of one. */
  #rest(): Message | null {
    if (this.#start === this.#end) return null;
    if (this.#custom !== undefined) return this.#nextFrame(this.#custom);
    if (this.#framing === "raw" || this.#ended) return this.#cut(this.#end, NONE);
    this.#scanned = this.#end;
    // A CR at the end may belong to the ending that is still to come.
    const last = this.#bytes[this.#end - 1] === CR ? this.#end - 1 : this.#end;
    this.#check(last);
    return null;
  }

  /** The next message by a framing of one's own. Where it is, once known, is not asked again. */
  #nextFrame(framing: CustomFraming): Message | null {
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
    const { start, end, next } = this.#frame;
    if (rest.length < next) return null;
    this.#frame = undefined;
    const { message } = this;
    message.start = this.#start + start;
    message.end = this.#start + end;
    this.#start = this.#scanned = this.#start + next;
    return message;
  }

  /**
   * Most lines are short: those are scanned by hand, four bytes at a time, in a third of the
   * time that a call takes. `| 0` says that these are integers: else each round of the loop
   * makes sure of it, which costs a tenth of all.
   */
  #findLF(): number {
    const bytes = this.#bytes;
    const { view } = this.message;
    let at = this.#scanned | 0;
    const end = this.#end | 0;
    const near = end - at < BY_HAND ? end : at + BY_HAND;
    for (; at + 4 <= near; at += 4) {
      const differs = view.getInt32(at, true) ^ LFS; // 0 in a byte that is an LF
      if (((differs - ONES) & ~differs & TOPS) !== 0) break;
    }
    for (; at < near; at++) if (bytes[at] === LF) return at;
    if (near === end) return -1;
    return bytes.subarray(0, end).indexOf(LF, near);
  }

  #cut(end: number, ending: Uint8Array<ArrayBuffer>): Message {
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

  /** Raw reads are as large as may be: a read is a message, and a small one would cut it. */
  #nextRead(held: number): number {
    const raw = this.#framing === "raw" || (this.#framing === "auto" && held > 0);
    return raw && this.#custom === undefined ? Math.min(this.maxMessage + 1, RAW_READ) : this.#read;
  }

  #holdIn(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.message = new Message(bytes);
  }

  #moveTo(bytes: Uint8Array): void {
    bytes.set(this.#bytes.subarray(this.#start, this.#end));
    this.#holdIn(bytes);
    this.#end -= this.#start;
    this.#scanned -= this.#start;
    this.#start = 0;
  }
}

/** How a datagram's message ends, where that is no data: LF, CRLF or nothing. A view of it. */
export function endingOf(datagram: Uint8Array, framing: Framing): Uint8Array {
  const { length } = datagram;
  if (framing === "raw" || datagram[length - 1] !== LF) return NONE;
  return datagram.subarray(length - (datagram[length - 2] === CR ? 2 : 1));
}

/** Byte strings as one. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The messages of a stream of lines, each a view that holds until the next is asked for. */
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
