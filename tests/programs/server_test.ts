/** The server as its user sees it: transcript, options, limits, exit codes, the stop. */

import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { listen, readback, serve } from "../../lib/mod.ts";
import { parse, UsageError } from "../../lib/cli/options.ts";
import { openLog } from "../../lib/cli/server_log.ts";
import { OPTIONS } from "../../lib/cli/server_options.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, ServerProgram, startServer } from "../../lib/testing/readback.ts";
import { resetAfter, resetUnaccepted } from "../battery/vanishing.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { assertReplies, unstamped } from "../support/replies.ts";
import { sleep } from "../../lib/wait.ts";
import { run } from "../support/run.ts";

/** Runs the server to its end. */
const runServer = (...args: string[]) => run(new Program([...program("server"), ...args]));

/** Says one line and waits for its reply: both sides are then in conversation. */
async function greet(server: ServerProgram): Promise<Wire> {
  const wire = await Wire.dial(server.port);
  await wire.send("hello\n");
  await wire.until(/\n/);
  return wire;
}

describe("without options", () => {
  let server: ServerProgram;

  before(async () => {
    server = await startServer();
  });
  after(() => server[Symbol.asyncDispose]());

  // This is the first test, because it looks at the whole transcript.
  it("the transcript is the tutorial's, with addresses", async () => {
    let address = "";
    {
      using wire = await greet(server);
      address = `127.0.0.1:${(wire.conn.localAddr as Deno.NetAddr).port}`;
      await wire.send("i am 我\x1b[31m\n".replace("我", "\xe6\x88\x91"));
      await wire.until(/\n/);
    }
    await server.until(/waiting.*[^]*waiting connection...\n/);
    assertEquals(
      server.stdout,
      `listening on 127.0.0.1:${server.port}\n` +
        "waiting connection...\n" +
        `Server received data: "hello" from ${address}\n` +
        `Server received data: "i am 我\\x1b[31m" from ${address}\n` +
        `client ${address} has broken the connection...\n` +
        "waiting connection...\n",
    );
    assertEquals(server.stderr, "");
  });

  it("says waiting only when the last client has left", async () => {
    const start = server.stdout.length;
    using second = await greet(server);
    (await greet(server))[Symbol.dispose]();
    await server.until(/has broken the connection...\n/);
    second[Symbol.dispose]();
    await server.until(/has broken the connection...\nwaiting connection...\n/);
    assertEquals(server.stdout.slice(start).match(/waiting/g)?.length, 1);
  });

  it("says when a client vanished instead of closing", requires("linux"), async () => {
    await resetAfter(server.port, "hello\n", 1);
    await server.until(/client .* has broken the connection... \(reset\)\n/);
  });

  it("serves 200 clients at once, one of them gone in mid-message", async () => {
    using clients = new DisposableStack();
    // The first line decides the framing: a pause in a later one is no end of a raw message.
    const wires = await Promise.all(Array.from({ length: 200 }, () => greet(server)));
    for (const wire of wires) clients.use(wire);
    await Promise.all(wires.map((wire, number) => wire.send(`hello from ${number}`)));
    wires[100]?.[Symbol.dispose]();
    await Promise.all(wires.map(async (wire, number) => {
      if (number === 100) return;
      await wire.send("!\n");
      assertEquals(unstamped(await wire.until(/\d{4}\n?$/)), `[hello from ${number}!] STAMP\n`);
    }));
  });

  it("a port that is taken: a sentence, exit 1, and the first server is unharmed", async () => {
    const { code, stdout, stderr } = await runServer("--port", String(server.port));
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, /^server: cannot listen on 127\.0\.0\.1:\d+: the port is in use: .+\n$/);
    await assertReplies(server.port, "still\n", "[still] STAMP\n");
  });
});

