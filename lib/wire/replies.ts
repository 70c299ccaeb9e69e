/** Whose reply is this: what a server sent, against what it was told. Pure. */

import { concat, type Framing } from "./framing.ts";

const CR = 13, LF = 10;
const OPEN = 0x5b, CLOSE = 0x5d, SPACE = 0x20;
const NONE = new Uint8Array(0);
const BY_LF = Uint8Array.of(LF);

/** A reply, found at the beginning of what a server sent. */
export interface Found {
  /** Without its ending. */
  readonly reply: Uint8Array;
  /** How many bytes it took, its ending counted. */
  readonly length: number;
  /** What the reply shows the server to speak; never `auto`. */
  readonly framing: Framing;
}

/**
 * The reply to a message that was sent with LF (in raw framing: without), or null
 * until more has come. A server that reads the LF back as data speaks raw; any
 * other speaks lines.
 * @param held all that came since the reply before
 */
export function replyTo(message: Uint8Array, held: Uint8Array, framing: Framing): Found | null {
  const told = framing === "auto" ? framingOf(message, held) : framing;
  if (told === null) return null;
  if (told === "raw") return rawReply(message, held, framing === "auto" ? BY_LF : NONE);
  const lf = held.indexOf(LF);
  if (lf === -1) return null;
  const end = held[lf - 1] === CR ? lf - 1 : lf;
  return { reply: held.subarray(0, end), length: lf + 1, framing: told };
}

function framingOf(message: Uint8Array, held: Uint8Array): "line" | "raw" | null {
  const raw = concat([Uint8Array.of(OPEN), message, BY_LF]);
  if (!startsAlike(raw, held)) return "line";
  return held.length < raw.length ? null : "raw";
}

/** What has come is the reply, unless it is plainly the beginning of one. `extra` was read back as data. */
function rawReply(message: Uint8Array, held: Uint8Array, extra: Uint8Array): Found | null {
  const opening = concat([Uint8Array.of(OPEN), message, extra, Uint8Array.of(CLOSE, SPACE)]);
  if (held.length <= opening.length && startsAlike(opening, held)) return null;
  const read = 1 + message.length;
  const reply = concat([held.subarray(0, read), held.subarray(read + extra.length)]);
  return { reply, length: held.length, framing: "raw" };
}

/** Whether two byte strings agree as far as both go. */
function startsAlike(a: Uint8Array, b: Uint8Array): boolean {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** Whether a datagram begins with a message in brackets. None comes after it: stamps have none. */
export function isReplyTo(message: Uint8Array, reply: Uint8Array): boolean {
  return reply[0] === OPEN && reply.lastIndexOf(CLOSE) === message.length + 1 &&
    message.every((byte, at) => reply[at + 1] === byte);
}
