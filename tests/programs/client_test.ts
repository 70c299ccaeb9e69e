/** The client as its user sees it: conversation, one-liners, filter, errors, exit codes. */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readback, serve } from "../../lib/mod.ts";
import { OPTIONS } from "../../lib/cli/client_options.ts";
import { Filter } from "../../lib/cli/filter.ts";
import { parse, UsageError } from "../../lib/cli/options.ts";
import { BufferedConn } from "../../lib/net/buffered_conn.ts";
import { connect } from "../../lib/net/connect.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program, type ProgramOptions } from "../../lib/testing/program.ts";
import { program, startClient, startServer } from "../../lib/testing/readback.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";
import { run } from "../support/run.ts";

/** Runs the client to its end. */
const runClient = (
  args: readonly (string | number)[],
  input: string | Uint8Array = "",
  options: ProgramOptions = {},
) => run(startClient(args, options), { input });

/** Runs the filter in this process; returns its output, and the sentence with which it fails. */
async function filterHere(port: number, lines: string, timeout = 5000): Promise<[string, string]> {
  const conn = new BufferedConn(await connect({ port }), timeout);
  const left = [latin1(lines)];
  const read = (into: Uint8Array) => {
    const bytes = left.shift();
    into.set(bytes ?? []);
    return Promise.resolve(bytes?.length ?? null);
  };
  let output = "";
  const write = (bytes: Uint8Array) => Promise.resolve(output += text(bytes));
  const failure = await sentenceOf(new Filter(conn, "auto").run({ read }, { write }));
  conn.close();
  return [unstamped(output), failure];
}

/** Returns the sentence with which something fails. */
const sentenceOf = async (action: Promise<unknown>) =>
  (await assertRejects(() => action, Error)).message;

describe("the conversation through pipes", () => {
  it("is the tutorial's, until a blank line", async () => {
    await using server = await startServer();
    assertEquals(await runClient(["-p", server.port], "i am binary\ni am handsome\n\nnot said\n"), {
      code: 0,
      stdout: ">>:i am binary\nClient received data: [i am binary] STAMP\n" +
        ">>:i am handsome\nClient received data: [i am handsome] STAMP\n>>:\n",
      stderr: "",
    });
    await server.until(/broken the connection...\nwaiting connection...\n/);
    assert(!server.stdout.includes("not said"));
  });

  it("ends at end-of-file; CRLF is an ending, other bytes and an error reply go through", async () => {
    await using server = serve(readback(), { orders: true });
    await using client = startClient(["127.0.0.1", server.port]);
    await client.type(latin1("a\r\n\xff\0\xe4\n!error=no two\nthree"));
    await client.endInput();
    await client.ends(0);
    assertEquals(
      unstamped(text(client.stdoutBytes)),
      ">>:a\nClient received data: [a] STAMP\n" +
        ">>:\xff\0\xe4\nClient received data: [\xff\0\xe4] STAMP\n" +
        ">>:!error=no two\nClient received data: error: no\n" +
        ">>:three\nClient received data: [three] STAMP\n>>:\n",
    );
  });

  it("says at once when the server goes away, exit 1", async () => {
    await using server = serve(readback(), { grace: 0 });
    await using client = startClient(["-p", server.port]);
    await client.type("hello\n");
    await client.until(/received.*\n>>:/);
    await server.shutdown();
    await client.ends(1);
    assertEquals(client.stderr, "client: the server has closed the connection\n");
  });

  it("--loopback talks to a server of its own; --once is one message", async () => {
    const { code, stdout } = await runClient(["--loopback", "--once"], "one\ntwo\n");
    assertEquals([code, stdout], [0, ">>:one\nClient received data: [one] STAMP\n"]);
  });
});

describe("--duplex", () => {
  it("sends as typed and shows what comes, without turns or a prompt", async () => {
    await using server = serve(readback(), { framing: "line" });
    const { code, stdout, stderr } = await runClient(["-p", server.port, "--duplex"], "a\n\nb");
    const shown = ["[a] STAMP", "[] STAMP", "[b] STAMP"].map((line) => `Server says: ${line}\n`);
    assertEquals([code, stdout, stderr], [0, shown.join(""), ""]);
  });
});

describe("--message", () => {
  it("prints the replies alone", async () => {
    await using server = serve(readback());
    assertEquals(await runClient(["-p", server.port, "-m", "a", "--message", "b c"]), {
      code: 0,
      stdout: "[a] STAMP\n[b c] STAMP\n",
      stderr: "",
    });
  });

  it("says what the server refused, its escapes shown and not obeyed, exit 1", async () => {
    await using server = serve((message, reply) => {
      reply.write(message.length > 3 ? "error: \x1b]0;mine\x07\rno" : `got ${message.text}`);
    });
    assertEquals(await runClient(["-p", server.port, "-m", "123", "-m", "1234", "-m", "no"]), {
      code: 1,
      stdout: "got 123\n",
      stderr: "client: the server refused: \\x1b]0;mine\\x07\\rno: " +
        "1 of 3 messages were answered\n",
    });
  });
});

