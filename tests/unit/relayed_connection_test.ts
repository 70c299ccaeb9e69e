/** A relayed connection whose client is in the test's hands: what is closed, and what is reported. */

import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { RelayedConnection, type RelayEnding } from "../../lib/faults/relayed_connection.ts";
import type { ServerConn } from "../../lib/net/conn.ts";
import { ConnectError } from "../../lib/net/errors.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { requires } from "../../lib/testing/requires.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";

const ADDR = { transport: "tcp", hostname: "127.0.0.1", port: 1 } as const;

/** A client's connection, what the relay does with it, and what it reports. */
function open(canReset = true) {
  const log: string[] = [];
  const rooms: number[] = [];
  let received = Promise.withResolvers<string | null>();
  const conn: ServerConn = {
    remoteAddr: ADDR,
    localAddr: { ...ADDR, port: 2 },
    async read(into) {
      rooms.push(into.length);
      const data = await received.promise;
      if (data === null) return null;
      received = Promise.withResolvers();
      into.set(latin1(data));
      return data.length;
    },
    write: (bytes) => Promise.resolve(bytes.length).finally(() => log.push(`write ${text(bytes)}`)),
    closeWrite: () => Promise.resolve(void log.push("closeWrite")),
    close: () => {
      log.push("close");
      received.promise.catch(() => {});
      received.reject(new Error("closed"));
    },
  };
  if (canReset) conn.reset = () => void log.push("reset");
  const client = new RelayedConnection(conn);
  client.onEof = () => void log.push("eof");
  client.onEnd = (ending: RelayEnding) => void log.push(`ended: ${ending}`);
  return { client, log, rooms, sends: (data: string | null) => received.resolve(data) };
}

/** Reads to the end. */
const readAll = async (conn: { read(into: Uint8Array): Promise<number | null> }) => {
  while (await conn.read(new Uint8Array(100_000)) !== null);
};

