/** The battery sees: rows fail on a server that deserves it. */

import { assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { assertWell, type Subject } from "./subject.ts";
import { inOneGo, randomCuts } from "./streams.ts";
import { resetInConversation, resetInTheQueue } from "./vanishing.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Random } from "../support/random.ts";
import { ServerProgram } from "../../lib/testing/readback.ts";

/** The whole server ended. */
const GONE = /refused|reset|end-of-file|EPIPE|broken pipe|is gone/i;

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

describe("the naive server, which seems to work,", requires("linux", "python3"), () => {
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
      await assertWell(naive);
      const error = await assertRejects(() => fails(naive), Error);
      assertMatch(error.message, how);
    });
  }
});
