/** Runs of the client in this process: what it prints, what it complains about, and how it ends. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Context } from "../../lib/cli/client_options.ts";
import { converse } from "../../lib/cli/converse.ts";
import { measure } from "../../lib/cli/measure.ts";
import type { Style } from "../../lib/cli/output/report.ts";
import type { FamilyOptions } from "../../lib/net/connect.ts";
import { serve } from "../../lib/server/serve.ts";
import { serveDatagrams } from "../../lib/server/datagrams.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";
import { InProcess, optionsOf } from "../support/in_process.ts";
import { lines } from "../support/servers.ts";

/** A run that has begun. */
interface Run {
  readonly context: Context;
  readonly printed: string[];
  readonly complaints: string[];
  /** Calls what the client does at a signal. */
  signal(name: Deno.Signal): void;
}

/**
 * Runs the client with these options, and returns what was printed and complained about.
 * @param terminal gets what it shows meanwhile
 */
async function run<T>(
  args: string,
  style: Style,
  where: FamilyOptions,
  does: (run: Run) => Promise<T>,
  terminal?: { columns: number; drawn: string[] },
): Promise<{ result: T; printed: string[]; complaints: string[] }> {
  const options = optionsOf(args.split(" "));
  const printed: string[] = [], complaints: string[] = [];
  using client = new InProcess(options, style, "here", { timeout: options.timeout, ...where }, {
    write: (bytes) => Promise.resolve(void printed.push(text(bytes))),
    complain: (line) => void complaints.push(line),
    drawnColumns: terminal?.columns,
    draw: (text) => void terminal?.drawn.push(text),
  });
  const signal = (name: Deno.Signal) => client.signal(name);
  const result = await client.run((context) => does({ context, printed, complaints, signal }));
  return { result, printed, complaints };
}

const measured = (args: string, where: FamilyOptions) =>
  run(`--ping ${args}`, "ping", where, ({ context }) => measure(context));

/** Answers each line of a connection with a text that is made from it. */
const answering = (answer: (line: string) => string) => lines((line, send) => send(answer(line)));

