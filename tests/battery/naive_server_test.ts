/** The battery sees: rows fail on a server that deserves it. */

import { assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Subject } from "./subject.ts";
import { inOneGo, randomCuts } from "./streams.ts";
import { resetInConversation, resetInTheQueue } from "./vanishing.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Random } from "../support/random.ts";
import { ServerProgram } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";

/** The whole server ended. */
const GONE = /refused|reset|end-of-file|EPIPE|broken pipe|ls: cannot access/i;

async function startNaive(): Promise<ServerProgram> {
  const naive = new ServerProgram([
    Deno.execPath(),
    "run",
    "--allow-net",
    "tests/battery/naive_server.ts",
  ]);
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
    const [name, fails, how] of [
      ["resets before they are accepted", (naive: Subject) => resetInTheQueue(naive, 1000), GONE],
      ["resets in a conversation", (naive: Subject) => resetInConversation(naive, 1), GONE],
      ["messages in one go", (naive: Subject) => inOneGo(naive, 5000), /reply 0 is/],
      ["random cuts", (naive: Subject) => randomCuts(naive, 20, new Random(1)), /seed 1: "/],
    ] as const
  ) {
    it(`fails at ${name}`, async () => {
      await using naive = await startNaive();
      const error = await assertRejects(() => fails(naive), Error);
      assertMatch(error.message, how);
    });
  }
});
