/** `--fault`, `--orders` and `--seed`, as their user meets them, and as foreign clients do. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { type ServerProgram, startServer } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { Udp } from "../support/udp.ts";

const ECHO = ["--reply", "{message}", "--framing", "line"];

/** Says something, half-closes; gives what came back. */
async function exchange(port: number, said: string): Promise<string> {
  using wire = await Wire.dial(port);
  await wire.send(said);
  await wire.end();
  return await wire.rest();
}

describe("transcript", () => {
  it(
    "says what was asked for, the seed, and each fault that happens",
    requires("signals"),
    async () => {
      const args = ["--fault", "twice@2,refuse@2", "--fault=corrupt@9", "--orders", "--seed", "42"];
      await using server = await startServer([...args, ...ECHO]);
      let name = "";
      {
        using wire = await Wire.dial(server.port);
        name = `127.0.0.1:${(wire.conn.localAddr as Deno.NetAddr).port}`;
        await wire.send("a\nb\n!error=no,delay=1ms\n!dorp\n");
        await wire.end();
        assertMatch(
          await wire.rest(),
          /^a\nb\nb\nerror: no\nerror: cannot use "dorp": there is no fault "dorp": choose among .*\n$/,
        );
      }
      await server.until(/broken the connection...\nwaiting connection...\n/);
      assertEquals(await exchange(server.port, ""), "");
      await server.until(/fault refuse for 127\.0\.0\.1:\d+\n/);
      server.signal("SIGTERM");
      await server.ends(0);
      assertEquals(
        server.stdout.replace(/refuse for .*/, "refuse for SOMEBODY"),
        `listening on 127.0.0.1:${server.port}\n` +
          "faults: twice@2, refuse@2, corrupt@9, by order; seed 42\n" +
          "waiting connection...\n" +
          `Server received data: "a" from ${name}\n` +
          `Server received data: "b" from ${name}\n` +
          `fault twice for ${name}, message 2\n` +
          `Server received data: "!error=no,delay=1ms" from ${name}\n` +
          `fault error=no for ${name}, message 3\n` +
          `fault delay=1ms for ${name}, message 3\n` +
          `Server received data: "!dorp" from ${name}\n` +
          `client ${name} has broken the connection...\n` +
          "waiting connection...\n" +
          "fault refuse for SOMEBODY\n",
      );
      assertEquals(server.stderr, "");
    },
  );

  it(
    "--quiet leaves the first lines alone; a seed is drawn and told",
    requires("signals"),
    async () => {
      await using server = await startServer(["--quiet", "--fault", "drop@3"]);
      await exchange(server.port, "a\nb\nc\n");
      server.signal("SIGTERM");
      await server.ends(0);
      assertMatch(server.stdout, /^listening on .*\nfaults: drop@3; seed \d+\n$/);
    },
  );
});

/**
 * What Python's sockets meet: each case prints a line. Orders of one server, so that it starts once;
 * what comes before a slash is all that was received, what comes after how it ended.
 */
const PYTHON = `
import socket, struct, sys, time
port = int(sys.argv[1])

def connect():
    return socket.create_connection(("127.0.0.1", port), timeout=10)

def meet(said, wait=10):
    with connect() as peer:
        peer.settimeout(wait)
        peer.sendall(said)
        got = b""
        try:
            while True:
                more = peer.recv(65536)
                if not more: return got, "eof"
                got += more
        except ConnectionResetError: return got, "reset"
        except TimeoutError: return got, "open"

for said, wait in [("!cut=5 hello", 10), ("!cut=0 hello", 10), ("!reset=5 hello", 10), ("!reset hello", 10),
             ("!stall=5 hello", .1), ("!stall hello", .1), ("!drop hello", .1), ("!twice,cut=99 hi", 10),
             ("!error=busy,cut=99 hi", 10), ("!delay=1ms,slice=3/1ms,cut=99 hi", 10)]:
    got, end = meet(said.encode() + b"\\n", wait)
    print(f"{said}: {got!r} / {end}")

# Each slice is a segment of its own: the kernel has counted those that had data.
with connect() as peer:
    peer.sendall(b"!slice=4/0 hello, hello\\n")
    got = b""
    while not got.endswith(b"\\n"): got += peer.recv(65536)
    info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    print("segments:", struct.unpack_from("I", info, 152)[0], "bytes:", len(got))

# Deaf: what is sent fills up.
with connect() as peer:
    peer.sendall(b"!deaf\\n")
    assert peer.recv(100) == b"!deaf\\n"
    peer.settimeout(.3)
    try:
        for _ in range(1000): peer.sendall(b"x" * 65536 + b"\\n")
        print("deaf: it took all")
    except TimeoutError: print("deaf: full")

# The end, and nothing else, is held back.
with connect() as peer:
    peer.sendall(b"!hold=80ms\\n")
    assert peer.recv(100) == b"!hold=80ms\\n"
    since = time.monotonic()
    peer.shutdown(socket.SHUT_WR)
    assert peer.recv(100) == b""
    took = time.monotonic() - since
    print("hold:", "late" if .079 <= took < 5 else took)
`;

