/** A framing of one's own, for streams in which messages are neither lines nor whatever a read returns. Pure. */

import { MessageTooLong } from "./message.ts";

/**
 * Where a message is in a stream's bytes.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type CustomFraming, type Frame, Peer, serve } from "@readback/readback";
 *
 * // Messages of four bytes each, after which one is of no meaning.
 * const frame: Frame = { start: 0, end: 4, next: 5 };
 * const framing: CustomFraming = { read: () => frame, write: () => ({ after: "." }) };
 * await using server = serve((message, reply) => reply.write(message), { framing });
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port, framing });
 * assertEquals(new TextDecoder().decode(await peer.request("four")), "four");
 * ```
 */
export interface Frame {
  /** Where it begins. */
  readonly start: number;
  /** Where it ends; all of it need not have come yet. */
  readonly end: number;
  /** Where what comes after it begins. @default {end} */
  readonly next?: number | undefined;
}

/**
 * How messages are told apart, and what is put around a reply. One object serves all
 * conversations, so it holds no state. What it throws ends the conversation, and is told to `onError`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type CustomFraming, serve } from "@readback/readback";
 *
 * // Each message after its length: one byte.
 * const counted: CustomFraming = {
 *   read: ([length = 0]) => ({ start: 1, end: 1 + length }),
 *   write: ({ length }) => ({ before: Uint8Array.of(length) }),
 * };
 * await using server = serve((message, reply) => reply.write(message.text.toUpperCase()), {
 *   framing: counted,
 *   maxMessage: 255,
 * });
 * using conn = await Deno.connect({ port: (server.addr as Deno.NetAddr).port });
 * await conn.write(Uint8Array.of(2, 104, 105, 1, 33)); // "hi", "!"
 * await conn.closeWrite();
 * assertEquals(await new Response(conn.readable).bytes(), Uint8Array.of(2, 72, 73, 1, 33));
 * ```
 */
export interface CustomFraming {
  /**
   * Finds the next message. A conversation that ends before a message is whole ends without it.
   * @param bytes what has come of it, one byte at least; holds during the call
   * @param seen how many of them were there when it was asked before: no ending is among these
   * @param isOver nothing more will come
   * @return where it is, as soon as that is known; else how many more bytes are needed at the least.
   *   Around the message there may be up to 1 KiB
   */
  read(bytes: Uint8Array, seen: number, isOver: boolean): Frame | number;
  /**
   * Says what goes before and after a reply.
   * @param reply holds during the call
   */
  write(reply: Uint8Array): {
    readonly before?: string | Uint8Array | undefined;
    readonly after?: string | Uint8Array | undefined;
  };
}

/** A frame of which all is known. */
export type WholeFrame = Frame & { readonly next: number };

/** How much may be around a message, in bytes. */
const MOST_AROUND = 1024;

/**
 * Asks a framing where the next message is.
 * @return the frame, or how many bytes must be held before it is worth asking again
 * @throws {MessageTooLong} as soon as that is sure
 * @throws {TypeError} if the framing's answer is no place in a stream
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
    if (!(Number.isInteger(found) && found > 0)) throw new TypeError(`${WRONG} ${found}`);
    const needed = bytes.length + found;
    if (needed > maxMessage + MOST_AROUND) throw new MessageTooLong(maxMessage);
    return needed;
  }
  const { start, end, next = end } = found;
  const isPlace = [start, end, next].every(Number.isInteger) &&
    start >= 0 && end >= start && next >= end && next > 0;
  if (!isPlace) throw new TypeError(`${WRONG} ${JSON.stringify(found)}`);
  const around = next - (end - start);
  if (end - start > maxMessage || around > MOST_AROUND) throw new MessageTooLong(maxMessage);
  return { start, end, next };
}

const WRONG = "a framing's read() gives a frame, or how many more bytes it needs: not";

/** A message between what a framing puts before and after it. */
export function framed(framing: CustomFraming, message: Uint8Array): [Uint8Array, Uint8Array] {
  const { before = "", after = "" } = framing.write(message);
  return [bytesOf(before), bytesOf(after)];
}

const encoder = new TextEncoder();

function bytesOf(part: string | Uint8Array): Uint8Array {
  return typeof part === "string" ? encoder.encode(part) : part;
}
