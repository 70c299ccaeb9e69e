/** What replaces Deno's APIs in Node: every row comes out as it does with Deno's own. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import * as standIn from "../../lib/node/deno.ts";
import { errors } from "../../lib/node/errors.ts";
import { requires } from "../../lib/testing/requires.ts";
import { latin1 } from "../../lib/testing/wire.ts";
import { inFolder } from "../support/folder.ts";

type Api = typeof Deno;

const inNode = Object.fromEntries(
  Object.entries(standIn).map(([name, value]) => [name.replace("Deno.", ""), value]),
) as unknown as Api;

/** What a call returned, or the name of the error that it threw. */
async function outcome(call: () => unknown): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    return `${(error as Error).name}`;
  }
}

/** Does the same with both, each in a folder of its own, and compares. */
async function alike(does: (api: Api, folder: string) => unknown, expected?: unknown) {
  const outcomes: unknown[] = [];
  for (const api of [Deno, inNode]) {
    await inFolder(async (folder) => {
      const place = (text: unknown) =>
        typeof text === "string" ? text.replaceAll(folder, "FOLDER") : text;
      outcomes.push(place(await outcome(() => does(api, folder))));
    });
  }
  assertEquals(outcomes[1], outcomes[0]);
  if (expected !== undefined) assertEquals(outcomes[1], expected);
}

async function readAll(conn: Deno.Conn): Promise<string> {
  const room = new Uint8Array(3);
  let text = "";
  for (let count; (count = await conn.read(room)) !== null;) {
    text += String.fromCharCode(...room.subarray(0, count));
  }
  return text;
}

/** Connects the two ends of a listener, and closes all of it after the call. */
async function withPair(
  api: Api,
  path: string | undefined,
  call: (client: Deno.Conn, server: Deno.Conn, listener: Deno.Listener) => Promise<unknown>,
): Promise<unknown> {
  const hostname = "127.0.0.1";
  using listener = path === undefined
    ? api.listen({ hostname, port: 0 })
    : api.listen({ path, transport: "unix" });
  const accepting = listener.accept();
  const { addr } = listener;
  using client = "port" in addr
    ? await api.connect({ hostname, port: addr.port })
    : await api.connect({ path: path ?? "", transport: "unix" });
  using server = await accepting;
  return await call(client, server, listener);
}

const stopped = AbortSignal.abort(new Error("stopped"));

