/** Where a server can be: Unix sockets, both families, names; and a server that is not up yet. */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { addressOrName, connect, show, showAddr } from "../lib/net/address.ts";
import { needs } from "../lib/testing/needs.ts";
import { Program, program, startClient, startServer } from "../lib/testing/program.ts";
import { unstamped } from "../lib/testing/wire.ts";

const UNIX = needs("unix sockets");

/** A folder for a socket, gone at the end of the block. */
async function folder(): Promise<{ socket: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "readback-socket-" });
  const remove = () => Deno.remove(path, { recursive: true });
  return { socket: `${path}/s`, [Symbol.asyncDispose]: remove };
}

/** Says one message; gives what came of it. */
async function say(args: readonly (string | number)[]): Promise<[number, string, string]> {
  await using client = startClient([...args, "--message", "hello"]);
  return [await client.exitCode(), unstamped(client.stdout), client.stderr];
}

describe("--unix", UNIX, () => {
  it("carries a conversation; clients are numbered; the file goes with the server", async () => {
    await using here = await folder();
    await using server = await startServer(["--unix", here.socket]);
    assertEquals(server.stdout.split("\n")[0], `listening on ${here.socket}`);
    for (const number of [1, 2]) {
      assertEquals(await say(["--unix", here.socket]), [0, "[hello] STAMP\n", ""]);
      await server.until(`Server received data: "hello" from unix#${number}\n`);
    }
    server.signal("SIGTERM");
    await server.ends(0);
    await assertRejects(() => Deno.lstat(here.socket), Deno.errors.NotFound);
  });

  it("tells its clients apart in JSON too", async () => {
    await using here = await folder();
    await using server = await startServer(["--unix", here.socket, "--log", "json"]);
    assertEquals(JSON.parse(server.stdout.split("\n")[0] ?? "").address, here.socket);
    await say(["--unix", here.socket]);
    await server.until(/"event":"message","client":"unix#1"/);
  });

  it("takes the place of a server that was killed", async () => {
    await using here = await folder();
    {
      await using killed = await startServer(["--unix", here.socket]);
      killed.signal("SIGKILL");
      await killed.exitCode();
    }
    await using _server = await startServer(["--unix", here.socket]);
    assertEquals(await say(["--unix", here.socket]), [0, "[hello] STAMP\n", ""]);
  });

  it("does not take a live server's place, nor a file's that is no socket", async () => {
    await using here = await folder();
    await using _server = await startServer(["--unix", here.socket]);
    const args = ["--unix", here.socket];
    await using second = new Program([...program("server", args), ...args]);
    await second.ends(1);
    assertMatch(second.stderr, /^server: cannot listen on .*: somebody is there: /);
    assertEquals(await say(args), [0, "[hello] STAMP\n", ""]);

    const file = `${here.socket}.txt`;
    await Deno.writeTextFile(file, "precious");
    await using third = new Program([...program("server", args), "--unix", file]);
    await third.ends(1);
    assertMatch(third.stderr, /^server: cannot listen on .*: there is a file that is no socket\n$/);
    assertEquals(await Deno.readTextFile(file), "precious");
  });

  it("says why not", async () => {
    await using here = await folder();
    const long = `${here.socket}${"x".repeat(107)}`;
    for (
      const [path, server, client] of [
        [`${here.socket}/none/s`, "no such folder", "nobody is there: start a server, or"],
        [long, "a socket's path has at most 107 bytes", "a socket's path has at most 107 bytes"],
      ] as const
    ) {
      await using attempt = new Program([...program("server", ["--unix"]), "--unix", path]);
      await attempt.ends(1);
      assertMatch(attempt.stderr, new RegExp(`^server: cannot listen on .*: ${server}\n$`));
      const [code, , stderr] = await say(["--unix", path]);
      assertEquals(code, 1);
      assertMatch(stderr, new RegExp(`^client: cannot connect to .*: ${client}`));
    }
    await using unable = new Program([...program("server"), "--unix", here.socket]);
    await unable.ends(1);
    assertMatch(unable.stderr, /: Deno was not given that right: run it with --allow-\w+\n$/);
  });

  it("answers socat and nc", needs("socat", "nc"), async () => {
    await using here = await folder();
    await using _server = await startServer(["--unix", here.socket]);
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
    assertEquals(await say(["127.0.0.1", server.port]), [0, "[hello] STAMP\n", ""]);
    await server.until(/ from 127.0.0.1:\d+\n/);
    assertEquals(await say(["[::1]", server.port]), [0, "[hello] STAMP\n", ""]);
    await server.until(/ from \[::1\]:\d+\n/);
  });

  for (
    const [text, shown] of [["127.0.0.1", "127.0.0.1:1"], ["::1", "[::1]:1"], ["a.b", "a.b:1"]]
  ) {
    it(`${text} is shown as ${shown}`, () =>
      assertEquals(show({ hostname: text as string, port: 1 }), shown));
  }

  it("an IPv4 address on an IPv6 listener is one", () => {
    const addr = { transport: "tcp", hostname: "::ffff:1.2.3.4", port: 5 } as const;
    assertEquals(showAddr(addr), "1.2.3.4:5");
  });

  it("--host takes an address or a name, in brackets too, and nothing else", () => {
    assertEquals(["::1", "[::1]", "a.b"].map(addressOrName), ["::1", "::1", "a.b"]);
    for (const [bad, reason] of [["6969", "for a port"], ["localhost:6969", "its port apart"]]) {
      assertEquals(complaint(() => addressOrName(bad as string)).includes(reason as string), true);
    }
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
    const [code, , stderr] = await say(["--wait", "200ms", "-p", port]);
    assertEquals(code, 1);
    assertMatch(stderr, /^client: cannot connect to .*: nobody is there/);
  });
});

function complaint(action: () => unknown): string {
  try {
    action();
    return "";
  } catch (error) {
    return String(error);
  }
}