describe("a measurement", () => {
  it("is well if all messages were answered", async () => {
    await using server = serve((message, reply) => reply.write(message));
    const { result, printed, complaints } = await measured("-c 2 -i 0", { port: server.port });
    assertEquals([result, complaints], [true, []]);
    assertMatch(printed.join(""), /seq=1 .*\n.*seq=2 .*\n--- here ---\n2 sent, 2 answered, 0 lost/);
  });

  it("is not if some were not, and says how many, and what was wrong", async () => {
    await using server = answering((line) => line === "ping 2" ? "hm\n" : `${line}\n`);
    const { result, complaints } = await measured("-c 3 -i 0", { port: server.port });
    assertEquals([result, complaints], [false, [
      "client: 2 of 3 messages were answered: 1 wrong " +
      "(a reply holds its message; with --any, any line is one)",
    ]]);
  });

  it("without an end is well if any was answered", async () => {
    await using server = answering((line) => line === "ping 2" ? "hm\n" : `${line}\n`);
    const { result } = await measured("--for 50ms -i 1ms", { port: server.port });
    assertEquals(result, true);
    await using silent = FakeServer.start(async (conn) => void await conn.read(new Uint8Array(9)), {
      keepOpen: true,
    });
    const none = await measured("--for 50ms -i 20ms -t 20ms", { port: silent.port });
    assertEquals([none.result, none.complaints], [false, ["client: no reply within 0.02s"]]);
  });

  it("complains once of what lasts until the end, and with --quiet at the end alone", async () => {
    const closing = () =>
      FakeServer.start(async (conn) => void await conn.read(new Uint8Array(100)));
    for (const quiet of ["", " -q"]) {
      await using server = closing();
      const { result, complaints } = await measured(`-c 1${quiet}`, { port: server.port });
      assertEquals([result, complaints.length], [false, 1]);
      assertMatch(complaints[0] ?? "", /^client: the server has closed the connection after 0.0 s/);
    }
  });

  it("complains of a problem that is over by then, but not with --quiet", async () => {
    for (
      const [quiet, first] of [
        ["", [/^client: the server has closed the connection after 0.0 s/]],
        [" -q", []],
      ] as const
    ) {
      let connections = 0;
      await using server = FakeServer.start(async (conn) => {
        const isFirst = connections++ === 0;
        const buffer = new Uint8Array(100);
        for (let count; (count = await conn.read(buffer)) !== null;) {
          if (isFirst) return;
          await conn.write(buffer.slice(0, count));
        }
      });
      const args = `-c 2 -i 0${quiet}`;
      const { result, complaints } = await measured(args, { port: server.port });
      assertEquals([result, complaints.length], [false, first.length + 1]);
      for (const [at, pattern] of first.entries()) assertMatch(complaints[at] ?? "", pattern);
      assertEquals(complaints.at(-1), "client: 1 of 2 messages were answered");
    }
  });

  it("of connections has no timeout of its own, and complains of the last one that failed", async () => {
    await using server = FakeServer.start(async (conn) => void await conn.read(new Uint8Array(1)));
    const args = "--connect -c 2 -i 0 -t 5s";
    const connects = (where: FamilyOptions) =>
      run(args, "ping", where, ({ context }) => measure(context));
    const { result, printed } = await connects({ port: server.port });
    assertEquals(result, true);
    assertMatch(printed.join(""), /^connected to here: seq=1.*\n.*seq=2.*\n--- here ---\n2 tried/);
    await server.close();
    const refused = await connects({ port: server.port });
    assertEquals([refused.result, refused.complaints.length], [false, 1]);
    assertMatch(refused.complaints[0] ?? "", /^client: cannot connect to .*: connection refused/);
  });

  for (const columns of [60, 40]) {
    it(`shows in ${columns} columns how it goes, and how long no reply has come`, async () => {
      const drawn: string[] = [];
      let answered = 0;
      await using server = answering((line) => answered++ < 40 ? `${line}\n` : "");
      await run("--ping -q -i 5ms", "ping", server, async ({ context, signal }) => {
        const running = measure(context);
        while (!drawn.some((text) => text.includes("no reply yet"))) await sleep(5);
        signal("SIGINT");
        return await running;
      }, { columns, drawn });
      const shown = drawn.map((text) => text.slice(1, -"\x1b[K".length)).filter(Boolean);
      for (const line of shown) assert(line.length <= columns - 3, line); // room for ^C
      const picture = /^[ ▁▂▃▄▅▆▇█]+ █ [\d.]+ ms, \d\.\d s$/;
      assertMatch(shown[0] ?? "", picture);
      const [, before = "", delay] = /^(?:(.*), )?(no reply yet: \d s)$/.exec(shown.at(-1) ?? "") ??
        [];
      assertEquals([delay?.length, picture.test(before)], [17, columns === 60]);
    });
  }

  it("over UDP counts datagrams", async () => {
    await using server = await serveDatagrams((message, reply) => reply.write(message));
    const where = { hostname: "127.0.0.1", port: server.port };
    const { result, complaints } = await measured("-u -c 3 -i 0 --connections 2", where);
    assertEquals([result, complaints, server.messages], [true, [], 3]);
  });

  it("fails if no connection can be made, and goes on with those that can", async () => {
    const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = free.addr;
    free.close();
    const { result, complaints } = await measured("-c 1 --connections 2", { port });
    assertEquals([result, complaints.length], [false, 1]);
    assertMatch(complaints[0] ?? "", /connection refused/);
  });

  it("goes on after a SIGQUIT whose figures could not be written, and ends at SIGINT", async () => {
    await using server = serve((message, reply) => reply.write(message));
    const { result, printed } = await run("--ping -q -i 1", "ping", {
      port: server.port,
    }, async ({ context, signal }) => {
      const running = measure(context);
      while (server.messages === 0) await sleep(1);
      await sleep(5);
      const { write } = context.report.output;
      context.report.output.write = () => Promise.reject(new Error("full"));
      signal("SIGQUIT");
      await sleep(5);
      context.report.output.write = write;
      signal("SIGINT");
      return await running.catch((error) => error.message);
    });
    // The lines after one that could not be written can't be written either.
    assertEquals([result, printed], ["full", []]);
  });
});