describe("--quiet", () => {
  it("is a filter: endings mirrored, blank lines said too, 10,000 messages in order", async () => {
    await using server = serve(readback());
    const numbers = Array.from({ length: 10_000 }, (_, number) => String(number));
    const lines = ["a\r", "b", "", ...numbers, "last"];
    const { code, stdout, stderr } = await runClient(
      ["-p", server.port, "--quiet"],
      lines.join("\n"),
    );
    assertEquals([code, stderr], [0, ""]);
    const replies = lines.map((line) => line === "a\r" ? "[a] STAMP\r" : `[${line}] STAMP`);
    const printed = stdout.split("\n");
    assertEquals(printed.find((reply, at) => reply !== replies[at]), undefined);
    assertEquals(printed.length, replies.length);
  });

  it("says what the server refused, and how many were answered; the refusal is no reply", async () => {
    await using server = serve(readback(), { maxMessage: 3 });
    assertEquals(await runClient(["-p", server.port, "--quiet"], "123\n1\n1234\nno\n"), {
      code: 1,
      stdout: "[123] STAMP\n[1] STAMP\n",
      stderr: "client: the server refused: message longer than 3 bytes: " +
        "2 of 4 messages were answered\n",
    });
  });
});

describe("a server that keeps no rule", () => {
  const reply = (message: string) =>
    new TextEncoder().encode(`[${message}] Mon Dec  9 18:15:50 2019\n`);

  it("that never ends: the filter ends once all is answered and nothing comes any more", async () => {
    await using server = FakeServer.start(async (conn) => {
      const buffer = new Uint8Array(1024);
      for (const message of "ab") {
        await conn.read(buffer);
        await conn.write(reply(message));
      }
    }, { keepOpen: true });
    assertEquals(await runClient(["-p", server.port, "-q", "-t", "300ms"], "a\nb\n"), {
      code: 0,
      stdout: "[a] STAMP\n[b] STAMP\n",
      stderr: "",
    });
  });

  it("that never stops sending: the filter stops at the reply too many", async () => {
    await using server = FakeServer.start(async (conn) => {
      await conn.read(new Uint8Array(1024));
      for (;;) await conn.write(reply("a"));
    });
    const [, failure] = await filterHere(server.port, "a\nb\n");
    assertEquals(failure, "the server sent more replies than messages");
  });
});

describe("a server that speaks raw", () => {
  /** The tutorial's: reads up to 1,024 bytes and never sends a newline. */
  const tutorial = () =>
    FakeServer.start(async (conn) => {
      const buffer = new Uint8Array(1024);
      for (let count; (count = await conn.read(buffer)) !== null;) {
        const stamp = new TextEncoder().encode("] Mon Dec  9 18:15:50 2019");
        await conn.write(Uint8Array.of(0x5b, ...buffer.subarray(0, count), ...stamp));
      }
    });

  it("shows the same transcript", async () => {
    await using server = tutorial();
    const { code, stdout } = await runClient(["-p", server.port], "i am binary\ni am handsome\n\n");
    assertEquals(code, 0);
    assertEquals(
      stdout,
      ">>:i am binary\nClient received data: [i am binary] STAMP\n" +
        ">>:i am handsome\nClient received data: [i am handsome] STAMP\n>>:\n",
    );
    assertEquals(server.received, "i am binary\ni am handsome");
  });

  it("the filter waits for each reply", async () => {
    await using server = tutorial();
    const { code, stdout } = await runClient(["-p", server.port, "-q"], "a\nb\r\n\u00e9");
    assertEquals([code, stdout], [0, "[a] STAMP\n[b] STAMP\r\n[\u00e9] STAMP"]);
  });

  it("can't be told a blank line", async () => {
    await using server = tutorial();
    const sentence = "an empty message can't be sent to a server that uses raw framing";
    assertEquals(await filterHere(server.port, "a\n\nb\n"), ["[a] STAMP\n", sentence]);
    assertEquals(server.received, "a\n");
  });

  it("--framing raw sends no LF at all", async () => {
    await using server = tutorial();
    const { code, stdout } = await runClient([
      "-p",
      server.port,
      "-f",
      "raw",
      "-m",
      "a",
      "-m",
      "b",
    ]);
    assertEquals([code, stdout, server.received], [0, "[a] STAMP\n[b] STAMP\n", "ab"]);
  });
});

