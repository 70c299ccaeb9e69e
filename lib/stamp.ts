/** The reply to a message. Pure: the time is handed in. */

import type { Reply } from "./answer.ts";
import type { Message } from "./framing.ts";

/** How the time is written: C's `ctime`, or ISO 8601 with milliseconds and offset. */
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

/** `2019-12-09T18:15:50.123+08:00`: local time and its offset from UTC. */
export function iso(milliseconds: number): string {
  return Temporal.Instant.fromEpochMilliseconds(milliseconds).toString({
    fractionalSecondDigits: 3,
    timeZone: Temporal.Now.timeZoneId(),
  });
}

const encoder = new TextEncoder();
const OPEN = encoder.encode("[");
/** How long one stamp's text stays true, in milliseconds. */
const HOLDS: Record<Stamp, number> = { ctime: 1000, iso: 1 };

/** The handler that reads a message back: `[` + message + `] ` + the stamp of when it was heard. */
export function stamper(stamp: Stamp): (message: Message, reply: Reply) => void {
  const write = stamp === "ctime" ? ctime : iso;
  let from = Infinity, to = -Infinity, close = OPEN;
  return (message, reply) => {
    const { heard } = message;
    // Made once for all messages of its time: it costs ten times what a reply does.
    if (heard < from || heard >= to) {
      from = heard - heard % HOLDS[stamp];
      to = from + HOLDS[stamp];
      close = encoder.encode(`] ${write(heard)}`);
    }
    reply.write(OPEN);
    reply.write(message);
    reply.write(close);
  };
}