describe("a relayed connection", () => {
  it("is closed on both sides once both directions have ended", async () => {
    await using server = FakeServer.start(async (conn) => {
      await readAll(conn);
      await conn.write(latin1("bye"));
    });
    const { client, log, sends } = open();
    await client.connect(server);
    const running = client.run();
    sends("hello");
    while (client.bytes === 0) await sleep(1);
    sends(null);
    await running;
    assertEquals(log, ["eof", "write bye", "closeWrite", "close", "ended: left"]);
    assertEquals([server.received, client.bytes, client.replied], ["hello", 5, 3]);
    assertEquals([client.addr, client.localAddr], [ADDR, { ...ADDR, port: 2 }]);
    assertEquals([client.messages, client.isHealthCheck, client.write()], [0, false, false]);
    assertEquals([await client.drained(), client.signal.aborted], [false, true]);
    client.cut("cut");
    client.reset();
    client.end();
    client.stop();
    assertEquals(log.length, 5);
  });

  it("reads into a buffer twice as large as the last read", async () => {
    await using server = FakeServer.start(readAll);
    const { client, rooms, sends } = open();
    await client.connect(server);
    const running = client.run();
    const sizes = [1024, 2000, 4000, 8000, 16_000, 32_000, 40_000, 65_536, 8193, 100];
    for (const size of sizes) {
      const { bytes } = client;
      sends("x".repeat(size));
      while (client.bytes < bytes + size) await sleep(0);
    }
    sends(null);
    await running;
    const most = 65_536;
    assertEquals(rooms, [
      ...[1024, 2048, 4000, 8000, 16_000, 32_000, 64_000, most, most, 16_386, 1024],
    ]);
  });

  it("is reset where the server refuses, and otherwise closed, with the reason", async () => {
    const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = free.addr;
    free.close();
    for (const canReset of [true, false]) {
      const { client, log } = open(canReset);
      const why = `cannot connect to 127.0.0.1:${port}: connection refused: start a server, ` +
        "or check --to";
      await assertRejects(() => client.connect({ port }), ConnectError, why);
      assertEquals(log, [canReset ? "reset" : "close"]);
    }
    const { client, log } = open();
    const why = "cannot connect to /nowhere/x: connection refused: start a server, or check --to";
    await assertRejects(() => client.connect({ path: "/nowhere/x" }), ConnectError, why);
    assertEquals(log, ["close"]);
  });

  it(
    "is closed, with the reason, where the server does not answer in time",
    requires("linux"),
    async () => {
      using full = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
      const { port } = full.addr;
      const stop = new AbortController();
      const others = Array.from(Array(4), () => Deno.connect({ port, signal: stop.signal }));
      const settled = Promise.allSettled(others);
      const { client, log } = open();
      const { setTimeout } = globalThis;
      const soon = (call: () => void, after?: number) =>
        setTimeout(call, after === 8000 ? 50 : after);
      Object.assign(globalThis, { setTimeout: soon });
      const why = `cannot connect to 127.0.0.1:${port}: no answer within 8s`;
      await assertRejects(() => client.connect({ port }), ConnectError, why)
        .finally(() => Object.assign(globalThis, { setTimeout }));
      assertEquals([log, client.signal.aborted], [["close"], true]);
      stop.abort();
      for (const other of await settled) if (other.status === "fulfilled") other.value.close();
    },
  );

  it("is not connected once it was cut", async () => {
    await using server = FakeServer.start(readAll);
    const { client, log } = open();
    const connecting = client.connect(server);
    client.cut("stopped");
    const error = await connecting.catch((error) => error);
    assertEquals([error instanceof ConnectError, log], [false, ["close"]]);
  });

  it("is cut two seconds after it was ended, if a peer has not closed by then", async () => {
    await using server = FakeServer.start(async (conn) => {
      await readAll(conn);
    }, { keepOpen: true });
    const { client, log, sends } = open();
    await client.connect(server);
    const running = client.run();
    const { setTimeout } = globalThis;
    const limits: (number | undefined)[] = [];
    const soon = (call: () => void, after?: number) => {
      limits.push(after);
      return setTimeout(call, after === 2000 ? 0 : after);
    };
    Object.assign(globalThis, { setTimeout: soon });
    client.end();
    client.end();
    await running.finally(() => Object.assign(globalThis, { setTimeout }));
    assertEquals(limits.filter((limit) => limit === 2000), [2000]);
    assertEquals(log, ["closeWrite", "close", "ended: done"]);
    sends(null);
  });

  it("is reset on both sides if one side is", async () => {
    await using server = FakeServer.start(readAll);
    const { client, log } = open();
    await client.connect(server);
    const running = client.run();
    client.reset();
    assertEquals([log, client.signal.aborted], [["reset"], true]);
    void running.catch(() => {});
  });

  it("is idle since a byte has passed, and waits for the server while that is about to answer", async () => {
    const answer = Promise.withResolvers<void>();
    await using server = FakeServer.start(async (conn) => {
      await conn.read(new Uint8Array(10));
      await answer.promise;
      await conn.write(latin1("late"));
      await readAll(conn);
    });
    const { client, log, sends } = open();
    await client.connect(server);
    const running = client.run();
    sends("hello");
    while (client.bytes === 0) await sleep(1);
    client.stop();
    await sleep(80);
    assertEquals([log, client.idle >= 79], [[], true]);
    answer.resolve();
    while (!log.includes("closeWrite")) await sleep(1);
    sends(null);
    await running;
    assertEquals(log, ["write late", "closeWrite", "eof", "close", "ended: stopped"]);
  });

  it("is silent from when no byte has passed, by whatever clock", async () => {
    await using server = FakeServer.start(readAll);
    const { client, sends } = open();
    await client.connect(server);
    const running = client.run();
    assertEquals([client.silentFor(100), client.silentFor(150)], [0, 50]);
    sends("a");
    while (client.bytes === 0) await sleep(1);
    assertEquals([client.silentFor(200), client.silentFor(260)], [0, 60]);
    sends(null);
    await running;
  });
});
