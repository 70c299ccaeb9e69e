/** Where a server can be: Unix sockets, both families, names; and a server that is not up yet. */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type ConnectOptions, Peer, readback, serve } from "../../lib/mod.ts";
import { OPTIONS } from "../../lib/cli/client_options.ts";
import { parse, UsageError } from "../../lib/cli/options.ts";
import {
  addressesOf,
  addressOrName,
  asciiHost,
  cutPort,
  formatAddress,
  formatEndpoint,
} from "../../lib/net/address.ts";
import { connect } from "../../lib/net/connect.ts";
import { ConnectError } from "../../lib/net/errors.ts";
import { listen } from "../../lib/net/listen.ts";
import type { Listener } from "../../lib/net/conn.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, startClient, startServer } from "../../lib/testing/readback.ts";
import { unstamped } from "../support/replies.ts";
import { run } from "../support/run.ts";

const UNIX = requires("unix sockets");

/** A folder for a socket, gone at the end of the block. */
async function folder(): Promise<{ folder: string; socket: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "readback-socket-" });
  const remove = () => Deno.remove(path, { recursive: true });
  return { folder: path, socket: `${path}/s`, [Symbol.asyncDispose]: remove };
}

/** Makes the file that a server leaves which was killed. */
async function leaveBehind(path: string): Promise<void> {
  using _listener = Deno.listen({ transport: "unix", path: `${path}.moved` });
  await Deno.rename(`${path}.moved`, path);
}

/** Says one message with the client; gives what came of it. */
async function say(args: readonly (string | number)[]): Promise<[number, string, string]> {
  const { code, stdout, stderr } = await run(startClient([...args, "--message", "hello"]));
  return [code, stdout, stderr];
}

/** Checks that a server answers a client in this process. */
async function assertAnswers(where: ConnectOptions): Promise<void> {
  using peer = await Peer.connect({ ...where, framing: "line" });
  assertEquals(unstamped((await peer.request("hello")).text), "[hello] STAMP");
}

/** Where a command line sends the client. */
function placeOf(...args: readonly (string | number)[]): ConnectOptions {
  const options = parse(OPTIONS, args.map(String));
  assert(typeof options !== "string");
  return { hostname: options.host, port: options.port };
}

