/** A client's messages as bytes, and the replies in what a server sent, matched to the messages. Pure. */

import type { CustomFraming, Framing } from "./framing.ts";
import { BY_LF, concat, CR, findFrame, framed, LF } from "./framing.ts";
import { FramingError, NONE } from "./message.ts";

const OPEN = 0x5b, CLOSE = 0x5d;
const BY_OPEN = Uint8Array.of(OPEN), BY_CLOSE = Uint8Array.of(CLOSE, 0x20);

/** The reasons why a message is not sent as a line. */
const HAS_LF = "a message with a line end would be received as two: send each line as a message";
export const ENDS_WITH_CR =
  "a message that ends with CR would be received without it: use another framing";

/**
 * Frames a message as it is sent; in `auto`, as a line.
 * @throws {Error} if the server would receive another message than this
 */
export function frame(message: Uint8Array, framing: Framing | CustomFraming): Uint8Array {
  if (typeof framing !== "string") {
    const [before, after] = framed(framing, message);
    return concat([before, message, after]);
  }
  if (framing === "raw") {
    if (message.length > 0) return message;
    throw new Error("an empty message can't be sent to a server that uses raw framing");
  }
  if (message.includes(LF)) throw new Error(HAS_LF);
  if (message.at(-1) === CR) throw new Error(ENDS_WITH_CR);
  return concat([message, BY_LF]);
}

/** A reply at the beginning of what a server sent. */
export interface FoundReply {
  /** The reply without its ending, mostly a view. */
  readonly reply: Uint8Array;
  /** Bytes to consume, the ending included. */
  readonly length: number;
  /** The server's framing, as far as this reply shows it. */
  readonly framing: Framing | CustomFraming;
  /** The value that a custom framing gave the reply. */
  readonly value?: unknown;
}

/** Parameters of the search for a reply. */
export interface ReplySearch {
  readonly framing: Framing | CustomFraming;
  /** The message that waits for the reply; without one, the search is for unsolicited data. */
  readonly message?: Uint8Array | undefined;
  /** The line ending that was sent after the message while the framing was `auto`. @default LF */
  readonly ending?: Uint8Array;
  /** The longest reply by a custom framing, in bytes. @default {Infinity} */
  readonly maxLength?: number;
  /** The server will send no more. @default {false} */
  readonly isOver?: boolean;
}

/**
 * Finds the next reply, or the next piece of unsolicited data.
 *
 * In `auto`, a server that reads the message's line ending back as data shows that it uses raw
 * framing. Any other reply shows that it uses lines.
 *
 * @param held bytes received since the reply before
 * @returns null until more has been received
 * @throws {FramingError} if a custom framing finds none, and never will
 */
export function nextReply(held: Uint8Array, search: ReplySearch): FoundReply | null {
  const { framing, message, ending = BY_LF } = search;
  if (held.length === 0) return null;
  if (typeof framing !== "string") return framedReply(held, framing, search);
  const isAuto = framing === "auto";
  if (framing === "line" || (isAuto && message === undefined)) return line(held, framing);
  if (message === undefined) return { reply: held, length: held.length, framing };
  const opening = concat([BY_OPEN, message, isAuto ? ending : NONE, BY_CLOSE]);
  const readBack = opening.subarray(0, -BY_CLOSE.length);
  if (isAuto && !startsAlike(readBack, held)) return line(held, "line");
  if (held.length <= opening.length && startsAlike(opening, held)) return null; // only its beginning
  const reply = concat([held.subarray(0, 1 + message.length), held.subarray(readBack.length)]);
  return { reply, length: held.length, framing: "raw" };
}

function framedReply(
  held: Uint8Array,
  framing: CustomFraming,
  { isOver = false, maxLength = Infinity }: ReplySearch,
): FoundReply | null {
  try {
    const frame = findFrame(framing, held, 0, isOver, maxLength);
    if (typeof frame === "number" || held.length < frame.next) return null;
    const { start, end, next, value } = frame;
    return { reply: held.subarray(start, end), length: next, framing, value };
  } catch (error) {
    if (error instanceof FramingError) throw error;
    throw new FramingError(error instanceof Error ? error.message : `${error}`, { cause: error });
  }
}

function line(held: Uint8Array, framing: Framing): FoundReply | null {
  const lf = held.indexOf(LF);
  if (lf === -1) return null;
  const end = held[lf - 1] === CR ? lf - 1 : lf;
  return { reply: held.subarray(0, end), length: lf + 1, framing };
}

/** Returns whether two byte strings agree as far as both go. */
function startsAlike(a: Uint8Array, b: Uint8Array): boolean {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** Returns whether a reply begins with a message in brackets. No bracket follows, since stamps have none. */
export function isReplyTo(message: Uint8Array, reply: Uint8Array): boolean {
  return reply[0] === OPEN && reply.lastIndexOf(CLOSE) === message.length + 1 &&
    message.every((byte, at) => reply[at + 1] === byte);
}

/** Items in order, removed when settled. The cost of an item does not depend on how many there are. */
export class Queue<T extends object> {
  #items: T[] = [];
  #start = 0; // items before this are settled

  /**
   * @param isSettled whether an item no longer belongs to the queue, for good
   */
  constructor(readonly isSettled: (item: T) => boolean = () => false) {}

  push(item: T): void {
    void this.first; // forgets what is settled
    this.#items.push(item);
    if (this.#start <= this.#items.length / 2) return;
    this.#items = this.#items.slice(this.#start);
    this.#start = 0;
  }

  /** The number of items, some of which may be settled. */
  get length(): number {
    return this.#items.length - this.#start;
  }

  /** Removes the oldest item, and returns it. */
  shift(): T | undefined {
    const { first } = this;
    if (first !== undefined) this.#start++;
    return first;
  }

  /** The oldest item. */
  get first(): T | undefined {
    return this.find(() => true);
  }

  /** Finds the oldest item of which this is true. */
  find(isWanted: (item: T) => boolean): T | undefined {
    const items = this.#items;
    while (this.#start < items.length && this.isSettled(items[this.#start] as T)) this.#start++;
    for (let at = this.#start; at < items.length; at++) {
      const item = items[at] as T;
      if (!this.isSettled(item) && isWanted(item)) return item;
    }
    return undefined;
  }
}