describe("when it goes wrong", () => {
  for (
    const [what, args, code, sentence] of [
      [
        "nobody there",
        ["127.0.0.1", 1],
        1,
        /cannot connect to 127\.0\.0\.1:1: connection refused: .+/,
      ],
      [
        "two modes",
        ["-q", "-m", "a"],
        2,
        /cannot combine --quiet and --message: choose one of them/,
      ],
    ] as const
  ) {
    it(`${what}: a sentence, exit ${code}`, async () => {
      const { stdout, stderr, ...end } = await runClient(args);
      assertEquals([end.code, stdout], [code, ""]);
      assertMatch(stderr, new RegExp(`^client: ${sentence.source}\\n$`));
    });
  }

  it("no such name: a sentence", async () => {
    assertEquals(
      await sentenceOf(connect({ hostname: "no-such-name.invalid" })),
      "cannot connect to no-such-name.invalid:6969: no such name: check --host",
    );
  });

  it("a near miss: a sentence", () => {
    const { message } = assertThrows(() => parse(OPTIONS, ["--prot", "1"]), UsageError);
    assertEquals(message, 'unknown option "--prot": did you mean --port?');
  });

  it("a black hole: gives up after the timeout", requires("linux"), async () => {
    // A listener whose queue is full answers no one: the kernel drops what comes.
    using hole = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
    using fillers = new DisposableStack();
    for (let filler = 0; filler < 2; filler++) {
      fillers.use(await Deno.connect({ port: hole.addr.port }));
    }
    const { port } = hole.addr;
    assertEquals(
      await sentenceOf(connect({ port, timeout: 300 })),
      `cannot connect to 127.0.0.1:${port}: no answer within 0.3s`,
    );
  });

  it("a server that never answers: gives up after --timeout", async () => {
    await using server = FakeServer.start(
      async (conn) => void await conn.read(new Uint8Array(10)),
      { keepOpen: true },
    );
    const { code, stderr } = await runClient(["-p", server.port, "-t", "300ms", "-m", "hello"]);
    const sentence = "no reply within 0.3s";
    assertEquals([code, stderr], [1, `client: ${sentence}: 0 of 1 messages were answered\n`]);
    assertEquals(await filterHere(server.port, "hello\n", 300), ["", sentence]);
  });

  it("a server that resets: counted, exit 1", async () => {
    await using server = FakeServer.start(async (conn) => {
      await conn.read(new Uint8Array(1)); // what is not read makes the close a reset
    });
    const { code, stderr } = await runClient(["-p", server.port, "-m", "hello"]);
    assertEquals(code, 1);
    // A FIN that came before the reset makes it a close.
    assertMatch(
      stderr,
      /^client: the server has (reset|closed) the connection: 0 of 1 messages were answered\n$/,
    );
  });

  it("an endless reply: bounded, exit 1", async () => {
    await using server = FakeServer.start(async (conn) => {
      await conn.read(new Uint8Array(10));
      for (;;) await conn.write(new Uint8Array(65536).fill(120));
    });
    const [output, failure] = await filterHere(server.port, "a\n");
    assertEquals(output, "");
    assertMatch(failure, /^a reply is longer than \d+ bytes$/);
    const { code, stderr } = await runClient(["-p", server.port, "-m", "a"]);
    assertEquals([code, stderr], [1, `client: ${failure}: 0 of 1 messages were answered\n`]);
  });

  it("SIGTERM and SIGINT: 143 and 130", requires("signals"), async () => {
    await using server = serve(readback());
    for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
      await using client = startClient(["-p", server.port]);
      await client.until(">>:");
      client.signal(signal);
      await client.ends(code);
    }
  });

  it("its input can't be read: a sentence, exit 1", requires("sh"), async () => {
    await using server = serve(readback());
    const command = [...program("client"), "-p", String(server.port), "--quiet"].join(" ");
    await using client = new Program(["sh", "-c", `${command} < .`]);
    await client.ends(1);
    assertMatch(client.stderr, /^client: cannot read standard input: .*\n$/);
  });

  it("nobody reads its output: a sentence, exit 1", requires("sh"), async () => {
    await using server = serve(readback());
    const command = [...program("client"), "-p", String(server.port), "--quiet"].join(" ");
    await using pipe = new Program([
      "sh",
      "-c",
      `(seq 100000 | ${command}; echo "exit $?" >&2) | head -n 1`,
    ]);
    await pipe.ends(0);
    assertMatch(pipe.stderr, /^client: nobody reads the replies.*\nexit 1\n$/);
  });
});