describe("--unix", UNIX, () => {
  it("carries a conversation; clients are numbered; the file goes with the server", async () => {
    await using here = await folder();
    await using server = await startServer(["--unix", here.socket]);
    assertEquals(server.stdout.split("\n")[0], `listening on ${here.socket}`);
    assertEquals(await say(["--unix", here.socket]), [0, "[hello] STAMP\n", ""]);
    await server.until('Server received data: "hello" from unix#1\n');
    await assertAnswers({ path: here.socket });
    await server.until('Server received data: "hello" from unix#2\n');
    server.signal("SIGTERM");
    await server.ends(0);
    await assertRejects(() => Deno.lstat(here.socket), Deno.errors.NotFound);
  });

  it("takes the place of a server that was killed; leaves it to another at the end", async () => {
    await using here = await folder();
    {
      await using killed = await startServer(["--unix", here.socket]);
      killed.signal("SIGKILL");
      await killed.exitCode();
    }
    await using server = await startServer(["--unix", here.socket, "--log", "json"]);
    assertEquals(JSON.parse(server.stdout.split("\n")[0] ?? "").address, here.socket);
    await assertAnswers({ path: here.socket });
    await server.until(/"event":"message","client":"unix#1"/);
    await Deno.remove(here.socket);
    await using _other = serve(readback(), { listeners: await listen({ path: here.socket }) });
    server.signal("SIGTERM");
    await server.ends(0);
    await assertAnswers({ path: here.socket });
  });

  it("of several that start at once on a stale file one listens, and is reached", async () => {
    await using here = await folder();
    const where = { path: here.socket };
    for (let round = 0; round < 20; round++) {
      await leaveBehind(here.socket);
      const starts = await Promise.allSettled([1, 2, 3, 4].map(() => listen(where)));
      using listeners = new DisposableStack();
      for (const { value = [] } of starts as { value?: Listener[] }[]) {
        for (const listener of value) listeners.defer(() => listener.close());
      }
      const reasons = starts.flatMap((start) => "reason" in start ? String(start.reason) : []);
      assertEquals(reasons.length, 3, `round ${round}: ${4 - reasons.length} listen`);
      for (const reason of reasons) assertMatch(reason, /: another server listens there: /);
      (await Deno.connect({ transport: "unix", path: here.socket })).close();
    }
    assertEquals([...Deno.readDirSync(here.folder)], [], "a file was left");
  });

  it("does not take a live server's place, nor a file's that is no socket", async () => {
    await using here = await folder();
    await using _server = serve(readback(), { listeners: await listen({ path: here.socket }) });
    const taken = "another server listens there: stop it, or choose another path";
    assertEquals(
      await refusal(listen({ path: here.socket })),
      `listen on ${here.socket}: ${taken}`,
    );
    await assertAnswers({ path: here.socket });

    const file = `${here.socket}.txt`;
    await Deno.writeTextFile(file, "precious");
    const why = "a file that is not a socket is there";
    assertEquals(await refusal(listen({ path: file })), `listen on ${file}: ${why}`);
    assertEquals(await Deno.readTextFile(file), "precious");
  });

  it("says why not", async () => {
    await using here = await folder();
    const long = `${here.socket}${"x".repeat(107)}`;
    const tooLong = "a socket's path has at most 107 bytes";
    const nobody = "connection refused: start a server, or check --unix";
    for (
      const [path, server, client] of [
        [`${here.socket}/none/s`, "no such folder", nobody],
        [long, tooLong, tooLong],
      ] as const
    ) {
      assertEquals(await refusal(listen({ path })), `listen on ${path}: ${server}`);
      assertEquals(await refusal(connect({ path })), `connect to ${path}: ${client}`);
    }
    for (const path of [`${here.folder}/`, new URL(import.meta.url).pathname]) {
      const why = "that is not a socket: check --unix";
      assertEquals(await refusal(connect({ path })), `connect to ${path}: ${why}`);
    }
    await using unable = new Program([...program("server"), "--unix", here.socket]);
    await unable.ends(1);
    assertMatch(
      unable.stderr,
      /^server: cannot listen on .*: permission denied: run it with --allow-\w+\n$/,
    );
  });

  it("waits while the listen queue is full, within --timeout, then says so", async () => {
    await using here = await folder();
    const listener = Deno.listen({ transport: "unix", path: here.socket });
    using queue = new DisposableStack();
    queue.use(listener);
    await assertRejects(async () => { // all that the queue takes
      for (;;) queue.use(await Deno.connect({ transport: "unix", path: here.socket }));
    }, Deno.errors.WouldBlock);
    const where = { path: here.socket };
    const full = ": its listen queue is full: too many connections wait in it";
    await assertRejects(() => connect({ ...where, timeout: 100 }), Error, full);
    const connecting = connect({ ...where, timeout: 20_000 });
    queue.use(await listener.accept());
    queue.use(await connecting);
  });

  it("answers socat and nc", requires("socat", "nc"), async () => {
    await using here = await folder();
    await using _server = serve(readback(), { path: here.socket });
    for (
      const command of [
        ["socat", "-t", "10", "-", `UNIX:${here.socket}`],
        ["nc", "-N", "-U", here.socket],
      ]
    ) {
      await using peer = new Program(command);
      await peer.type("hello\n");
      await peer.endInput();
      await peer.ends(0);
      assertEquals(unstamped(peer.stdout), "[hello] STAMP\n");
    }
  });
});

describe("both families", () => {
  it("--host :: hears IPv4 clients too, and shows them as such", async () => {
    await using server = await startServer(["--host", "::"]);
    assertMatch(server.stdout, /^listening on \[::\]:\d+\n/);
    await assertAnswers(placeOf("127.0.0.1", server.port));
    await server.until(/ from 127.0.0.1:\d+\n/);
    await assertAnswers(placeOf("[::1]", server.port));
    await server.until(/ from \[::1\]:\d+\n/);
  });

  for (
    const [text, shown] of [["127.0.0.1", "127.0.0.1:1"], ["::1", "[::1]:1"], ["a.b", "a.b:1"]]
  ) {
    it(`${text} is shown as ${shown}`, () =>
      assertEquals(formatEndpoint({ hostname: text as string, port: 1 }), shown));
  }

  it("an IPv4 address on an IPv6 listener is one", () => {
    const addr = { transport: "tcp", hostname: "::ffff:1.2.3.4", port: 5 } as const;
    assertEquals(formatAddress(addr), "1.2.3.4:5");
  });

  it("a name is looked up, also one of digits and dots but for a letter", async () => {
    assertEquals(await addressesOf("127.0.0.1"), ["127.0.0.1"]);
    await assertRejects(() => addressesOf("1node.invalid."));
  });

  it("--host takes an address or a name, in brackets too, and nothing else", () => {
    assertEquals(["::1", "[::1]", "a.b"].map(addressOrName), ["::1", "::1", "a.b"]);
    for (
      const [bad, reason] of [
        ["", "must be an address or a name"],
        ["[]", "must be an address or a name"],
        ["6969", "for a port"],
        ["localhost:6969", "give the port separately"],
        [
          "http://localhost",
          "must be HOST:PORT or tcp://HOST:PORT: messages are sent over plain TCP",
        ],
        ["bü cher.example", "must be an address or a name"],
        ["bücher@example", "must be an address or a name"],
      ] as const
    ) {
      assertEquals(complaint(() => addressOrName(bad)).includes(reason), true);
    }
  });
});

