/** UDP: both programs, each with the other, with what others use, and where datagrams are lost. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import type { Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { EventEmitter } from "node:events";
import {
  type Client,
  Closed,
  DatagramPeer,
  ErrorReply,
  serveDatagrams,
  TimeoutError,
} from "../../lib/mod.ts";
import { listed } from "../../lib/cli/pipes.ts";
import { talk, Turns } from "../../lib/cli/talk.ts";
import { bestOf } from "../../lib/net/udp.ts";
import { DatagramServer } from "../../lib/server/datagrams.ts";
import { isReply, readback } from "../../lib/server/readback.ts";
import type { DatagramOptions } from "../../lib/server/serve_options.ts";
import { MessageView } from "../../lib/wire/message.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import {
  program,
  type ServerProgram,
  startClient,
  startServer,
} from "../../lib/testing/readback.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep, turn } from "../../lib/wait.ts";
import { unstamped } from "../support/replies.ts";
import { run } from "../support/run.ts";
import { Relay, Udp } from "../support/udp.ts";

/** Long enough for a reply on a busy machine; a lost one takes as long. */
const TIMEOUT = ["--timeout", "1s"];
const FRAMINGS = ["auto", "line", "raw"] as const;

/** Sends datagrams from one socket, one after the other; returns the replies. */
async function exchange({ port }: { port: number }, ...sent: string[]): Promise<string[]> {
  await using udp = await Udp.open();
  const replies = [];
  for (const data of sent) replies.push(unstamped(await udp.ask(data, port)));
  return replies;
}

/** Exchanges datagrams with a server in this process. */
async function exchangeHere(options: DatagramOptions, ...sent: string[]): Promise<string[]> {
  await using server = await serveDatagrams(readback(), options);
  return await exchange(server, ...sent);
}

/** Runs the client to its end. */
const runClient = (code: number, args: readonly (string | number)[], input = "") =>
  run(startClient(["--udp", ...args]), { code, input });

/** Sends datagrams, then a signal: all are answered, and the server ends with 0. */
async function answersWhatHasArrived(server: ServerProgram, signal: "SIGINT" | "SIGTERM") {
  await using udp = await Udp.open();
  const numbers = Array.from({ length: 50 }, (_, at) => String(at));
  for (const number of numbers) await udp.send(number, server.port);
  server.signal(signal);
  for (const number of numbers) {
    assertEquals(unstamped((await udp.next()).data), `[${number}] STAMP`);
  }
  await server.ends(0);
}

