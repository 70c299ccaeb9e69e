/** The battery sees: rows fail on a server that deserves it. */

import { assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Subject } from "./battery/subject.ts";
import { inOneGo, randomCuts } from "./battery/streams.ts";
import { resetInConversation, resetInTheQueue } from "./battery/vanishing.ts";
import { requires } from "../lib/testing/requires.ts";
import { Random } from "./random.ts";
import { ServerProgram } from "../lib/testing/readback.ts";
import { Wire } from "../lib/testing/wire.ts";

/** The whole server ended. */
const GONE = /refused|reset|end-of-file|EPIPE|broken pipe|ls: cannot access/i;

async function startNaive(): Promise<ServerProgram> {
  const naive = new ServerProgram([Deno.execPath(), "run", "--allow-net", "tests/naive.ts"]);
  const [, port] = await naive.until(/listening on .*:(\d+)/);
  naive.port = Number(port);
  return naive;
}

describe("the naive server", requires("linux", "python3"), () => {
  it("seems to work", async () => {
    await using naive = await startNaive();
    using wire = await Wire.dial(naive.port);
    await wire.send("hello\n");
    await wire.until(/^\[hello\] .*\n/);
  });

  for (
    const [row, fails, how] of [
      ["row 1", (naive: Subject) => resetInTheQueue(naive, 1000), GONE],
      ["row 2", (naive: Subject) => resetInConversation(naive, 1), GONE],
      ["row 4", (naive: Subject) => inOneGo(naive, 5000), /reply 0 is/],
      ["row 6", (naive: Subject) => randomCuts(naive, 20, new Random(1)), /seed 1: "/],
    ] as const
  ) {
    it(`fails ${row}`, async () => {
      await using naive = await startNaive();
      const error = await assertRejects(() => fails(naive), Error);
      assertMatch(error.message, how);
    });
  }
});
