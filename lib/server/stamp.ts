/** How the time is written, and how a reply is told from a message. Pure: the time is handed in. */

import type { Message } from "../wire/message.ts";

/**
 * How the time is written: C's `ctime`, or ISO 8601 with milliseconds and offset.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, serve, type Stamp, stamper } from "@readback/readback";
 *
 * for (const [stamp, length] of [["ctime", 24], ["iso", 29]] as [Stamp, number][]) {
 *   await using server = serve(stamper(stamp));
 *   using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 *   assertEquals((await peer.request("hello")).length, "[hello] ".length + length);
 * }
 * ```
 */
export type Stamp = "ctime" | "iso";

/** The stamps by name, for options. */
export const STAMPS: readonly Stamp[] = ["ctime", "iso"];

/** `Mon Dec  9 18:15:50 2019`: local time, 24 characters, as C's ctime(3). */
export function ctime(milliseconds: number): string {
  const time = new Date(milliseconds);
  const day = String(time.getDate()).padStart(2);
  const clock = time.toTimeString().slice(0, 8);
  return `${time.toDateString().slice(0, 7)} ${day} ${clock} ${time.getFullYear()}`;
}

/** `2019-12-09T18:15:50.123+08:00`: local time and its offset from UTC, the same zone as `ctime`'s. */
export function iso(milliseconds: number): string {
  const offset = -new Date(milliseconds).getTimezoneOffset(); // in minutes, east of Greenwich
  const local = new Date(milliseconds + offset * 60_000).toISOString().slice(0, -1);
  const east = Math.abs(offset);
  const [hours, minutes] = [east / 60 | 0, east % 60].map((part) => String(part).padStart(2, "0"));
  return `${local}${offset < 0 ? "-" : "+"}${hours}:${minutes}`;
}

/** The end of a reply; what ends its line may follow. */
const REPLY_END =
  /\] (?:[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}|\d{4}-\d\d-\d\dT[\d:.]{12}[+-]\d\d:\d\d)\r?\n?$/;
/** As long as that gets, in bytes. */
const MOST_END = 40;
const BRACKET = 0x5b;
const decoder = new TextDecoder();

/**
 * Whether a message looks like a reply: two servers that answered each other's would never end.
 *
 * ```ts
 * import { assert } from "@std/assert";
 * import { isReply, Message } from "@readback/readback";
 *
 * const bytes = new TextEncoder().encode("[hello] Mon Dec  9 18:15:50 2019");
 * assert(isReply(new Message(bytes)));
 * ```
 */
export function isReply({ source, start, end }: Message): boolean {
  if (start === end || source[start] !== BRACKET) return false;
  return REPLY_END.test(decoder.decode(source.subarray(Math.max(start, end - MOST_END), end)));
}