describe("transcript", () => {
  it(
    "counts those who vanished before they were accepted, also at a stop, which is at once",
    requires("linux"),
    async () => {
      await using server = await startServer(["--grace", "1m"]);
      await server.until("waiting connection...\n");
      await resetUnaccepted(server, 3);
      (await greet(server))[Symbol.dispose]();
      await server.until(
        /broken the connection...\n\(3 connections were reset before .*\)\nwaiting connection...\n/,
      );
      await resetUnaccepted(server, 1);
      server.signal("SIGTERM");
      await server.ends(0);
      assertMatch(server.stdout, /\n\(1 connection was reset before it was accepted\)\n$/);
      assertEquals(server.stderr, "");
    },
  );

  it(
    "--quiet is the ready line alone, also at a stop, which is at once",
    requires("signals"),
    async () => {
      await using server = await startServer(["--quiet", "--grace", "1m"]);
      (await greet(server))[Symbol.dispose]();
      server.signal("SIGINT");
      await server.ends(0);
      assertEquals(server.stdout, `listening on 127.0.0.1:${server.port}\n`);
      assertEquals(server.stderr, "");
    },
  );

  it("--log json is an object a line; --until-eof alone stops without a grace period", async () => {
    const args = ["--port", "0", "--log", "json", "--until-eof"];
    await using server = new ServerProgram([...program("server"), ...args]);
    const [, port] = await server.until(/"listening".*"port":(\d+)}\n/);
    server.port = Number(port);
    (await greet(server))[Symbol.dispose]();
    await server.until(/"ended".*\n.*"waiting".*\n/);
    using _stays = await greet(server);
    await server.type("ignored\n");
    const since = performance.now();
    await server.endInput();
    await server.ends(0);
    assertLess(performance.now() - since, 4000); // otherwise, the grace is 5 s
    const events = server.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    const first = ["listening", "waiting", "connected", "message", "eof", "ended", "waiting"];
    assertEquals(
      events.map(({ event }) => event),
      [...first, "connected", "message", "stopping", "ended"],
    );
    const [listening, , , message, , ended] = events;
    assertEquals(listening.address, `127.0.0.1:${server.port}`);
    assertEquals([listening.host, listening.port], ["127.0.0.1", server.port]);
    assertEquals([message.bytes, message.data], [5, "hello"]);
    assertEquals([ended.reason, ended.messages], ["left", 1]);
    assertMatch(events.at(-1).reason, /^(cut|stopped)$/);
    for (const { time } of events) assertMatch(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });
});

describe("--log-file", () => {
  it("has all lines from the start; standard output has the address alone", async () => {
    const file = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(file, "a longer line of the run before\n".repeat(99));
      await using server = await startServer(["--log-file", file]);
      (await greet(server))[Symbol.dispose]();
      const all =
        /^listening on .*:\d+\nwaiting connection...\nServer .*\nclient .*\nwaiting connection...\n$/;
      while (!all.test(await Deno.readTextFile(file))) await sleep(10);
      server.signal("SIGTERM");
      await server.ends(0);
      assertEquals(server.stdout, `listening on 127.0.0.1:${server.port}\n`);
    } finally {
      await Deno.remove(file);
    }
  });

  it("that can't be written is a sentence", async () => {
    const options = parse(OPTIONS, ["--log-file", "/no/such/folder/log"]);
    assert(typeof options !== "string");
    const { message } = await assertRejects(() => openLog(options, () => {}), Error);
    assertMatch(message, /^cannot write to "\/no\/such\/folder\/log": .+$/);
  });
});

describe("--until-eof", requires("sh"), () => {
  it("lets conversations finish for --grace", async () => {
    await using server = await startServer(["--until-eof", "--grace", "1m", "--log", "json"]);
    using wire = await greet(server);
    await server.endInput();
    await wire.rest();
    wire[Symbol.dispose]();
    await server.ends(0);
    assertMatch(server.stdout, /"ended".*"reason":"stopped"/);
  });

  it("with an input that has ended is a sentence, exit 2", async () => {
    const command = [...program("server"), "--port", "0", "--until-eof"];
    await using server = new Program(["sh", "-c", 'exec "$@" </dev/null', "sh", ...command]);
    await server.ends(2);
    assertMatch(
      server.stderr,
      /^server: cannot use --until-eof: standard input has already ended; give it a pipe .*\n$/,
    );
    assertEquals(server.stdout, "");
  });
});

