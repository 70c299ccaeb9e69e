/** Our client and our server over a network that has its faults. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type Framing, readback, serve } from "../../lib/mod.ts";
import type { Program } from "../../lib/testing/program.ts";
import { startClient, startServer } from "../../lib/testing/readback.ts";
import { Proxy, type ProxyFaults } from "../../lib/testing/proxy.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";
import { run } from "../support/run.ts";

const MESSAGES = ["one", "two", "three"];
const REPLY = "[one] Mon Dec  9 18:15:50 2019\n".length;
const IN_MID_REPLY = REPLY + 10;

/** The client's modes: how each is told the messages, and what it shows for their replies. */
const MODES = {
  conversation: {
    args: [],
    input: `${MESSAGES.join("\n")}\n`,
    shown: `${
      MESSAGES.map((said) => `>>:${said}\nClient received data: [${said}] STAMP\n`).join("")
    }>>:\n`,
  },
  "--message": {
    args: MESSAGES.flatMap((message) => ["--message", message]),
    input: "",
    shown: MESSAGES.map((said) => `[${said}] STAMP\n`).join(""),
  },
  "--quiet": {
    args: ["--quiet"],
    input: `${MESSAGES.join("\n")}\n`,
    shown: MESSAGES.map((said) => `[${said}] STAMP\n`).join(""),
  },
} as const;

type Mode = keyof typeof MODES;
const EACH_MODE = Object.keys(MODES) as Mode[];

/** Runs the client in a mode, through a proxy to a server; gives what it was like. */
async function talk(
  mode: Mode,
  faults: ProxyFaults,
  more: { client?: readonly string[]; framing?: Framing | undefined } = {},
): Promise<{ code: number; shown: string; stderr: string; took: number }> {
  await using server = serve(readback(), { framing: more.framing, grace: 0 });
  await using proxy = await Proxy.start({ port: server.port }, faults);
  const { args, input } = MODES[mode];
  const start = performance.now();
  const client: Program = startClient(["--port", proxy.port, ...args, ...more.client ?? []]);
  const { code, stdout, stderr } = await run(client, { input });
  return { code, shown: stdout, stderr, took: performance.now() - start };
}

describe("a network that only takes its time: every reply comes", () => {
  for (
    const [what, faults, framing] of [
      ["no fault", {}],
      ["50 ms of latency each way", { up: "delay=50ms", down: "delay=50ms" }],
      ["pieces of one byte", { up: "slice=1", down: "slice=1" }, "line"],
      ["300 bytes a second", { up: "rate=300", down: "rate=300" }],
      ["an end that comes late", { up: "hold=100ms", down: "hold=100ms" }],
      ["all of it", { up: "slice=2,delay=20ms", down: "slice=2,delay=20ms" }, "line"],
    ] satisfies [string, ProxyFaults, Framing?][]
  ) {
    it(`${what}: with turns, and without`, async () => {
      const modes = Object.keys(faults).length === 0
        ? EACH_MODE
        : ["conversation", "--quiet"] as const;
      await Promise.all(modes.map(async (mode) => {
        const { code, shown, stderr } = await talk(mode, faults, { framing });
        const right = { mode, code: 0, shown: MODES[mode].shown, stderr: "" };
        assertEquals({ mode, code, shown, stderr }, right);
      }));
    });
  }
});

describe("a network that fails in the middle of the second reply", () => {
  for (
    const [what, fault, sentence] of [
      ["a reset", "reset", "the server has reset the connection"],
      ["an end", "cut", "the server closed the connection in the middle of a reply"],
      ["a stall", "stall", "no reply within 0.4s"],
    ] as const
  ) {
    for (const mode of EACH_MODE) {
      it(`${what}: ${mode} says so and exits 1`, async () => {
        const { code, shown, stderr, took } = await talk(
          mode,
          { down: `${fault}=${IN_MID_REPLY}` },
          {
            client: ["--timeout", "400ms"],
          },
        );
        const [, due] = /^client: .*: 1 of (\d) messages were answered\n$/.exec(stderr) ?? [];
        assertEquals(stderr, `client: ${sentence}: 1 of ${due} messages were answered\n`);
        assertEquals(code, 1);
        assertMatch(shown, /\[one\] STAMP\n/);
        assert(!shown.includes("[two] STAMP"), shown);
        assert(took < 20_000, `it took ${took} ms`);
      });
    }
  }
});

describe("a network that fails before the first reply", () => {
  for (
    const [what, fault, sentence] of [
      ["a reset", "reset=1", /the server has (reset the connection|disconnected)/],
      ["an end", "cut=1", /the server (has closed|closed) the connection/],
      ["a stall", "stall=1", /no reply within 0.4s/],
    ] as const
  ) {
    it(`${what} on the way up`, async () => {
      const { code, stderr } = await talk("--message", { up: fault }, {
        client: ["--timeout", "400ms"],
        framing: "line",
      });
      assertMatch(
        stderr,
        new RegExp(`^client: ${sentence.source}: 0 of 3 messages were answered\n$`),
      );
      assertEquals(code, 1);
    });
  }
});

describe("the filter", () => {
  it("prints all replies that are outstanding when its input ends", async () => {
    await using server = await startServer(["--quiet"]);
    await using proxy = await Proxy.start(server, { down: "delay=300ms" });
    await using client = startClient(["--port", proxy.port, "--quiet"]);
    const numbers = Array.from({ length: 1000 }, (_, number) => number);
    await client.type(numbers.map((number) => `${number}\n`).join(""));
    await client.endInput();
    await client.ends(0);
    assertEquals(unstamped(client.stdout), numbers.map((number) => `[${number}] STAMP\n`).join(""));
  });

  it("counts what was lost: a reset among a thousand replies", async () => {
    await using server = await startServer(["--quiet"]);
    await using proxy = await Proxy.start(server, { down: "reset=10k" });
    await using client = startClient(["--port", proxy.port, "--quiet"]);
    await client.type("hello\n".repeat(1000));
    await client.endInput();
    await client.ends(1);
    const printed = client.stdout.split("\n").length - 1;
    const [, answered, due] = /: (\d+) of (\d+) messages were answered\n$/.exec(client.stderr) ??
      [];
    assertEquals([Number(answered), Number(due)], [printed, 1000], client.stderr);
  });
});

describe("the server", () => {
  it("lets a stalled client go at --idle-timeout, and serves the next", async () => {
    await using server = await startServer(["--idle-timeout", "300ms", "--framing", "line"]);
    await using proxy = await Proxy.start(server, { up: "stall=3" });
    using wire = await Wire.dial(proxy.port);
    await wire.send("half a line\n");
    await server.until("idle");
    using next = await Wire.dial(server.port);
    await next.send("hello\n");
    await next.until(/^\[hello\] .*\n/);
  });

  it("tells of a client that a fault reset, and serves the next", async () => {
    await using server = await startServer();
    await using proxy = await Proxy.start(server, { up: "reset=10" });
    using wire = await Wire.dial(proxy.port);
    await wire.send("hello\n");
    await wire.until(/^\[hello\] .*\n/);
    await wire.send("half a line\n");
    await server.until("has broken the connection...");
    using next = await Wire.dial(server.port);
    await next.send("hello\n");
    await next.until(/^\[hello\] .*\n/);
  });
});
