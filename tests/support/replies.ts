/** The server's replies, so that they can be compared: a stamp is `STAMP`. */

import { assertEquals } from "@std/assert";
import { Wire } from "../../lib/testing/wire.ts";

/** A stamp as a pattern. */
export const STAMP = "[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d \\d{4}";

/** Replies with `STAMP` for each stamp. */
export function unstamped(replies: string): string {
  return replies.replace(new RegExp(`\\] ${STAMP}`, "g"), "] STAMP");
}

/** Checks what is sent on one connection, then half-closed, against what should come back. */
export async function assertReplies(port: number, sent: string, replies: string): Promise<void> {
  using wire = await Wire.dial(port);
  await wire.send(sent);
  await wire.end();
  assertEquals(unstamped(await wire.rest()), replies);
}