describe("--hide-silent", () => {
  it("prints nothing about a client that sends nothing, connected or not", async () => {
    await using server = await startServer(["--hide-silent", "--log", "json"]);
    for (let check = 0; check < 3; check++) (await Wire.dial(server.port))[Symbol.dispose]();
    using _silent = await Wire.dial(server.port);
    const before = new Date().toISOString();
    using wire = await Wire.dial(server.port);
    using _later = await greet(server); // it was accepted after the other
    const between = new Date().toISOString();
    await wire.send("half");
    const { port } = wire.conn.localAddr as Deno.NetAddr;
    const [, time = ""] = await server.until(
      new RegExp(`"time":"([^"]*)","event":"connected","client":"[^"]*:${port}"}\\n`),
    );
    assert(time >= before && time <= between, `${before} ${time} ${between}`);
    await wire.send(" a line\n");
    await wire.end();
    await wire.rest();
    await server.until('"ended"');
    const lines = server.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    const clients = new Set(lines.map(({ client }) => client).filter((client) => client));
    assertEquals(clients.size, 2);
    assertEquals(
      lines.filter(({ client }) => client === `127.0.0.1:${port}`).map(({ event }) => event),
      ["connected", "message", "eof", "ended"],
    );
  });
});

describe("options", () => {
  it("--help and --version on stdout, exit 0", async () => {
    const help = await runServer("--help");
    assertEquals([help.code, help.stderr], [0, ""]);
    assertMatch(help.stdout, /^usage: readback-server \[options\] .*\n[^]*--max-clients N/);
    const version = await runServer("-V");
    assertEquals([version.code, version.stderr], [0, ""]);
    assertMatch(version.stdout, /^readback \d+\.\d+\.\d+\n$/);
  });

  it("one that does not exist is refused in a sentence", () => {
    const sentence = 'unknown option "--prot": did you mean --port?';
    assertThrows(() => parse(OPTIONS, ["--prot", "1"]), UsageError, sentence);
  });

  it("an argument that is not UTF-8: a sentence, exit 2", requires("sh"), async () => {
    for (const name of ["server", "client"] as const) {
      const words = ["sh", "-c", `exec "$@" "$(printf 'caf\\351')"`, "sh", ...program(name)];
      await using it = new Program(words);
      await it.ends(2);
      const sentence =
        'cannot use the argument "caf\ufffd": it is not UTF-8, and would not be sent as typed';
      assertEquals([it.stdout, it.stderr], ["", `${name}: ${sentence}\n`]);
    }
  });

  it("an address that this machine has not, a name that nobody has: a sentence", async () => {
    for (
      const [hostname, why] of [
        ["192.0.2.1", "this machine has no such address: choose another --host"],
        ["no-such-name.invalid", "no such name: check --host"],
      ] as const
    ) {
      const sentence = `cannot listen on ${hostname}:0: ${why}`;
      await assertRejects(() => listen({ hostname, port: 0 }), Error, sentence);
    }
  });
});

describe("--max-clients", () => {
  it("one more waits until a place is free", async () => {
    await using server = await startServer(["--max-clients", "1"]);
    const first = await greet(server);
    using second = await Wire.dial(server.port);
    await second.send("second\n");
    await first.send("first\n");
    assertEquals(unstamped(await first.until(/\n/)), "[first] STAMP\n");
    first[Symbol.dispose]();
    assertEquals(unstamped(await second.until(/\n/)), "[second] STAMP\n");
    await server.until(/"first" from[^]*has broken the connection[^]*"second" from/);
  });
});

describe("--once", () => {
  it("is one connection, one message, its reply, exit 0", async () => {
    await using server = await startServer(["--once"]);
    using wire = await Wire.dial(server.port);
    await wire.send("one\ntwo\n");
    assertEquals(unstamped(await wire.rest()), "[one] STAMP\n");
    wire[Symbol.dispose]();
    await server.ends(0);
    assertMatch(
      server.stdout,
      /^listening on .*\nwaiting connection...\nServer received data: "one" from .*\n$/,
    );
  });

  it("a client that leaves without a message: a sentence, exit 1", async () => {
    await using server = await startServer(["--once"]);
    (await Wire.dial(server.port))[Symbol.dispose]();
    await server.ends(1);
    assertEquals(server.stderr, "server: the conversation ended before a whole message came\n");
    assertEquals(server.stdout.match(/waiting/g)?.length, 1);
  });

  it("a message that is too long is none", async () => {
    await using server = serve(readback(), { once: true, maxMessage: 3 });
    using wire = await Wire.dial(server.port);
    await wire.send("four\n");
    assertEquals(await wire.rest(), "error: message longer than 3 bytes\n");
    wire[Symbol.dispose]();
    await server.finished;
    assertEquals(server.messages, 0);
  });
});