describe("a host", () => {
  it("with its port, as tcp:// too, is cut in two", () => {
    const places = [
      "a:1",
      "[::1]:1",
      "tcp://a:1",
      "tcp://[::1]:1/",
      "::1",
      "http://a:1",
      "http://a",
    ];
    assertEquals(places.map(cutPort), [
      ["a", "1"],
      ["[::1]", "1"],
      ["a", "1"],
      ["[::1]", "1"],
      ["::1"],
      ["http://a:1"],
      ["http://a"],
    ]);
  });

  it("is a name in any letters, as in a browser", () => {
    const hosts = ["a_b", "bücher.example", "BÜCHER.example", "faß.de", "１２７．１", "日本.jp"];
    assertEquals(hosts.map(asciiHost), [
      "a_b",
      "xn--bcher-kva.example",
      "xn--bcher-kva.example",
      "xn--fa-hia.de",
      "127.0.0.1",
      "xn--wgv71a.jp",
    ]);
  });

  it("in other letters is looked up, connected to and verified in its ASCII form", async () => {
    const bad = await assertRejects(
      () => connect({ hostname: "bücher.invalid", port: 1 }),
      ConnectError,
    );
    assertEquals(bad.message, "cannot connect to bücher.invalid:1: no such name: check --host");
    await assertRejects(() => listen({ hostname: "bücher.invalid" }), Error, "no such name");
    const [listener] = await listen();
    assert(listener && "port" in listener.addr);
    const accepting = listener.accept();
    using _conn = await connect({ hostname: "１２７.0.0.1", port: listener.addr.port });
    (await accepting).close();
    listener.close();
  });

  it("that may have been meant with a port brings up the brackets", async () => {
    const { message } = await assertRejects(
      () => connect({ hostname: "::1:7000", port: 1 }),
      Error,
    );
    assertMatch(message, / \(for port 7000 of ::1, write \[::1\]:7000\)$/);
    const other = await assertRejects(() => connect({ hostname: "::1", port: 1 }), Error);
    assertEquals(other.message.includes("write ["), false);
  });

  it("of another protocol is refused", async () => {
    for (const place of ["http://127.0.0.1:80/", "https://localhost"]) {
      const { message } = assertThrows(() => placeOf("-m", "hello", place), UsageError);
      const [scheme] = place.split(":");
      assertMatch(message, new RegExp(`"${place}": must be HOST:PORT or .* not ${scheme}$`));
    }
    await using server = serve(readback());
    assertEquals(await say([`tcp://127.0.0.1:${server.port}`]), [0, "[hello] STAMP\n", ""]);
  });
});

describe("--wait", () => {
  it("keeps trying until the server is up", async () => {
    await using here = await folder();
    await using client = startClient(["--unix", here.socket, "--wait", "20s", "-m", "hello"]);
    await using _server = await startServer(["--unix", here.socket]);
    await client.ends(0);
    assertEquals(unstamped(client.stdout), "[hello] STAMP\n");
  });

  it("tries again: nobody was there, then somebody was", async () => {
    await using here = await folder();
    const connecting = connect({ path: here.socket, wait: 20_000 });
    using _listener = Deno.listen({ transport: "unix", path: here.socket });
    using conn = await connecting;
    assertEquals("path" in conn.remoteAddr, true);
  });

  it("gives up when the time is over", async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    listener.close();
    const start = performance.now();
    assertMatch(
      await refusal(connect({ port, wait: 200 })),
      /^connect to 127\.0\.0\.1:\d+: connection refused: start a server, or check --host and --port/,
    );
    const took = performance.now() - start;
    assert(took > 100, `after ${took} ms`); // it does not begin what it could not end
  });
});

describe("without --wait", () => {
  it("tries once", async () => {
    const { connect: real } = Deno;
    let tries = 0;
    const counted = (options: Deno.ConnectOptions) => {
      tries++;
      return real(options);
    };
    Object.assign(Deno, { connect: counted });
    try {
      await assertRejects(() => connect({ port: 1 }), Error, "connection refused");
    } finally {
      Object.assign(Deno, { connect: real });
    }
    assertEquals(tries, 1);
  });
});

/** What can't be done, and why: the error's message but for "cannot". */
async function refusal(doing: Promise<unknown>): Promise<string> {
  const { message } = await assertRejects(() => doing, Error, "cannot ");
  return message.replace("cannot ", "");
}

function complaint(action: () => unknown): string {
  try {
    action();
    return "";
  } catch (error) {
    return String(error);
  }
}