describe("in Node as in Deno", () => {
  describe("files:", () => {
    const ROWS: [string, (api: Api, folder: string) => unknown, unknown][] = [
      ["no socket", async (api, folder) => (await api.stat(folder)).isSocket, false],
      ["a link to nothing", async (api, folder) => {
        await Deno.symlink("nothing", `${folder}/a`);
        assertEquals(await api.stat(`${folder}/a`).catch(() => "nothing"), "nothing");
        return [
          (await api.lstat(`${folder}/a`)).isSocket,
          api.lstatSync(`${folder}/a`).isSocket,
          typeof api.lstatSync(`${folder}/a`).ino,
        ];
      }, [false, false, "number"]],
      ["a hard link, a removal", (api, folder) => {
        Deno.writeTextFileSync(`${folder}/a`, "text");
        api.linkSync(`${folder}/a`, `${folder}/b`);
        api.removeSync(`${folder}/a`);
        return [...Deno.readDirSync(folder)].map(({ name }) => name);
      }, ["b"]],
      ["a link over a file", (api, folder) => {
        Deno.writeTextFileSync(`${folder}/a`, "text");
        api.linkSync(`${folder}/a`, `${folder}/a`);
      }, "AlreadyExists"],
      ["a folder to lock that is missing", (api, at) => api.open(`${at}/a`), "NotFound"],
      ["a removal of nothing", (api, at) => api.removeSync(`${at}/a`), "NotFound"],
    ];
    for (const [name, does, expected] of ROWS) it(name, () => alike(does, expected));
  });

  describe("sockets:", () => {
    const ROWS: [string, (api: Api, folder: string) => unknown, unknown][] = [
      [
        "bytes each way, a half-close, both addresses",
        (api) =>
          withPair(api, undefined, async (client, server, listener) => {
            const { port } = listener.addr as Deno.NetAddr;
            assertEquals(client.remoteAddr, { transport: "tcp", hostname: "127.0.0.1", port });
            assertEquals(server.localAddr, client.remoteAddr);
            assertEquals(server.remoteAddr, client.localAddr);
            await client.write(latin1("hello"));
            await client.closeWrite();
            const received = await readAll(server);
            await server.write(latin1("good day"));
            await server.closeWrite();
            return [received, await readAll(client)];
          }),
        ["hello", "good day"],
      ],
      [
        "a Unix socket",
        (api, at) =>
          withPair(
            api,
            `${at}/socket`,
            async (client, server, listener) => {
              assertEquals(listener.addr, { path: `${at}/socket`, transport: "unix" });
              assertEquals((await api.stat(`${at}/socket`)).isSocket, true);
              await server.write(latin1("good day"));
              server.close();
              return await readAll(client);
            },
          ),
        "good day",
      ],
      ["a path that is taken", (api, folder) => {
        const where = { path: `${folder}/socket`, transport: "unix" } as const;
        using _other = Deno.listen(where);
        api.listen(where).close();
      }, "AddrInUse"],
      ["a port where nobody listens", async (api) => {
        const other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
        const { port } = other.addr;
        other.close();
        await api.connect({ hostname: "127.0.0.1", port });
      }, "ConnectionRefused"],
      [
        "a path where nothing is",
        (api, at) => api.connect({ path: `${at}/socket`, transport: "unix" }),
        "NotFound",
      ],
      [
        "an accept that the end interrupts",
        async (api) => {
          const listener = api.listen({ hostname: "127.0.0.1", port: 0 });
          const accepting = outcome(() => listener.accept());
          listener.close();
          return [await accepting, await outcome(() => listener.accept())];
        },
        undefined,
      ],
      [
        "a connection that was closed",
        (api) =>
          withPair(api, undefined, async (client, server) => {
            const reading = outcome(() => client.read(new Uint8Array(1)));
            client.close();
            return [typeof await reading, await server.read(new Uint8Array(1))];
          }),
        ["string", null],
      ],
    ];
    for (const [name, does, expected] of ROWS) it(name, () => alike(does, expected));

    it("an attempt that is aborted fails with the reason", async () => {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = listener.addr;
      const failure = await inNode.connect({ hostname: "127.0.0.1", port, signal: stopped })
        .catch((error: Error) => error.message);
      assertEquals(failure, "stopped");
    });

    it("a name can't be listened on at once, which the error says", () => {
      const words = "in Node, a server listens at once only on an address, and localhost is a name";
      assertThrows(() => inNode.listen({ hostname: "localhost", port: 0 }), TypeError, words);
    });
  });

  describe("programs:", requires("sh"), () => {
    const PIPES = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    const run = async (api: Api, script: string, options: Deno.CommandOptions = {}) => {
      const how = { args: ["-c", script], ...PIPES, ...options };
      const child = new api.Command("sh", how).spawn();
      await child.stdin.close();
      const texts = [child.stdout, child.stderr].map((stream) => new Response(stream).text());
      return [(await child.status).code, ...await Promise.all(texts)].join(" ");
    };
    const ROWS: [string, (api: Api, folder: string) => unknown, unknown][] = [
      ["output and success", (api) => run(api, "echo a; echo b >&2"), "0 a\n b\n"],
      ["output that is waited for", (api) => {
        const { stdout } = new api.Command("sh", { args: ["-c", "echo a"] }).outputSync();
        return new TextDecoder().decode(stdout);
      }, "a\n"],
      ["an exit code", (api) => run(api, "exit 3"), "3  "],
      ["a signal", (api) => run(api, "kill -TERM $$"), "143  "],
      [
        "a variable more",
        (api) => run(api, "echo $A ${PATH:+path}", { env: { A: "1" } }),
        "0 1 path\n ",
      ],
      ["a folder", (api, folder) => run(api, "pwd", { cwd: folder }), "0 FOLDER\n "],
      ["input that is written, and output that is read", async (api) => {
        const child = new api.Command("cat", { stdin: "piped", stdout: "piped", stderr: "null" })
          .spawn();
        const writer = child.stdin.getWriter();
        await writer.write(latin1("hello"));
        await writer.close();
        const text = await new Response(child.stdout).text();
        return [text, (await child.status).code, typeof child.pid];
      }, ["hello", 0, "number"]],
      ["a signal that is sent, and one too late", async (api) => {
        const child = new api.Command("cat", { stdin: "piped", stdout: "null" }).spawn();
        child.kill("SIGKILL");
        const { code } = await child.status;
        const late = await outcome(() => child.kill());
        await child.stdin.abort().catch(() => {});
        return [code, late];
      }, [137, "TypeError"]],
      ["no such program", (api) => new api.Command("no-such-program").spawn(), "NotFound"],
      [
        "no such folder",
        (api, at) => new api.Command("sh", { cwd: `${at}/a` }).spawn(),
        "NotFound",
      ],
      ["a file that is no program", async (api, folder) => {
        await Deno.writeTextFile(`${folder}/a`, "text", { mode: 0o644 });
        new api.Command(`${folder}/a`).spawn();
      }, "PermissionDenied"],
    ];
    for (const [name, does, expected] of ROWS) it(name, () => alike(does, expected));
  });

  it("the errors have the names of Deno's", () => {
    for (const [name, Class] of Object.entries(errors)) {
      const error = new Class("why");
      assert(error instanceof Error && name in Deno.errors, name);
      assertEquals([error.name, error.message], [name, "why"]);
    }
  });

  it("a signal's listener is called until it is removed", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    inNode.addSignalListener("SIGWINCH", resolve);
    Deno.kill(Deno.pid, "SIGWINCH");
    await promise;
    inNode.removeSignalListener("SIGWINCH", resolve);
  });

  it("the rest: the system, the environment, permissions", () => {
    assertEquals(inNode.build.os, Deno.build.os);
    assertEquals(inNode.env.get("PATH"), Deno.env.get("PATH"));
    assertEquals(inNode.permissions.querySync({ name: "net" }).state, "granted");
  });

  it("an escaped text matches itself alone", () => {
    const text = "$()*+-./?[\\]^{|}a";
    const escape = standIn["RegExp.escape"];
    assert(new RegExp(`^${escape(text)}$`).test(text));
    assert(!new RegExp(`^${escape("a.c")}$`).test("abc"));
  });
});