/** A loop that tries until it has got something: each attempt prints a line. */
const LOOP = `
import socket, sys
for attempt in range(1, 10):
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10) as peer:
            peer.sendall(b"hello\\n")
            got = peer.recv(100)
        print(attempt, got)
        if got: break
    except ConnectionError as error: print(attempt, type(error).__name__)
`;

describe("foreign clients", requires("linux", "python3"), () => {
  let server: ServerProgram;
  const python = (script: string) => new Program(["python3", "-S", "-c", script, `${server.port}`]);

  before(async () => {
    server = await startServer(["--fault", "refuse=reset@1..2,refuse@3", "--orders", ...ECHO]);
  });
  after(() => server[Symbol.asyncDispose]());

  // This is the first test, because it is the first connections that are refused.
  it("create_connection in a loop gets through once it is no more refused", async () => {
    await using loop = python(LOOP);
    await loop.ends(0);
    const lines = loop.stdout.trimEnd().split("\n");
    assertEquals(lines.length, 4, loop.stdout);
    for (const [at, line] of lines.slice(0, 2).entries()) {
      assertMatch(line, new RegExp(`^${at + 1} (ConnectionResetError|BrokenPipeError)$`));
    }
    assertMatch(lines[2] ?? "", /^3 (b''|ConnectionResetError|BrokenPipeError)$/);
    assertEquals(lines[3], "4 b'hello\\n'");
  });

  it("Python's sockets tell a reset from an end, and see slices, a deaf server and a late end", async () => {
    await using sockets = python(PYTHON);
    await sockets.ends(0);
    assertEquals(sockets.stderr, "");
    assertEquals(sockets.stdout.split("\n"), [
      "!cut=5 hello: b'!cut=' / eof",
      "!cut=0 hello: b'' / eof",
      "!reset=5 hello: b'!rese' / reset",
      "!reset hello: b'' / reset",
      "!stall=5 hello: b'!stal' / open",
      "!stall hello: b'' / open",
      "!drop hello: b'' / open",
      "!twice,cut=99 hi: b'!twice,cut=99 hi\\n!twice,cut=99 hi\\n' / eof",
      "!error=busy,cut=99 hi: b'error: busy\\n' / eof",
      "!delay=1ms,slice=3/1ms,cut=99 hi: b'!delay=1ms,slice=3/1ms,cut=99 hi\\n' / eof",
      "segments: 6 bytes: 24",
      "deaf: full",
      "hold: late",
      "",
    ]);
  });

  it("nc, half-closed or not", requires("nc", "sh"), async () => {
    const say = (said: string, then = "") =>
      `printf '${said}\\n' | timeout 5 nc -N 127.0.0.1 ${server.port}${then}`;
    const script = [
      say("!cut=4 hello"),
      say("!slice=2/1ms hello"),
      say("!twice hello"),
      say("!delay=20ms,drop hello", "; echo $?"),
      say("!stall=4 hello").replace("timeout 5", "timeout 0.2") + '; echo " $?"',
    ].join("\n");
    await using sh = new Program(["sh", "-c", script]);
    await sh.ends(0);
    assertEquals(
      sh.stdout,
      "!cut!slice=2/1ms hello\n!twice hello\n!twice hello\n0\n!sta 124\n",
    );
  });
});

