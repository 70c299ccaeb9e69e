/** Where the server's lines go: standard output or a file, and what happens if they can't be written. */

import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { openLog } from "../../lib/cli/server_log.ts";
import { parse } from "../../lib/cli/options.ts";
import { OPTIONS } from "../../lib/cli/server_options.ts";
import { text } from "../../lib/testing/wire.ts";

type Log = Awaited<ReturnType<typeof openLog>>;

/** Opens a log, whose standard output is the test's; returns what was written there, and what failed. */
async function run(args: string[], does: (log: Log) => Promise<void> | void, failures = 0) {
  const options = parse(OPTIONS, args);
  if (typeof options === "string") throw new Error(options);
  let written = "";
  const failed: string[] = [];
  const { write, isTerminal } = Deno.stdout;
  const { setTimeout } = globalThis;
  Deno.stdout.isTerminal = () => false;
  Deno.stdout.write = (bytes) => {
    if (failures-- > 0) return Promise.reject(new Error("full"));
    written += text(bytes);
    return Promise.resolve(bytes.length);
  };
  // The log tries again after a second.
  const soon = (call: () => void, after?: number) => setTimeout(call, after === 1000 ? 0 : after);
  if (failures > 0) Object.assign(globalThis, { setTimeout: soon });
  try {
    const log = await openLog(options, (sentence) => failed.push(sentence));
    await does(log);
    await log.flush();
    while (failures >= 0 && failed.length > 0) await new Promise((done) => setTimeout(done, 1));
    log.file?.close();
  } finally {
    Object.assign(Deno.stdout, { write, isTerminal });
    Object.assign(globalThis, { setTimeout });
  }
  return { written, failed };
}

const both = (log: Log) => {
  log.print("listening on a:1", "listening");
  log.print("waiting", "waiting");
};

describe("the server's lines go to", () => {
  it("standard output", async () => {
    assertEquals(await run([], both), { written: "listening on a:1\nwaiting\n", failed: [] });
  });

  it("a file, and the address to standard output too; what the file holds is kept", async () => {
    const path = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(path, "x".repeat(30));
      const { written } = await run(["--log-file", path], both);
      assertEquals(written, "listening on a:1\n");
      assertEquals(await Deno.readTextFile(path), "listening on a:1\nwaiting\nxxxxx");
    } finally {
      await Deno.remove(path);
    }
  });

  it("no file that can't be opened", async () => {
    const why = /^cannot write to "\/nowhere\/x": ./;
    const { message } = await assertRejects(() => run(["--log-file", "/nowhere/x"], both), Error);
    assertEquals(why.test(message), true, message);
  });

  it("standard output again, once that can be written; that it could not is told once", async () => {
    const why = "cannot write to standard output: full; the conversations go on";
    assertEquals(await run([], both, 2), {
      ...{ written: "listening on a:1\nwaiting\n", failed: [why] },
    });
  });
});

describe("the log's options", () => {
  it("are those of the transcript", async () => {
    for (
      const [args, isJson, isTraced, quiet, once] of [
        [[], false, false, false, false],
        [["--log", "json"], true, false, false, false],
        [["--trace"], false, true, false, false],
        [["--trace", "--log", "json"], true, false, false, false],
        [["-q", "--once"], false, false, true, true],
      ] as const
    ) {
      await run([...args], (log) => {
        const line = log.format({ event: "dropped", lines: 2 }, new Date(0));
        assertEquals(line.startsWith("{"), isJson);
        assertEquals([log.trace !== undefined, log.quiet, log.once], [isTraced, quiet, once]);
        assertEquals(log.file, undefined);
      });
    }
  });
});