describe("a conversation", () => {
  const talk = (args: string, where: FamilyOptions) =>
    run(args, "replies", where, ({ context }) => converse(context));

  it("sends the messages of its options, and prints their replies", async () => {
    await using server = serve((message, reply) => reply.write(`${message.text}!`));
    const { printed, complaints } = await talk("-m one -m two", { port: server.port });
    assertEquals([printed, complaints], [["one!\n", "two!\n"], []]);
  });

  it("fails with a refusal, and says how many were answered", async () => {
    await using server = answering((line) => line === "no" ? "error: not that\n" : `${line}\n`);
    await assertRejects(
      () => talk("-m yes -m no -m never", { port: server.port }),
      Error,
      "the server refused: not that: 1 of 3 messages were answered",
    );
  });

  it("reports a greeting that was asked for beside the replies", async () => {
    await using server = serve((message, reply) => reply.write(message), {
      onOpen: (client) => void client.write("220 \x1b\n"),
    });
    const { printed, complaints } = await talk("--greeting -m a", { port: server.port });
    assertEquals([printed, complaints], [["a\n"], ["Server says: 220 \\x1b"]]);
  });

  it("over UDP fails where a reply is lost, after the other messages", async () => {
    await using server = await serveDatagrams((message, reply) => {
      if (message.text !== "lost") reply.write(`[${message.text}]`);
    });
    const where = { hostname: "127.0.0.1", port: server.port };
    const talking = () => talk("-u -t 50ms -m lost -m b", where);
    await assertRejects(
      talking,
      Error,
      "no reply within 0.05s: 1 of 2 messages were answered",
    );
  });

  it("fails when the server closes the connection, and says nothing of messages if all were answered", async () => {
    const own = { read: Deno.stdin.read, isTerminal: Deno.stdin.isTerminal };
    /** Sends one line that is typed; the server closes when another is asked for. */
    const talkOnce = async (style: Style) => {
      const lines = ["a\n"];
      const asked = Promise.withResolvers<void>();
      Deno.stdin.isTerminal = () => false;
      Deno.stdin.read = (into) => {
        const line = lines.shift();
        if (line === undefined) asked.resolve();
        else into.set(latin1(line));
        return line === undefined ? new Promise(() => {}) : Promise.resolve(line.length);
      };
      await using server = FakeServer.start(async (conn) => {
        await conn.read(new Uint8Array(9));
        await conn.write(latin1("[a] now\n"));
        await asked.promise;
      });
      const where = { port: server.port };
      const { result, printed } = await run("-t 0", style, where, async ({ context }) => {
        const error = await converse(context).catch((error) => error);
        return error.message;
      });
      return [String(result), printed.join("")];
    };
    const closed = "the server has closed the connection";
    try {
      assertEquals(await talkOnce("conversation"), [
        closed,
        ">>:a\nClient received data: [a] now\n>>:\n",
      ]);
      const [message, printed = ""] = await talkOnce("json");
      const events = printed.trim().split("\n").map((line) => JSON.parse(line));
      assertEquals([message, ...events.map(({ event }) => event)], [closed, "reply", "summary"]);
      const { sent, answered, connects, reason } = events[1];
      assertEquals([sent, answered, connects, reason], [1, 1, 1, closed]);
    } finally {
      Object.assign(Deno.stdin, own);
    }
  });
});
