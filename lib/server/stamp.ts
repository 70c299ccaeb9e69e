/** The text of the time of receipt, and the test for replies that end with one. Pure. */

import type { Message } from "../wire/message.ts";

/**
 * The form of the time: C's `ctime`, or ISO 8601 with milliseconds and offset. Both are local time;
 * the `TZ` variable chooses the zone by its name, such as `Europe/Berlin`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, readback, serve, type Stamp } from "@readback/readback";
 *
 * for (const [stamp, length] of [["ctime", 24], ["iso", 29]] as [Stamp, number][]) {
 *   await using server = serve(readback({ stamp }));
 *   using peer = await Peer.connect({ port: server.port });
 *   assertEquals((await peer.request("hello")).length, "[hello] ".length + length);
 * }
 * ```
 */
export type Stamp = "ctime" | "iso";

/** The names of the stamps, for options. */
export const STAMPS: readonly Stamp[] = ["ctime", "iso"];

/** Formats a time as C's ctime(3), 24 characters of local time: `Mon Dec  9 18:15:50 2019`. */
export function ctime(milliseconds: number): string {
  const time = new Date(milliseconds);
  const day = String(time.getDate()).padStart(2);
  const clock = time.toTimeString().slice(0, 8);
  return `${time.toDateString().slice(0, 7)} ${day} ${clock} ${time.getFullYear()}`;
}

/** Formats a time as local time with its offset from UTC: `2019-12-09T18:15:50.123+08:00`. */
export function iso(milliseconds: number): string {
  const offset = -new Date(milliseconds).getTimezoneOffset(); // in minutes, positive to the east
  const local = new Date(milliseconds + offset * 60_000).toISOString().slice(0, -1);
  const size = Math.abs(offset);
  const [hours, minutes] = [size / 60 | 0, size % 60].map((part) => String(part).padStart(2, "0"));
  return `${local}${offset < 0 ? "-" : "+"}${hours}:${minutes}`;
}

/** The end of a reply, with a line ending if it has one. */
const REPLY_END =
  /\] (?:[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}|\d{4}-\d\d-\d\dT[\d:.]{12}[+-]\d\d:\d\d)\r?\n?$/;
/** The length of the longest such end, in bytes. */
const MAX_END = 40;
const BRACKET = 0x5b;
const decoder = new TextDecoder();

/**
 * Returns true if a message looks like a reply. Two servers that answered each other's replies would
 * never stop.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, isReply, readback, serveDatagrams } from "@readback/readback";
 *
 * const reply = "[hello] Mon Dec  9 18:15:50 2019";
 * await using server = await serveDatagrams(readback(), { ignore: isReply });
 * using peer = await DatagramPeer.connect({ port: server.port, timeout: 100 });
 * await peer.request(reply).catch(() => {}); // no reply comes
 * assertEquals(server.messages, 1);
 * ```
 */
export function isReply({ bytes }: Message): boolean {
  if (bytes[0] !== BRACKET) return false;
  return REPLY_END.test(decoder.decode(bytes.subarray(Math.max(0, bytes.length - MAX_END))));
}
