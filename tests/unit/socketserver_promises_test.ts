/** What Python's own tests of socketserver (Lib/test/test_socketserver.py) ask of a server, asked of ours. */

import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { type Handler, Peer, serve, type ServeOptions } from "../../lib/mod.ts";
import { sleep } from "../../lib/wait.ts";

const echo: Handler = (message, reply) => reply.write(message);

function portOf({ addr }: { addr: Deno.Addr }): number {
  return "port" in addr ? addr.port : 0;
}

/** A server in the same process, so that its clients can be waited for. */
function start(handler: Handler, options: ServeOptions = {}) {
  return serve(handler, { framing: "line", grace: 2000, ...options });
}

async function echoed(options: { port?: number; path?: string }): Promise<string> {
  using peer = await Peer.connect({ ...options, framing: "line", timeout: 5000 });
  return (await peer.request("hello world")).text;
}

describe("test_socketserver", () => {
  it("TCPServer: three clients after each other get their line back", async () => {
    await using server = start(echo);
    for (let client = 0; client < 3; client++) {
      assertEquals(await echoed({ port: portOf(server) }), "hello world");
    }
  });

  it("UnixStreamServer: the same", requires("unix sockets"), async () => {
    const folder = await Deno.makeTempDir({ prefix: "readback-socketserver-" });
    try {
      const path = `${folder}/s`;
      await using _server = start(echo, { path });
      for (let client = 0; client < 3; client++) {
        assertEquals(await echoed({ path }), "hello world");
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });

  it("ThreadingTCPServer: clients that are there together are served together", async () => {
    await using server = start(echo);
    using first = await Peer.connect({ port: portOf(server), framing: "line" });
    assertEquals(await echoed({ port: portOf(server) }), "hello world");
    assertEquals((await first.request("still here")).length, 10);
  });

  it("test_shutdown: a stop right after the start neither hangs nor fails, twenty times", async () => {
    for (let server = 0; server < 20; server++) await start(echo).shutdown();
  });

  it("test_close_immediately: a server that never served lets its port go", async () => {
    const server = start(echo, { signal: AbortSignal.abort() });
    await server.finished;
    await using _next = start(echo, { port: portOf(server) });
  });

  it(
    "test_tcpserver_bind_leak: a server that can't bind leaves no socket behind",
    requires("linux", "bash"),
    async () => {
      // A program of its own: the other tests' sockets, in this process, come and go.
      const limited = 'ulimit -n 100; exec "$@"';
      const rebind = [Deno.execPath(), "run", "--quiet", "--allow-net", "tests/support/rebind.ts"];
      await using program = new Program(["bash", "-c", limited, "bash", ...rebind]);
      await program.until("refused 1024\n");
      await program.ends(0);
    },
  );

  it("test_context_manager: at the end of the block nobody listens", async () => {
    let port: number;
    {
      await using server = start(echo);
      port = portOf(server);
    }
    await assertRejects(() => Peer.connect({ port }), Error, "connection refused");
  });

  it("ErrorHandlerTest: a handler's error is told, and the next client is served", async () => {
    const told: string[] = [];
    let fail = true;
    await using server = start((message, reply) => {
      if (fail) throw new Error("test");
      reply.write(message);
    }, { onError: (error) => void told.push(error.message) });
    await assertRejects(() => echoed({ port: portOf(server) }));
    fail = false;
    assertEquals(await echoed({ port: portOf(server) }), "hello world");
    assertEquals(told, ["cannot answer: test"]);
  });

  for (
    const [how, verify] of [["false", () => false], ["an error", () => {
      throw new Error("no");
    }]] as const
  ) {
    it(`test_shutdown_request_called_if_verify_request_false: ${how} closes the connection`, async () => {
      await using server = start(echo, { verify });
      await assertRejects(() => echoed({ port: portOf(server) }));
      assertEquals(server.clients, 0);
    });
  }

  it("SocketWriterTest: what is written arrives, however slowly it is read", async () => {
    const page = "x".repeat(1 << 20);
    await using server = start((_, reply) => {
      for (let pages = 0; pages < 5; pages++) reply.write(page);
    });
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: portOf(server) });
    await conn.write(new TextEncoder().encode("go\n"));
    await conn.closeWrite();
    let length = 0;
    const buffer = new Uint8Array(16_384);
    for (let count; (count = await conn.read(buffer)) !== null; length += count) await sleep(0);
    conn.close();
    assertEquals(length, 5 * page.length + 1);
  });

  it("test_threads_reaped: nothing is kept of clients that have left", async () => {
    await using server = start(echo);
    for (let client = 0; client < 10; client++) await echoed({ port: portOf(server) });
    while (server.clients > 0) await sleep(0);
    assertEquals(server.messages, 10);
  });

  it("block_on_close: a stop waits for handlers that are busy", async () => {
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    const server = start(async (message, reply) => {
      resolve();
      await sleep(50);
      reply.write(message);
    });
    const reply = echoed({ port: portOf(server) });
    await begun;
    await server.shutdown();
    assertEquals([await reply, server.clients], ["hello world", 0]);
  });
});
