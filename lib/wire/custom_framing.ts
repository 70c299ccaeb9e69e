/** Custom framings, for streams whose messages are neither lines nor single reads. Pure. */

import { MessageTooLong } from "./message.ts";

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

/** A frame whose positions are all known. */
export type WholeFrame = Frame & { readonly next: number };

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

const encoder = new TextEncoder();

function bytesOf(part: string | Uint8Array): Uint8Array {
  if (part instanceof Uint8Array) return part;
  if (typeof part === "string") return encoder.encode(part);
  throw new TypeError(`a framing's write() must return text or bytes, not ${typeof part}`);
}