describe("server --udp", () => {
  let server: ServerProgram;
  beforeAll(async () => void (server = await startServer(["--udp"])));
  afterAll(() => server.close());

  it("tells the tutorial's transcript, without connections", async () => {
    await using udp = await Udp.open();
    await udp.ask("i am binary", server.port);
    await udp.ask("\x1b[31m\n", server.port);
    const received = ["i am binary", "\\x1b[31m"]
      .map((data) => `Server received data: "${data}" from 127.0.0.1:${udp.port}\n`);
    await server.until(received.join(""));
    const [ready, ...others] = server.stdout.trimEnd().split("\n");
    assertEquals(ready, `listening on 127.0.0.1:${server.port}`);
    for (const line of others) assertMatch(line, /^Server received data: ".*" from [\d.]+:\d+$/);
  });

  it("answers a datagram with one; what ends its line ends the reply's", async () => {
    assertEquals(
      await exchange(server, "hello", "hello\n", "hello\r\n", "", "\n", "a\nb", "\0\xff\r"),
      [
        "[hello] STAMP",
        "[hello] STAMP\n",
        "[hello] STAMP\r\n",
        "[] STAMP",
        "[] STAMP\n",
        "[a\nb] STAMP",
        "[\0\xff\r] STAMP",
      ],
    );
  });

  it("does not answer what looks like a reply or an error, but tells it", async () => {
    await using udp = await Udp.open();
    const stamp = "Mon Dec  9 18:15:50 2019";
    const iso = "2019-12-09T18:15:50.123+08:00";
    const ignored = [`[a] ${stamp}`, `[a] ${stamp}\n`, `[[a] ${stamp}] ${iso}\r\n`, "error: no"];
    for (const data of ignored) await udp.send(data, server.port);
    const others = [`[a] ${stamp} `, `[a] ${stamp}x`, "[a] b", `a] ${stamp}`, "errors: no"];
    for (const data of others) {
      assertEquals(unstamped(await udp.ask(data, server.port)), unstamped(`[${data}] ${stamp}`));
    }
    for (const data of [...ignored, ...others]) {
      await server.until(`"${data.replace(/\r?\n$/, "")}" from 127.0.0.1:${udp.port}\n`);
    }
  });

  for (
    const [tool, command] of [
      ["nc", (port: number) => ["nc", "-u", "127.0.0.1", String(port)]],
      ["ncat", (port: number) => ["ncat", "-u", "127.0.0.1", String(port)]],
      ["socat", (port: number) => ["socat", "-", `UDP:127.0.0.1:${port}`]],
    ] as const
  ) {
    it(`answers the lines of ${tool}`, requires(tool), async () => {
      await using program = new Program(command(server.port));
      await program.type("hello\n");
      await program.until("\n");
      await program.type("again\n");
      await program.until(/again.*\n/);
      assertEquals(unstamped(program.stdout), "[hello] STAMP\n[again] STAMP\n");
    });
  }

  it(
    "answers Python's socket module, and the client talks to that",
    requires("python3"),
    async () => {
      const code = `
import socket
from time import ctime
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.settimeout(10)
for words in [b"i am binary", b"", b"\\xff" * 5000]:
    peer.sendto(words, ("127.0.0.1", ${server.port}))
    data, address = peer.recvfrom(65535)
    assert data.startswith(b"[" + words + b"] "), data
    assert len(data) == len(words) + 27 and address == ("127.0.0.1", ${server.port})
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
print("port", server.getsockname()[1])
while True:
    data, address = server.recvfrom(65535)
    server.sendto(b"[%s] %s" % (data, ctime().encode()), address)
`;
      await using python = new Program(["python3", "-u", "-c", code]);
      const [, port = ""] = await python.until(/port (\d+)\n/);
      const { stdout } = await runClient(0, ["-p", port, "-q"], "i am binary\n\ni am handsome\n");
      assertEquals(stdout, "[i am binary] STAMP\n[] STAMP\n[i am handsome] STAMP\n");
      using peer = await DatagramPeer.connect({ port: Number(port), framing: "raw" });
      assertEquals(unstamped((await peer.request("x")).text), "[x] STAMP");
      assertEquals(python.stderr, "");
    },
  );

  it("at SIGTERM answers what has arrived, exit 0", requires("signals"), async () => {
    await answersWhatHasArrived(server, "SIGTERM");
    assertEquals(server.stderr, "");
  });
});

describe("server --udp --quiet on a name", () => {
  let server: ServerProgram;
  const args = ["--udp", "--quiet", "--host", "localhost"];
  beforeAll(async () => void (server = await startServer(args)));
  afterAll(() => server.close());

  it("listens on each address of the name, and prints nothing else", async () => {
    const found = await lookup("localhost", { all: true });
    for (const { address } of found) {
      await using udp = await Udp.open(address);
      assertEquals(unstamped(await udp.ask("hello", server.port)), "[hello] STAMP");
    }
    for (const line of server.stdout.trimEnd().split("\n")) {
      assertMatch(line, new RegExp(`^listening on .*:${server.port}$`));
    }
  });

  it("outlives clients that are gone before their replies come", async () => {
    for (let at = 0; at < 50; at++) {
      await using gone = await Udp.open();
      await gone.send("hello", server.port);
    }
    assertEquals(await exchange(server, "still here"), ["[still here] STAMP"]);
    assertEquals(server.stderr, "");
  });

  it("at SIGINT answers what has arrived, exit 0", requires("signals"), async () => {
    await answersWhatHasArrived(server, "SIGINT");
    assert(!server.stdout.includes("received"), server.stdout);
  });
});

