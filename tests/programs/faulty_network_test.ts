/** Our client and our server over a network that has its faults. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { errorMessage } from "../../lib/checks.ts";
import { Filter } from "../../lib/cli/filter.ts";
import { listed } from "../../lib/cli/pipes.ts";
import { talk, Turns } from "../../lib/cli/talk.ts";
import { type Framing, readback, serve } from "../../lib/mod.ts";
import { BufferedConn } from "../../lib/net/buffered_conn.ts";
import { connect } from "../../lib/net/connect.ts";
import { startClient, startServer } from "../../lib/testing/readback.ts";
import { Proxy, type ProxyFaults } from "../../lib/testing/proxy.ts";
import { latin1, text, Wire } from "../../lib/testing/wire.ts";
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

/** A server, and a network with these faults before it. */
async function startNetwork(faults: ProxyFaults, framing: Framing | undefined) {
  const server = serve(readback(), { framing, grace: 0 });
  const proxy = await Proxy.start({ port: server.port }, faults);
  return {
    port: proxy.port,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Runs the client in a mode, over such a network; gives what it was like. */
async function runClient(
  mode: Mode,
  faults: ProxyFaults,
  { framing, more = [] }: { framing?: Framing; more?: readonly string[] },
): Promise<{ code: number; shown: string; stderr: string; took: number }> {
  await using network = await startNetwork(faults, framing);
  const { args, input } = MODES[mode];
  const start = performance.now();
  const client = startClient(["--port", network.port, ...args, ...more]);
  const { code, stdout, stderr } = await run(client, { input });
  return { code, shown: stdout, stderr, took: performance.now() - start };
}

/** How a conversation in this process went. */
interface Outcome {
  /** Its replies, a line each. */
  shown: string;
  answered: number;
  sent: number;
  failure?: string;
}

/**
 * The client's part of a conversation, in this process: it takes turns, or is a filter.
 * @param timeout in ms
 */
async function converse(
  way: "turns" | "filter",
  port: number,
  messages: readonly string[],
  timeout: number,
): Promise<Outcome> {
  const conn = new BufferedConn(await connect({ hostname: "127.0.0.1", port }), timeout);
  let shown = "";
  const show = (data: Uint8Array | null) =>
    Promise.resolve(void (shown += text(data ?? latin1(""))));
  const ended = (peer: Turns | Filter) => (error?: unknown) => {
    const failure = error === undefined ? {} : { failure: errorMessage(error) };
    conn.close();
    return { shown: unstamped(shown), answered: peer.answered, sent: peer.sent, ...failure };
  };
  if (way === "turns") {
    const turns = new Turns(conn, "auto");
    const onReply = (reply: Uint8Array | null) => show(reply).then(() => show(latin1("\n")));
    const done = talk(turns, listed(messages.map(latin1)), {
      onReply,
      onUnsolicited: show,
      waiting: (exchange) => exchange,
    });
    return await done.then(() => undefined, (error) => error).then(ended(turns));
  }
  const filter = new Filter(conn, "auto");
  let left = latin1(messages.map((message) => `${message}\n`).join(""));
  const read = (into: Uint8Array) => {
    const bytes = left.subarray(0, into.length);
    left = left.subarray(bytes.length);
    into.set(bytes);
    return Promise.resolve(bytes.length || null);
  };
  const done = filter.run({ read }, { write: show });
  return await done.then(() => undefined, (error) => error).then(ended(filter));
}

const WAYS = ["turns", "filter"] as const;
const REPLIES = MESSAGES.map((said) => `[${said}] STAMP\n`).join("");

describe("a network that only takes its time: every reply comes", () => {
  for (
    const [what, faults, framing] of [
      ["no fault", {}],
      ["50 ms of latency each way", { up: "delay=50ms", down: "delay=50ms" }],
      ["pieces of one byte", { up: "slice=1", down: "slice=1" }, "line"],
      ["300 bytes a second", { up: "rate=300", down: "rate=300" }],
      ["an end that comes late", { up: "hold=100ms", down: "hold=100ms" }],
    ] satisfies [string, ProxyFaults, Framing?][]
  ) {
    it(`${what}: with turns, and without`, async () => {
      await using network = await startNetwork(faults, framing);
      const outcomes = WAYS.map((way) => converse(way, network.port, MESSAGES, 10_000));
      for (const outcome of await Promise.all(outcomes)) {
        assertEquals(outcome, { shown: REPLIES, answered: 3, sent: 3 });
      }
    });
  }

  for (const mode of EACH_MODE) {
    it(`pieces that come late: the client, ${mode}`, async () => {
      const faults = { up: "slice=2,delay=20ms", down: "slice=2,delay=20ms" };
      const { code, shown, stderr } = await runClient(mode, faults, { framing: "line" });
      assertEquals({ code, shown, stderr }, { code: 0, shown: MODES[mode].shown, stderr: "" });
    });
  }
});

describe("a network that fails in the middle of the second reply", () => {
  for (
    const [what, fault, sentence, mode] of [
      ["a reset", "reset", "the server has reset the connection", "conversation"],
      ["an end", "cut", "the server closed the connection in the middle of a reply", "--message"],
      ["a stall", "stall", "no reply within 0.4s", "--quiet"],
    ] as const
  ) {
    const faults = { down: `${fault}=${IN_MID_REPLY}` };

    it(`${what}: with turns, and without`, async () => {
      await using network = await startNetwork(faults, undefined);
      for (const way of WAYS) {
        const { shown, answered, failure } = await converse(way, network.port, MESSAGES, 400);
        assertEquals([shown, answered, failure], ["[one] STAMP\n", 1, sentence], way);
      }
    });

    it(`${what}: the client, ${mode}, says so and exits 1`, async () => {
      const { code, shown, stderr, took } = await runClient(mode, faults, {
        more: ["--timeout", "400ms"],
      });
      const [, due] = /^client: .*: 1 of (\d) messages were answered\n$/.exec(stderr) ?? [];
      assertEquals(stderr, `client: ${sentence}: 1 of ${due} messages were answered\n`);
      if (mode === "--message") assertEquals(due, "3"); // all of them, sent or not
      assertEquals(code, 1);
      assertMatch(shown, /\[one\] STAMP\n/);
      assert(!shown.includes("[two] STAMP"), shown);
      assert(took < 20_000, `it took ${took} ms`);
    });
  }
});

describe("a network that fails before the first reply", () => {
  for (
    const [what, fault, sentence] of [
      ["a reset", "reset=1", /^the server has (reset the connection|disconnected)$/],
      ["an end", "cut=1", /^the server (has closed|closed) the connection$/],
      ["a stall", "stall=1", /^no reply within 0.4s$/],
    ] as const
  ) {
    it(`${what} on the way up`, async () => {
      await using network = await startNetwork({ up: fault }, "line");
      const { answered, failure = "" } = await converse("turns", network.port, MESSAGES, 400);
      assertMatch(failure, sentence);
      assertEquals(answered, 0);
    });
  }
});

describe("the filter", () => {
  it("prints all replies that are outstanding when its input ends", async () => {
    await using network = await startNetwork({ down: "delay=300ms" }, undefined);
    await using client = startClient(["--port", network.port, "--quiet"]);
    const numbers = Array.from({ length: 1000 }, (_, number) => number);
    await client.type(numbers.map((number) => `${number}\n`).join(""));
    await client.endInput();
    await client.ends(0);
    assertEquals(unstamped(client.stdout), numbers.map((number) => `[${number}] STAMP\n`).join(""));
  });

  it("counts what was lost: a reset among a thousand replies", async () => {
    await using network = await startNetwork({ down: "reset=10k" }, undefined);
    const messages = new Array<string>(1000).fill("hello");
    const { shown, answered, sent, failure } = await converse(
      "filter",
      network.port,
      messages,
      10_000,
    );
    const printed = shown.split("\n").length - 1;
    assertEquals([answered, sent], [printed, 1000], failure);
    assert(failure !== undefined && printed > 0 && printed < 1000, `${printed}: ${failure}`);
  });
});

describe("the server", () => {
  it("tells of a client that a fault reset, lets a stalled one go at --idle-timeout, and serves the next", async () => {
    await using server = await startServer(["--idle-timeout", "500ms", "--framing", "line"]);
    await using proxy = await Proxy.start(server, { up: "reset=10" });
    const serveNext = async () => {
      using next = await Wire.dial(server.port);
      await next.send("hello\n");
      await next.until(/^\[hello\] .*\n/);
    };
    using wire = await Wire.dial(proxy.port);
    await wire.send("hello\n");
    await wire.until(/^\[hello\] .*\n/);
    await wire.send("half a line\n");
    await server.until("has broken the connection...");
    await serveNext();
    proxy.faults = { up: "stall=3" };
    using stalled = await Wire.dial(proxy.port);
    await stalled.send("half a line\n");
    await server.until("idle");
    await serveNext();
  });
});
