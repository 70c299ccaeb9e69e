/** What a row of the battery is done to, and how it is seen to be well. */

import { assert, assertEquals } from "@std/assert";
import { Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";

/** A running server: ours, or one that should fail. */
export interface Subject {
  readonly port: number;
  readonly pid: number;
}

/** Says a line on a connection; its reply must come back. */
export async function assertConverses(wire: Wire, line = "are you well?"): Promise<void> {
  await wire.send(`${line}\n`);
  assertEquals(unstamped(await wire.until(/\n/)), `[${line}] STAMP\n`);
}

/** A new client must be answered, within so many milliseconds if that is told. */
export async function assertWell(server: Subject, within = Infinity): Promise<number> {
  const start = performance.now();
  using wire = await Wire.dial(server.port);
  await assertConverses(wire);
  const took = performance.now() - start;
  assert(took <= within, `a new client waited ${took.toFixed()} ms, not ${within} at most`);
  return took;
}

/** Lets a server use what memory it will for any work, so that what a row adds can be told. */
export async function warmUp(server: Subject): Promise<void> {
  for (let conversation = 0; conversation < 10; conversation++) {
    using wire = await Wire.dial(server.port);
    const [heard] = await Promise.all([
      wire.rest(),
      wire.send("warm\n".repeat(3000)).then(() => wire.end()),
    ]);
    assertEquals(unstamped(heard), "[warm] STAMP\n".repeat(3000));
  }
}