describe("--idle-timeout", () => {
  it("cuts a client that says nothing, and one that drips; not one that talks; --hide-silent prints both", async () => {
    const args = ["--idle-timeout", "400ms", "--framing", "line"];
    await using server = await startServer([...args, "--hide-silent", "--fault", "refuse@1"]);
    using _refused = await Wire.dial(server.port);
    await server.until(/fault refuse for 127/); // which --hide-silent does not hide
    using silent = await Wire.dial(server.port);
    using drip = await Wire.dial(server.port);
    using talker = await Wire.dial(server.port);
    const ended: string[] = [];
    const cut = Promise.all([
      silent.rest().catch(() => "").then(() => ended.push("silent")),
      (async () => {
        try {
          for (;;) {
            await drip.send("x");
            await sleep(50); // the drip
          }
        } catch {
          ended.push("drip");
        }
      })(),
    ]);
    while (ended.length < 2) {
      await talker.send("hello\n");
      await talker.until(/\n/);
      await sleep(50); // well before it is idle
    }
    await cut;
    await server.until(/was disconnected: idle[^]*was disconnected: idle/);
    await talker.send("still here\n");
    assertEquals(unstamped(await talker.until(/\n/)), "[still here] STAMP\n");
  });
});

describe("stop", requires("signals"), () => {
  it(
    "answers what has arrived, also a first message that was still undecided, then end-of-file",
    requires("signals"),
    async () => {
      await using server = await startServer(["--grace", "1m"]);
      using wire = await greet(server);
      using undecided = await Wire.dial(server.port);
      await wire.send("x\n".repeat(1000));
      await undecided.send("hello");
      server.signal("SIGTERM");
      assertEquals(unstamped(await wire.rest()), "[x] STAMP\n".repeat(1000));
      assertEquals(unstamped(await undecided.rest()), "[hello] STAMP");
      wire[Symbol.dispose]();
      undecided[Symbol.dispose]();
      await server.ends(0);
    },
  );

  it("cuts a client that never leaves at --grace, exit 0", requires("signals"), async () => {
    await using server = await startServer(["--grace", "300ms"]);
    using _wire = await greet(server);
    const start = performance.now();
    server.signal("SIGTERM");
    await server.ends(0);
    assert(performance.now() - start > 250, "did not wait for the grace");
  });

  it("a second signal ends it at once, 130 or 143", requires("signals"), async () => {
    for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      await using server = await startServer(["--grace", "1m", "--log", "json"]);
      using _wire = await greet(server);
      server.signal(signal);
      await server.until("stopping");
      server.signal(signal);
      await server.ends(code);
    }
  });
});

describe("least privilege", requires("signals"), () => {
  /** The server's own command, with another right to the network or another entry. */
  const withRights = (
    rights: string,
    entry = "server.ts",
  ) => [Deno.execPath(), "run", "--quiet", rights, "--no-prompt", entry];

  it(
    "it runs with the right to its own address and nothing else",
    requires("signals"),
    async () => {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const port = String(listener.addr.port);
      listener.close();
      await using server = new Program([
        ...withRights(`--allow-net=127.0.0.1:${port}`),
        "--port",
        port,
      ]);
      await server.until(`listening on 127.0.0.1:${port}\n`);
      await assertReplies(Number(port), "hello\n", "[hello] STAMP\n");
    },
  );

  for (const permission of ["--allow-net", "--allow-all"]) {
    it(
      `once it listens it can open nothing else, also with ${permission}`,
      requires("sh"),
      async () => {
        const command = withRights(permission, "tests/support/captive.ts");
        await using server = new Program([...command, "--port", "0"]);
        const [, port] = await server.until(/listening on .*:(\d+)\n/);
        await server.untilError("env: ");
        await server.untilError("\n");
        const lines = server.stderr.trim().split("\n");
        for (const line of lines) assertMatch(line, /^\w+: NotCapable$/);
        assertEquals(lines.length, 9);
        await assertReplies(Number(port), "hello\n", "[hello] STAMP\n");
      },
    );
  }
});