describe("over UDP", () => {
  const STAMP = "Mon Dec  9 18:15:50 2019".length;
  const FAULTS = [
    ["drop", (got: string[]) => assertEquals(got, [])],
    ["twice", (got: string[], said: string) => {
      assertEquals(got.length, 2);
      assertEquals(got[0], got[1]);
      assert(got[0]?.startsWith(`[${said}] `) && got[0].endsWith("\n"));
    }],
    ["corrupt=3", ([got = "", ...more]: string[], said: string) => {
      assertEquals([got.length, more.length], [said.length + STAMP + 4, 0]);
      assertEquals(got.indexOf("\n"), got.length - 1);
    }],
    ["noise=9", ([got = "", ...more]: string[]) => {
      assertEquals([got.length, got.at(-1), more.length], [10, "\n", 0]);
    }],
    ["error=busy", (got: string[]) => assertEquals(got, ["error: busy\n"])],
  ] as const;

  it("drop, twice, corrupt, noise and error: of one message, and by order", async () => {
    const faults = FAULTS.map(([fault], at) => `${fault}@${5 * at + 2}`).join();
    const args = ["--udp", "--reply", "[{message}] {time}", "--orders", "--fault", faults];
    await using server = await startServer(args);
    await using udp = await Udp.open();
    /** The replies to messages, up to the one to a message that is sent after them. */
    const replies = async (...sent: string[]) => {
      for (const message of sent) {
        await udp.send(message, server.port);
        await server.until(`"${message.trimEnd()}" from`);
      }
      await udp.send("last", server.port);
      await server.until('"last" from');
      const all: string[] = [];
      while (!all.at(-1)?.startsWith("[last]")) all.push((await udp.next()).data);
      return all.slice(0, -1);
    };
    for (const [fault, check] of FAULTS) {
      const [first = "", ...second] = await replies("first\n", "hello\n");
      assertMatch(first, /^\[first\] .*\n$/);
      check(second, "hello");
      check(await replies(`!${fault} x\n`), `!${fault} x`);
    }
  });

  it("delay: each by itself; a stop ends it at the grace", async () => {
    const args = ["--udp", "--fault", "delay=200ms@1..3", "--orders", "--grace", "100ms"];
    await using server = await startServer(args);
    await using udp = await Udp.open();
    const since = performance.now();
    for (const said of ["a", "b", "c", "d"]) await udp.send(said, server.port);
    assertMatch((await udp.next()).data, /^\[d\]/);
    const got = [];
    for (let count = 0; count < 3; count++) got.push((await udp.next()).data.slice(0, 3));
    const took = performance.now() - since;
    assertEquals(got.toSorted(), ["[a]", "[b]", "[c]"]);
    assert(took >= 199 && took < 590, `${took} ms`);
    await server.until(/fault delay=200ms for 127\.0\.0\.1:\d+, message \d\n/);
    assertMatch(
      await udp.ask("!cut=3", server.port),
      /^error: cannot use "cut=3": a datagram knows no cut/,
    );
    await udp.send("!delay=1m", server.port);
    await server.until("fault delay=1m");
    await server.endInput(); // stops it
    await server.ends(0);
  });
});

describe("stop", requires("signals"), () => {
  it("a server whose clients are stalled, deaf to or delayed ends within --grace", async () => {
    await using server = await startServer(["--orders", "--grace", "200ms", ...ECHO]);
    using stalled = await Wire.dial(server.port);
    using deaf = await Wire.dial(server.port);
    using delayed = await Wire.dial(server.port);
    await stalled.send("!stall\n");
    await deaf.send("!deaf\n");
    await delayed.send("!delay=1m\n");
    await server.until(/(fault \S+ for .*\n[^]*){3}/);
    const since = performance.now();
    server.signal("SIGTERM");
    assertEquals([await stalled.rest(), await deaf.rest()], ["", "!deaf\n"]);
    await server.ends(0);
    assert(performance.now() - since < 5000);
  });
});