describe("the server's options over UDP", () => {
  it("--log json tells events; --framing raw, --stamp iso and --max-message hold", async () => {
    const options = ["--framing", "raw", "--stamp", "iso", "--max-message", "6"];
    await using server = await startServer(["--udp", "--log", "json", ...options]);
    await using udp = await Udp.open();
    const iso = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d`;
    for (const data of ["hello", "hello\n"]) {
      assertMatch(await udp.ask(data, server.port), new RegExp(`^\\[${data}\\] ${iso}$`));
    }
    assertEquals(await udp.ask("hello\r\n", server.port), "error: message longer than 6 bytes");
    assertMatch(await udp.ask("one", server.port), /^\[one\] /);
    await server.endInput();
    await server.ends(0);
    const events = server.stdout.trim().split("\n").map((line) => JSON.parse(line));
    for (const event of events) delete event.time;
    const here = `127.0.0.1:${server.port}`;
    const message = { event: "message", client: `127.0.0.1:${udp.port}` };
    assertEquals(events, [
      { event: "listening", address: here, host: "127.0.0.1", port: server.port },
      { ...message, bytes: 5, data: "hello" },
      { ...message, bytes: 6, data: "hello\\n" },
      { ...message, bytes: 3, data: "one" },
      { event: "stopping" },
    ]);
  });

  it("--once: one datagram, its reply, exit 0; on :: IPv4 is shown as such", async () => {
    await using server = await startServer(["--udp", "--once", "--host", "::"]);
    await using udp = await Udp.open();
    await udp.send("one", server.port);
    await udp.send("two", server.port);
    assertEquals(unstamped((await udp.next()).data), "[one] STAMP");
    await server.ends(0);
    assertEquals(
      server.stdout,
      `listening on [::]:${server.port}\n` +
        `Server received data: "one" from 127.0.0.1:${udp.port}\n`,
    );
  });

  it("a port from which it may not send: says so once", requires("signals"), async () => {
    const [deno = "", ...args] = program("server").map((word) =>
      word === "--allow-net" ? "--allow-net=127.0.0.1:0" : word
    );
    await using server = new Program([deno, ...args, "--udp", "-p", "0"]);
    const [, port] = await server.until(/listening on .*:(\d+)\n/);
    await using udp = await Udp.open();
    for (const data of ["one", "two"]) await udp.send(data, Number(port));
    await server.until('"two"');
    server.signal("SIGTERM");
    await server.ends(0);
    assertEquals(
      server.stderr,
      `server: cannot send to 127.0.0.1:${udp.port}: permission denied: ` +
        "run it with --allow-net\n",
    );
  });
});

describe("client --udp", () => {
  it("talks as the tutorial does, says that no reply came, and asks again", async () => {
    await using server = await serveDatagrams(readback());
    await using relay = await Relay.open(server.port, { reply: (seq, send) => seq > 1 && send() });
    const { stdout, stderr } = await runClient(1, ["-p", relay.port, ...TIMEOUT], "one\ntwo\n");
    assertEquals(
      stdout,
      ">>:one\nClient received no reply\n>>:two\nClient received data: [two] STAMP\n>>:\n",
    );
    assertEquals(stderr, "client: no reply within 1s: 1 of 2 messages were answered\n");
    assertEquals(relay.messages, ["one", "two"]);
  });

  it("--loopback talks to a server of its own; --once is one message, exit 0", async () => {
    const { stdout } = await runClient(0, ["--loopback", "--once"], "one\ntwo\n");
    assertEquals(stdout, ">>:one\nClient received data: [one] STAMP\n");
  });

  it("an IPv6 address may be written in any way; --message prints the reply alone", async () => {
    await using server = await serveDatagrams(readback(), { hostname: "::1" });
    const { stdout } = await runClient(0, ["--host", "0:0::1", "-p", server.port, "-m", "hello"]);
    assertEquals(stdout, "[hello] STAMP\n");
  });

  it("--quiet: a reply comes at once; many come in order, large ones too", async () => {
    await using server = await serveDatagrams(readback());
    await using client = startClient(["--udp", "-p", server.port, "-q"]);
    const lines = ["one", ""];
    for (const line of lines) {
      await client.type(`${line}\n`);
      await client.until(`[${line}]`);
    }
    for (const [size, count] of [[4, 500], [8000, 50], [60_000, 10]] as const) {
      for (let at = 0; at < count; at++) lines.push(String(at).padStart(size, "-"));
    }
    await client.type(lines.slice(2).join("\n"));
    await client.endInput();
    await client.ends(0);
    const replies = unstamped(client.stdout).split("\n");
    assertEquals(replies.findIndex((reply, at) => reply !== `[${lines[at]}] STAMP`), lines.length);
    assertEquals(replies.slice(lines.length), [""]);
  });

  it("counts a lost reply, and takes no late, doubled or strange datagram for one", async () => {
    await using server = await serveDatagrams(readback());
    await using stranger = await Udp.open();
    let late = () => {};
    await using relay: Relay = await Relay.open(server.port, {
      message(seq) {
        if (seq === 2) late(); // the client has given the first up
        if (seq === 3) void stranger.send("[three] forged", relay.client);
      },
      reply(seq, send) {
        if (seq === 1) late = send;
        else send();
        if (seq === 2) send();
      },
    });
    const words = ["one", "two", "three"].flatMap((word) => ["-m", word]);
    const there = ["-p", relay.port, ...TIMEOUT, "--log", "json"];
    const { stdout, stderr } = await runClient(1, [...there, ...words]);
    assertEquals(stderr, "client: no reply within 1s: 2 of 3 messages were answered\n");
    const [summary, ...replies] = stdout.trim().split("\n").map((line) => JSON.parse(line))
      .toReversed();
    // The number of the lost one is left out.
    assertEquals(
      replies.map(({ event, seq, data }) => [event, seq, unstamped(data)]),
      [["reply", 3, "[three] STAMP"], ["reply", 2, "[two] STAMP"]],
    );
    const { event, sent, answered, lost, connects, reason } = summary;
    assertEquals([event, sent, answered, lost, connects], ["summary", 3, 2, 1, 0]);
    assertEquals(reason, "no reply within 1s");
  });

  it("--quiet: each reply where it belongs, however the network treats them", async () => {
    await using server = await serveDatagrams(readback());
    const held: (() => void)[] = [];
    await using relay = await Relay.open(server.port, {
      reply(seq, send) {
        if (seq % 40 === 0) return; // dropped
        held.push(send);
        if (seq % 7 === 0) held.push(send); // doubled
        const flush = () => {
          for (const send of held.splice(0).reverse()) send(); // reordered
        };
        // The client says no more while a reply is missing: what is held must not wait for that.
        if (held.length >= 5) flush();
        else setTimeout(flush, 100);
      },
    });
    const lines = Array.from({ length: 90 }, (_, at) => `${at % 4 ? "" : "a] "}${at + 1}`);
    const there = ["-p", relay.port, "--timeout", "3s", "-q"]; // 1s may pass on a busy machine
    const { stdout, stderr } = await runClient(1, there, lines.join("\n"));
    const lost = relay.messages.filter((_, at) => (at + 1) % 40 === 0);
    const answered = lines.filter((line) => !lost.includes(line));
    assertEquals(lost.length, 2);
    assertEquals(stdout, answered.map((line) => `[${line}] STAMP\n`).join(""));
    assertEquals(stderr, "client: no reply within 3s: 88 of 90 messages were answered\n");
  });

  it("--ping: tells the lost; exit 1, since with --count all must be answered", async () => {
    await using server = await serveDatagrams(readback());
    await using relay = await Relay.open(server.port, {
      reply: (seq, send) => seq !== 2 && send(),
    });
    const there = ["-p", relay.port, ...TIMEOUT, "--ping", "-c", 3, "-i", "1ms"];
    const { stdout } = await runClient(1, there);
    const from = `from 127.0.0.1:${relay.port}: seq`;
    assertMatch(
      stdout,
      new RegExp(
        `^33 bytes ${from}=1 .*\n33 bytes ${from}=3 .*\nno reply ${from}=2\n.*\n3 sent, 2 answered, 1 lost \\(33 %\\)\n`,
      ),
    );
  });

  it("--ping --log json: all are answered, exit 0, and no connection is made", async () => {
    await using server = await serveDatagrams(readback());
    const args = ["-p", server.port, "--ping", "-c", 3, "-i", "1ms", "--log", "json", "-q"];
    const { sent, answered, lost, connects } = JSON.parse((await runClient(0, args)).stdout);
    assertEquals([sent, answered, lost, connects], [3, 3, 0, 0]);
  });

  it("nobody is there: no reply, exit 1", async () => {
    let port: number;
    {
      await using udp = await Udp.open();
      port = udp.port;
    }
    const there = ["-p", port, "-t", "100ms"];
    const sentence = "client: no reply within 0.1s";
    assertEquals(await runClient(1, [...there, "-m", "one", "-m", "two"]), {
      code: 1,
      stdout: "",
      stderr: `${sentence}: 0 of 2 messages were answered\n`,
    });
    const { stdout, stderr } = await runClient(1, [...there, "--ping", "-c", 1]);
    assertMatch(stdout, /\n1 sent, 0 answered, 1 lost \(100 %\)\n/);
    assertEquals(stderr, `${sentence}\n`);
  });

  it("a message that fits no datagram: a sentence, exit 1", async () => {
    await using server = await serveDatagrams(readback());
    const there = ["-p", server.port, "-q"];
    const { stdout, stderr } = await runClient(1, there, `one\n${"x".repeat(65508)}\n`);
    assertEquals(stdout, "[one] STAMP\n");
    const sentence =
      "client: a message of 65508 bytes is too long for a datagram: at most 65507 fit\n";
    assertEquals(stderr, sentence);
    const ping = ["-p", server.port, "--ping", "-m", "x".repeat(65508)];
    assertEquals((await runClient(1, ping)).stderr, sentence);
  });

  it("a name that nobody knows: a sentence, exit 1", async () => {
    const { stderr } = await runClient(1, ["--host", "no-such-name.invalid", "-m", "one"]);
    assertMatch(
      stderr,
      /^client: cannot connect to no-such-name\.invalid:6969: no such name: .*\n$/,
    );
  });

  it("--framing line sends LF; the server's refusal is told, exit 1", async () => {
    await using server = await serveDatagrams(readback(), { maxMessage: 3 });
    await using relay = await Relay.open(server.port, {});
    const args = ["-p", relay.port, "-f", "line", "-m", "one", "-m", "three", "-m", "two"];
    assertEquals(await runClient(1, args), {
      code: 1,
      stdout: "[one] STAMP\n",
      stderr: "client: the server refused: message longer than 3 bytes: " +
        "1 of 3 messages were answered\n",
    });
    assertEquals(relay.messages, ["one\n", "three\n"]);
  });
});

describe("serveDatagrams", () => {
  const matches = () => true;

  it("takes what ends a line for its ending, unless the framing is raw", async () => {
    for (const framing of FRAMINGS) {
      assertEquals(
        await exchangeHere({ framing }, "hello\n", "hello"),
        [framing === "raw" ? "[hello\n] STAMP" : "[hello] STAMP\n", "[hello] STAMP"],
      );
    }
  });

  it("refuses a message over maxMessage, and hears the next", async () => {
    const error = "error: message longer than 3 bytes";
    assertEquals(await exchangeHere({ maxMessage: 3 }, "four\n", "four", "one\n"), [
      `${error}\n`,
      error,
      "[one] STAMP\n",
    ]);
  });

  it("says so where the reply fits no datagram", async () => {
    const most = 65507 - "[] ".length - 24;
    const lines = [
      "x".repeat(most),
      "x".repeat(most + 1),
      `${"x".repeat(most - 1)}\n`,
      `${"x".repeat(most)}\n`,
    ];
    const [fits, over, lineFits, lineOver] = await exchangeHere({}, ...lines);
    assertEquals(fits, `[${"x".repeat(most)}] STAMP`);
    assertEquals(over, "error: reply longer than 65507 bytes");
    assertEquals(lineFits, `[${"x".repeat(most - 1)}] STAMP\n`);
    assertEquals(lineOver, over);
  });

  it("says why it can't listen", async () => {
    await using udp = await Udp.open();
    const { port } = udp;
    const { message } = await assertRejects(() => serveDatagrams(readback(), { port }), Error);
    assertEquals(
      message,
      `cannot listen on 127.0.0.1:${port}: the port is in use: stop the other program, ` +
        "or choose another --port (0 takes a free one)",
    );
  });

  it("on an IPv6 address answers there", async () => {
    await using server = await serveDatagrams(readback(), { hostname: "::1" });
    await using udp = await Udp.open("::1");
    assertEquals(unstamped(await udp.ask("hello", server.port)), "[hello] STAMP");
  });

  it("two that are put to each other end", async () => {
    await using one = await serveDatagrams(readback(), { maxMessage: 100, ignore: isReply });
    await using two = await serveDatagrams(readback(), { maxMessage: 10, ignore: isReply });
    await using udp = await Udp.open();
    for (const data of ["hello", "hello\n", "x".repeat(50), "x".repeat(500)]) {
      await udp.send(data, one.port);
      // What either says goes to the other; a word of its own shows that nothing else is left.
      await udp.send("over", one.port);
      const said: string[] = [];
      for (let over = 0; over < 2;) {
        const { data: reply, port } = await udp.next();
        if (/^\[over\]/.test(reply)) over++;
        else said.push(reply);
        const to = port === one.port ? two.port : one.port;
        if (!/^\[over\]/.test(reply)) await udp.send(reply, to);
        if (over === 1 && /^\[over\]/.test(reply)) await udp.send("over", two.port);
      }
      assert(said.length <= 2, said.join("\n"));
    }
  });

  it("UDPServer, as test_socketserver has it: three clients get their words back", async () => {
    await using server = await serveDatagrams((message, reply) => reply.write(message));
    for (let client = 0; client < 3; client++) {
      using peer = await DatagramPeer.connect({ port: server.addr.port, matches });
      assertEquals((await peer.request("hello world")).text, "hello world");
    }
    assertEquals([server.messages, server.bytes], [3, 33]);
  });

  it("a handler's error is told; the next message is answered", async () => {
    const told: string[] = [];
    await using server = await serveDatagrams((message, reply) => {
      if (message.text === "fail") throw new Error("no");
      if (message.text !== "nothing") reply.write(message);
    }, { onError: ({ message }) => void told.push(message) });
    using peer = await DatagramPeer.connect({ port: server.addr.port, matches, timeout: 50 });
    for (const silent of ["fail", "nothing"]) {
      await assertRejects(() => peer.request(silent), TimeoutError);
    }
    assertEquals((await peer.request("well")).text, "well");
    assertEquals([told, peer.sent, peer.answered], [["cannot answer: no"], 3, 1]);
  });

  it("what comes while a stopping server waits for its handlers is not heard", async () => {
    const gate = Promise.withResolvers<void>();
    const server = await serveDatagrams(async (message, reply) => {
      await gate.promise;
      reply.write(message);
    });
    await using udp = await Udp.open();
    await udp.send("in time", server.addr.port);
    while (server.messages === 0) await sleep(1);
    const stopped = server.shutdown();
    await sleep(200); // it has looked for the last time
    await udp.send("too late", server.addr.port);
    await sleep(50);
    gate.resolve();
    await stopped;
    assertEquals([(await udp.next()).data, server.messages], ["in time", 1]);
  });

  it("a peer is called off by its signal, and says nothing after that", async () => {
    await using server = await serveDatagrams(() => {});
    const stop = new AbortController();
    const options = { port: server.addr.port, signal: stop.signal };
    using peer = await DatagramPeer.connect(options);
    const reply = peer.request("one");
    stop.abort();
    for (const late of [reply, peer.request("two")]) {
      await assertRejects(() => late, Closed, "its signal was aborted");
    }
  });

  it("slow handlers hold nobody up, keep their message, and are waited for at a stop", async () => {
    const gate = Promise.withResolvers<void>();
    const server = await serveDatagrams(async (message, reply, client) => {
      if (message.text === "slow") await gate.promise;
      client.write("[aside]");
      reply.write(message);
    });
    await using udp = await Udp.open();
    await udp.send("slow", server.addr.port);
    await udp.send("fast", server.addr.port);
    assertEquals([(await udp.next()).data, (await udp.next()).data], ["[aside]", "fast"]);
    const stopped = server.shutdown();
    gate.resolve();
    await stopped;
    assertEquals([(await udp.next()).data, (await udp.next()).data], ["[aside]", "slow"]);
  });

  it("a signal that is asked for once its message is over has ended", async () => {
    const senders: Client[] = [];
    const server = await serveDatagrams((message, reply, client) => {
      senders.push(client);
      reply.write(message);
    });
    await using udp = await Udp.open();
    assertEquals(await udp.ask("hello", server.addr.port), "hello");
    await server.shutdown();
    assertEquals(senders[0]?.signal.aborted, true);
  });

  it("a stop waits no longer than the grace, and may be asked for twice", async () => {
    const begun = Promise.withResolvers<void>();
    const server = await serveDatagrams(() => {
      begun.resolve();
      return new Promise<void>(() => {});
    }, { grace: 50 });
    await using udp = await Udp.open();
    await udp.send("slow", server.addr.port);
    await begun.promise;
    await Promise.all([server.shutdown(), server.shutdown(), server.finished]);
  });

  it("stops by a signal, also one that came before; lets its port go", async () => {
    const first = await serveDatagrams(() => {}, { signal: AbortSignal.abort() });
    await first.finished;
    await using _next = await serveDatagrams(() => {}, { port: first.addr.port });
  });

  it("handles so many at a time; more are lost", async () => {
    const gate = Promise.withResolvers<void>();
    await using server = await serveDatagrams(() => gate.promise);
    await using udp = await Udp.open();
    for (let sent = 0; sent < 1000; sent++) {
      await udp.send("x", server.addr.port);
      await turn();
    }
    assertEquals(server.messages, 256);
    gate.resolve();
  });

  it("answers neither itself nor who has no port", async () => {
    const sent: number[] = [];
    const fake = Object.assign(new EventEmitter(), {
      address: () => ({ address: "127.0.0.1", port: 7 }),
      send: (_: Uint8Array, port: number, _address: string, done: (error: null) => void) => {
        sent.push(port);
        done(null);
      },
      close: () => {},
    }) as unknown as Socket;
    await using server = new DatagramServer((message, reply) => reply.write(message), {}, [fake]);
    const from = [["127.0.0.1", 7], ["127.0.0.1", 0], ["127.0.0.2", 7], ["127.0.0.1", 8]] as const;
    for (const [address, port] of from) fake.emit("message", latin1("x"), { address, port });
    await server.shutdown();
    assertEquals(sent, [7, 8]);
    assertEquals(server.messages, 4);
  });
});

describe("DatagramPeer", () => {
  it("with line framing sends LF, else nothing; a refusal rejects in each", async () => {
    await using server = await serveDatagrams(readback(), { maxMessage: 3 });
    await using relay = await Relay.open(server.port, {});
    for (const framing of FRAMINGS) {
      using peer = await DatagramPeer.connect({ port: relay.port, framing, timeout: 5000 });
      assertEquals(unstamped((await peer.request("one")).text), "[one] STAMP");
      const refusal = "the server refused: message longer than 3 bytes";
      await assertRejects(() => peer.request("three"), ErrorReply, refusal);
    }
    assertEquals(relay.messages, ["one", "three", "one\n", "three\n", "one", "three"]);
  });

  it("finds whose reply it is among many, and ends when closed", async () => {
    await using server = await serveDatagrams(readback());
    const peer = await DatagramPeer.connect({ port: server.addr.port });
    const words = ["a", "b", "a] b", "", "[", "]", "a"];
    const replies = await Promise.all(words.map((word) => peer.request(word)));
    assertEquals(
      replies.map(({ text }) => unstamped(text)),
      words.map((word) => `[${word}] STAMP`),
    );
    peer.close();
    peer.close();
    await assertRejects(() => peer.request("more"), Closed, "the socket is closed");
  });

  it("says and replies the bytes that it was given, whatever becomes of them", async () => {
    const bytes = latin1("hello");
    const matches = () => true;
    await using server = await serveDatagrams((_, reply, client) => {
      const words = latin1("a push");
      client.write(words);
      words.fill(0);
      const more = latin1("a reply");
      reply.write(more);
      more.fill(0);
    });
    await using udp = await Udp.open();
    assertEquals(await udp.ask("go", server.addr.port), "a push");
    assertEquals((await udp.next()).data, "a reply");

    await using echo = await serveDatagrams((message, reply) => reply.write(message));
    using peer = await DatagramPeer.connect({ port: echo.addr.port, timeout: 5000, matches });
    const before = peer.request("before"); // the next is sent after it
    const said = peer.request(bytes);
    bytes.fill(0);
    const replies = await Promise.all([before, said]);
    assertEquals(replies.map(({ text }) => text).toSorted(), [
      "before",
      "hello",
    ]);
  });

  it("in a conversation takes an error reply for a reply, and goes on", async () => {
    await using server = await serveDatagrams(readback(), { orders: true });
    using peer = await DatagramPeer.connect({ port: server.port, timeout: 5000 });
    const replies: string[] = [];
    const turns = new Turns(peer, "auto");
    await talk(turns, listed(["one", "!error=no two", "three"].map(latin1)), {
      onReply: (reply) => Promise.resolve(void replies.push(unstamped(text(reply ?? latin1(""))))),
      onUnsolicited: () => Promise.reject(new Error("unsolicited")),
      waiting: (exchange) => exchange,
    });
    assertEquals(replies, ["[one] STAMP", "error: no", "[three] STAMP"]);
  });

  it("keeps its first failure, however often it is closed", async () => {
    await using server = await serveDatagrams(() => {});
    const stop = new AbortController();
    const { signal } = stop;
    using peer = await DatagramPeer.connect({ port: server.addr.port, signal });
    const reply = peer.request("hello");
    stop.abort();
    peer.close();
    for (const pending of [reply, peer.request("more")]) {
      await assertRejects(() => pending, Closed, "its signal was aborted");
    }
  });

  it("fails where its own matches does, and the process goes on", async () => {
    await using server = await serveDatagrams((message, reply) => reply.write(message));
    const matches = () => {
      throw new Error("no");
    };
    using peer = await DatagramPeer.connect({ port: server.addr.port, timeout: 5000, matches });
    await assertRejects(() => peer.request("hello"), Error, "no");
  });

  it("talks to a name's first address, IPv4 before IPv6", () => {
    for (
      const [addresses, best] of [
        [["::1", "127.0.0.1", "127.0.0.2"], "127.0.0.1"],
        [["127.0.0.1", "::1"], "127.0.0.1"],
        [["::1", "::2"], "::1"],
        [[], undefined],
      ] as const
    ) assertEquals(bestOf(addresses), best);
  });

  it("is called off by its signal", async () => {
    await using deaf = await serveDatagrams(() => {});
    const stop = new AbortController();
    const { signal } = stop;
    using peer = await DatagramPeer.connect({ port: deaf.addr.port, timeout: 0, signal });
    const reply = assertRejects(() => peer.request("hello"), Closed, "its signal was aborted");
    stop.abort();
    await reply;
    using late = await DatagramPeer.connect({ port: deaf.addr.port, signal });
    await assertRejects(() => late.request("hello"), Closed, "its signal was aborted");
  });

  it("says to 0.0.0.0 what is said to this machine", async () => {
    await using server = await serveDatagrams(readback());
    using peer = await DatagramPeer.connect({ hostname: "0.0.0.0", port: server.addr.port });
    assertEquals((await peer.request("hello")).length, 32);
  });
});

describe("isReply", () => {
  for (
    const [text, is] of [
      ["[] Mon Dec  9 18:15:50 2019", true],
      ["[a] Mon Dec 19 18:15:50 2019\n", true],
      ["[a] 2019-12-09T18:15:50.123-08:00", true],
      ["", false],
      ["[a]", false],
      ["a] Mon Dec  9 18:15:50 2019", false],
      ["[a] Mon Dec  9 18:15:50 2019 too", false],
    ] as const
  ) {
    it(JSON.stringify(text), () => {
      const message = new MessageView(latin1(`x${text}x`));
      [message.start, message.end] = [1, 1 + text.length];
      assertEquals(isReply(message), is);
    });
  }
});
