/** What a client meets of a server with faults: literal bytes, how they end, and when. */

import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { once } from "node:events";
import net from "node:net";
import { listen, type ListenOptions } from "../../lib/net/listen.ts";
import { SocketListener } from "../../lib/net/node_socket.ts";
import { Faults } from "../../lib/faults/faults.ts";
import { serve } from "../../lib/server/serve.ts";
import type { ServeOptions } from "../../lib/server/serve_options.ts";
import type { Ending, Handler } from "../../lib/server/handler.ts";
import { requires } from "../../lib/testing/requires.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { isPending, sleep } from "../../lib/wait.ts";
import { Certificates } from "../support/certificates.ts";
import { isDeno } from "../support/runtime.ts";

/** How a connection ends: the three are told apart. */
type End = "eof" | "reset" | "open";

const echo: Handler<void> = (message, reply) => reply.write(message);

/** What a server listens on, and how one connects to it. */
interface Transport {
  readonly listen: () => ReturnType<typeof listen>;
  readonly connect: (addr: Deno.Addr) => Promise<Deno.Conn>;
}

const HERE: ListenOptions = { resets: true };
const portOf = (addr: Deno.Addr) => (addr as Deno.NetAddr).port;

const TCP: Transport = {
  listen: () => listen(HERE),
  connect: (addr) => Deno.connect({ port: portOf(addr) }),
};

/** A server with faults in this process, and what it told. */
async function misbehave(
  faults: string | Faults,
  options: ServeOptions & { transport?: Transport; handler?: Handler<void> } = {},
) {
  const { transport = TCP, handler = echo, ...others } = options;
  const told: string[] = [];
  const endings: Ending[] = [];
  const server = serve(handler, {
    listeners: await transport.listen(),
    framing: "line",
    faults,
    onFault: (fault, _client, message) => told.push(message ? `${fault} @${message}` : fault),
    onClose: (_client, ending) => endings.push(ending),
    ...others,
  });
  return {
    ...{ server, told, endings, port: portOf(server.addr) },
    dial: async () => new Peer(await transport.connect(server.addr)),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** A client. */
class Peer implements Disposable {
  heard = "";
  constructor(readonly conn: Deno.Conn) {}

  async say(words: string): Promise<void> {
    for (let left = latin1(words); left.length > 0;) {
      left = left.subarray(await this.conn.write(left));
    }
  }

  /** Reads once. */
  async read(): Promise<End> {
    const buffer = new Uint8Array(65536);
    try {
      const count = await this.conn.read(buffer);
      if (count === null) return "eof";
      this.heard += text(buffer.subarray(0, count));
      return "open";
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) return "reset";
      const { message } = error as Error; // TLS: before its handshake is over; after it, this is an error
      if (message === "unexpected end of file") return "eof";
      throw error;
    }
  }

  /** Reads this many bytes. */
  async hear(length: number): Promise<string> {
    while (this.heard.length < length) assertEquals(await this.read(), "open", this.heard);
    return this.heard;
  }

  /** Reads to the end. */
  async rest(): Promise<[string, End]> {
    for (;;) {
      const end = await this.read();
      if (end !== "open") return [this.heard, end];
    }
  }

  [Symbol.dispose](): void {
    this.conn[Symbol.dispose]();
  }
}

/** Says one message, then another, then that no more will come; gives what came back, and the end. */
async function meet(peer: Peer, message: string): Promise<[string, End]> {
  await peer.say(`${message}\n`);
  await peer.say("next\n").catch(() => {}); // where it was reset by then
  await peer.conn.closeWrite().catch(() => {});
  return await peer.rest();
}

/** What is met: of each fault, of the reply (with its LF) and of the next one, and how it ends. */
const MET: readonly (readonly [fault: string, (reply: string, next: string) => string, End])[] = [
  ["drop", (_, next) => next, "eof"],
  ["twice", (reply, next) => reply + reply + next, "eof"],
  ["error=busy", (_, next) => `error: busy\n${next}`, "eof"],
  ["noise=0", (_, next) => `\n${next}`, "eof"],
  ["delay=20ms", (reply, next) => reply + next, "eof"],
  ["delay=1ms..20ms", (reply, next) => reply + next, "eof"],
  ["slice=2", (reply, next) => reply + next, "eof"],
  ["slice=2/2ms", (reply, next) => reply + next, "eof"],
  ["rate=1k", (reply, next) => reply + next, "eof"],
  ["cut=3", (reply) => reply.slice(0, 3), "eof"],
  ["cut=0", () => "", "eof"],
  ["cut=999", (reply) => reply, "eof"],
  ["reset=3", (reply) => reply.slice(0, 3), "reset"],
  ["reset", () => "", "reset"],
  ["twice,delay=5ms,slice=2,cut=9", (reply) => (reply + reply).slice(0, 9), "eof"],
  ["drop,reset", () => "", "reset"],
];

/**
 * Checks all that is met over a transport: of the first message, and of the second one, by order.
 * By number, the second message is checked over TCP alone: what is sent for it is the same.
 */
function assertMet(name: string, transport: () => Transport, resets: boolean) {
  const byNumber = name === "TCP" ? "@2, " : "";
  for (const [fault, bytes, end] of MET) {
    if (end === "reset" && !resets) continue;
    it(`${fault} over ${name}, ${byNumber}and by order`, async () => {
      const told = fault.split(",").map((one) => `${one} @1`);
      const toldOfSecond = fault.split(",").map((one) => `${one} @2`);
      {
        await using server = await misbehave(`${fault}@1`.replaceAll(",", "@1,"), {
          transport: transport(),
        });
        using peer = await server.dial();
        assertEquals(await meet(peer, "hello"), [bytes("hello\n", "next\n"), end]);
        assertEquals(server.told, told);
      }
      if (byNumber !== "") {
        await using server = await misbehave(`${fault}@2`.replaceAll(",", "@2,"), {
          transport: transport(),
        });
        using peer = await server.dial();
        await peer.say("first\n");
        assertEquals(await peer.hear(6), "first\n");
        assertEquals(await meet(peer, "hello"), [`first\n${bytes("hello\n", "next\n")}`, end]);
        assertEquals(server.told, toldOfSecond);
      }
      {
        const faults = Faults.read("error=not this@1..9", { orders: true });
        await using server = await misbehave(faults, { transport: transport() });
        using peer = await server.dial();
        const [said, other] = [`!${fault} hello`, "error: not this\n"];
        await peer.say("first\n");
        assertEquals(await peer.hear(other.length), other);
        assertEquals(await meet(peer, said), [`${other}${bytes(`${said}\n`, other)}`, end]);
        // What happens to the next message may be told before this one's reply is in slices.
        const next = end === "eof" && !fault.includes("cut") ? ["error=not this @3"] : [];
        const all = ["error=not this @1", ...toldOfSecond, ...next];
        assertEquals(server.told.toSorted(), all.toSorted());
      }
    });
  }

  it(`stall over ${name}: nothing more, and it stays open`, async () => {
    for (const [fault, bytes] of [["stall", ""], ["stall=3", "hel"]] as const) {
      await using server = await misbehave(fault, { transport: transport() });
      using peer = await server.dial();
      await peer.say("hello\nnext\n");
      await peer.conn.closeWrite(); // even so
      await peer.hear(bytes.length);
      while (server.told.length === 0) await sleep(1);
      const reading = peer.read();
      assert(await isPending(reading, 30), `${fault}: it did not stay open`);
      assertEquals([peer.heard, server.told], [bytes, [`${fault} @1`]]);
      await server.server.shutdown(); // ends the stall
      assertEquals(await reading, "eof");
    }
  });

  it(`deaf over ${name}: what comes after is not read, be it in one piece with it`, async () => {
    await using server = await misbehave("deaf@2", { transport: transport(), grace: 0 });
    using peer = await server.dial();
    await peer.say("one\ntwo\nthree\n");
    assertEquals(await peer.hear(8), "one\ntwo\n");
    const flooding = flood(peer.conn);
    assert(await isPending(peer.read(), 30));
    assertEquals([server.server.messages, server.told], [2, ["deaf @2"]]);
    assertLess(server.server.bytes, 100);
    await server.server.shutdown();
    await flooding;
  });

  it(`hold over ${name}: the end comes later, and nothing else does`, async () => {
    for (const faults of ["hold=60ms", Faults.read("drop@9", { orders: true })]) {
      await using server = await misbehave(faults, { transport: transport() });
      using peer = await server.dial();
      const message = typeof faults === "string" ? "hello" : "!hold=60ms";
      await peer.say(`${message}\n`);
      await peer.conn.closeWrite();
      const since = performance.now();
      await peer.hear(message.length + 1);
      assertEquals(await peer.rest(), [`${message}\n`, "eof"]);
      assert(performance.now() - since >= 59, `${performance.now() - since} ms`);
      assertEquals(server.told, ["hold=60ms"]);
    }
  });

  it(`refuse over ${name}: @ counts connections`, async () => {
    await using server = await misbehave("refuse@2", { transport: transport() });
    const met: [string, End][] = [];
    for (let round = 0; round < 3; round++) {
      using peer = await server.dial();
      if (round !== 1) await peer.say("hello\n");
      if (round !== 1) await peer.conn.closeWrite();
      met.push(await peer.rest());
    }
    assertEquals(met, [["hello\n", "eof"], ["", "eof"], ["hello\n", "eof"]]);
    assertEquals(server.told, ["refuse"]);
  });
}

/** Sends until nobody takes it; ends when the connection does. */
async function flood(conn: Deno.Conn): Promise<void> {
  const much = new Uint8Array(1 << 20);
  try {
    for (;;) await conn.write(much);
  } catch {
    // It is over.
  }
}

describe("over TCP", () => {
  assertMet("TCP", () => TCP, true);

  it("refuse=reset is a reset", async () => {
    await using server = await misbehave("refuse=reset@1..2");
    for (let round = 0; round < 2; round++) {
      const hear = async () => {
        using peer = await server.dial();
        assertEquals(await peer.rest(), ["", "reset"]);
        throw new Deno.errors.ConnectionReset("as it should be");
      };
      await assertRejects(hear, Deno.errors.ConnectionReset); // it may come while it connects
    }
    using three = await server.dial();
    assertEquals(await meet(three, "hello"), ["hello\nnext\n", "eof"]);
  });

  it("a listener that is closed resets those who wait, and accepts nobody any more", async () => {
    const listener = await SocketListener.open("127.0.0.1", 0);
    using first = await TCP.connect(listener.addr);
    using second = await TCP.connect(listener.addr);
    const accepted = await listener.accept();
    listener.close();
    const end = () => second.read(new Uint8Array(1));
    await assertRejects(end, Deno.errors.ConnectionReset);
    await assertRejects(() => listener.accept(), Deno.errors.BadResource);
    accepted.close();
    assertEquals(await first.read(new Uint8Array(1)), null);
  });

  it("a reset comes after what was to come before it, be that 200,000 bytes", async () => {
    const long: Handler<void> = (_, reply) => reply.write(new Uint8Array(1_000_000).fill(97));
    await using server = await misbehave("reset=200k", { handler: long });
    using peer = await server.dial();
    await peer.say("hello\n");
    const [heard, end] = await peer.rest();
    assertEquals([heard.length, end], [200_000, "reset"]);
  });

  it("corrupt, noise: as many bytes, others; the conversation goes on", async () => {
    await using server = await misbehave("corrupt=2@1,noise=9@2");
    using peer = await server.dial();
    const [heard, end] = await meet(peer, "hello");
    assertMatch(heard, /^[^\n]{5}\n[^]{9}\n$/);
    assertEquals([heard.startsWith("hello"), heard.includes("next"), end], [false, false, "eof"]);
    assertEquals(server.told, ["corrupt=2 @1", "noise=9 @2"]);
  });

  it("a seed makes the same run", async () => {
    const run = async () => {
      const faults = Faults.read("corrupt@40%,noise=6@20%,drop@20%,twice@20%", { seed: 7 });
      await using server = await misbehave(faults);
      const heard: string[] = [];
      for (let round = 0; round < 3; round++) {
        using peer = await server.dial();
        await peer.say("hello, hello, hello\n".repeat(30));
        await peer.conn.closeWrite();
        heard.push((await peer.rest())[0]);
      }
      return [heard, server.told];
    };
    const first = await run();
    assertEquals(await run(), first);
    assertEquals(new Set(first[0]).size, 3); // but each conversation has chances of its own
  });
});

describe("over a Unix socket", requires("unix sockets"), () => {
  const transport = (): Transport => ({
    listen: () => listen({ path: `${Deno.makeTempDirSync({ prefix: "readback-" })}/socket` }),
    connect: (addr) => Deno.connect(addr as Deno.UnixConnectOptions & { transport: "unix" }),
  });
  assertMet("a Unix socket", transport, false);

  it("a reset can't be had", async () => {
    const why = "a Unix socket knows no reset: choose cut, or refuse alone";
    await assertRejects(() => misbehave("reset", { transport: transport() }), RangeError, why);
    await using server = await misbehave(Faults.read("drop@9", { orders: true }), {
      transport: transport(),
    });
    using peer = await server.dial();
    assertEquals(await meet(peer, "!reset"), [`error: cannot use "reset": ${why}\nnext\n`, "eof"]);
  });
});

describe("over TLS", requires("openssl"), () => {
  let certificates: Certificates;
  let transport: Transport;
  before(async () => {
    certificates = await Certificates.make();
    await certificates.sign("server", "IP:127.0.0.1");
    const [cert, key, ca] = await Promise.all(
      ["server.pem", "server.key", "ca.pem"].map((name) =>
        Deno.readTextFile(certificates.path(name))
      ),
    ) as [string, string, string];
    transport = {
      listen: () => listen({ ...HERE, cert, key }),
      connect: (addr) =>
        Deno.connectTls({ hostname: "127.0.0.1", port: portOf(addr), caCerts: [ca] }),
    };
  });
  after(() => certificates[Symbol.asyncDispose]());
  // In Node 22, one in twenty resets over TLS 1.3 is read as end-of-file.
  assertMet("TLS", () => transport, isDeno);
});

describe("order and time", () => {
  it("twenty at once with delay=100ms are all answered after some 100 ms, in order", async () => {
    await using server = await misbehave("delay=100ms");
    using peer = await server.dial();
    const said = Array.from({ length: 20 }, (_, at) => `message ${at}\n`).join("");
    const since = performance.now();
    await peer.say(said);
    assertEquals(await peer.hear(said.length), said);
    const took = performance.now() - since;
    // One after the other they would take 2,000 ms.
    assert(took >= 98 && took < 1000, `${took} ms`);
    assertEquals(server.told.length, 20);
  });

  it("replies stay in the order of their messages, whatever their delays", async () => {
    await using server = await misbehave(Faults.read("delay=0..30ms", { seed: 3 }));
    using peer = await server.dial();
    const said = Array.from({ length: 50 }, (_, at) => `${at}\n`).join("");
    await peer.say(said);
    await peer.conn.closeWrite();
    assertEquals(await peer.rest(), [said, "eof"]);
  });

  it("the delay of a reply that is ready first is not one of those before it", async () => {
    const handler: Handler<void> = async (message, reply) => {
      if (message.text === "first") await sleep(30);
      reply.write(message);
    };
    await using server = await misbehave("delay=1ms@1,delay=1m@2", {
      ...{ handler, concurrency: 2, grace: 0 },
    });
    using peer = await server.dial();
    await peer.say("first\nsecond\n");
    assert(!await isPending(peer.hear("first\n".length), 5000));
    assertEquals(peer.heard, "first\n");
  });

  it("one client's faults never slow another", async () => {
    await using server = await misbehave(Faults.read("drop@999", { orders: true }), { grace: 0 });
    using slow = await server.dial();
    using sliced = await server.dial();
    using stalled = await server.dial();
    using deaf = await server.dial();
    using good = await server.dial();
    await slow.say("!delay=1m\n!rate=1\n");
    await sliced.say(`!slice=1/0 ${"x".repeat(5000)}\n`);
    await stalled.say("!stall\n");
    await deaf.say("!deaf\n");
    const since = performance.now();
    for (let round = 0; round < 20; round++) {
      good.heard = "";
      await good.say("hello\n");
      await good.hear(6);
    }
    assertLess(performance.now() - since, 1000);
  });

  it("a rate is kept, over one reply and over several", async () => {
    await using server = await misbehave("rate=1k");
    using peer = await server.dial();
    const since = performance.now();
    await peer.say(`${"x".repeat(99)}\n${"y".repeat(99)}\n`);
    await peer.hear(200);
    const took = performance.now() - since;
    assert(took >= 198 && took < 1000, `${took} ms for 200 bytes`);
  });

  it("a client with many replies under way is not heard until some are sent", async () => {
    await using server = await misbehave("delay=1m", { grace: 0 });
    using peer = await server.dial();
    const short = latin1("x\n".repeat(1 << 17));
    const flooding = flood(
      new Proxy(peer.conn, {
        get: (conn, name) => name === "write" ? () => conn.write(short) : undefined,
      }),
    );
    while (server.server.messages < 1024) await sleep(1);
    await sleep(50);
    assertEquals(server.server.messages, 1024);
    await server.server.shutdown();
    await flooding;
  });

  it("nor is one with much in them", async () => {
    const long: Handler<void> = (_, reply) => reply.write(new Uint8Array(300_000));
    await using server = await misbehave("delay=1m", { grace: 0, handler: long });
    using peer = await server.dial();
    await peer.say("x\n".repeat(100));
    while (server.server.messages < 4) await sleep(1);
    await sleep(50);
    assertEquals(server.server.messages, 4); // 4 × 300,000 bytes: over a MiB
  });

  it("nothing is sent or waited for once the client has reset the connection", async () => {
    for (const fault of ["delay=1m", "slice=1/1m", "rate=1", "hold=1m", "stall"]) {
      await using server = await misbehave(fault);
      const socket = net.connect(server.port, "127.0.0.1");
      await once(socket, "connect");
      socket.write("hello\n");
      while (server.server.messages === 0) await sleep(1);
      socket.resetAndDestroy();
      while (server.endings.length === 0) await sleep(1);
      assertEquals(server.endings, ["reset"], fault);
    }
  });

  it("nor is a fault told that would come after what could not be sent", async () => {
    await using server = await misbehave("delay=20ms@1,delay=60ms@2,delay=100ms@3,cut=0@3");
    const socket = net.connect(server.port, "127.0.0.1");
    await once(socket, "connect");
    socket.end("one\ntwo\nthree\n"); // and what is said to it after that is met by a reset
    socket.destroySoon();
    while (server.endings.length === 0) await sleep(1);
    assertEquals(server.told.filter((fault) => fault.startsWith("cut")), []);
  });

  it("--idle-timeout means what it means: not a delay, but a stall or a deaf server", async () => {
    await using server = await misbehave(Faults.read("drop@9", { orders: true }), {
      idleTimeout: 60,
    });
    using delayed = await server.dial();
    using stalled = await server.dial();
    using deaf = await server.dial();
    await delayed.say("!delay=200ms\n");
    await stalled.say("!stall\n");
    await deaf.say("!deaf\n");
    assertEquals(await stalled.read(), "eof");
    assertEquals(await delayed.hear(13), "!delay=200ms\n");
    assertEquals(await deaf.rest(), ["!deaf\n", "eof"]);
    assertEquals(server.endings.slice(0, 2), ["idle", "idle"]);
  });

  it("--max-clients means what it means: who is stalled has a place", async () => {
    await using server = await misbehave("stall@1", { maxClients: 1 });
    using stalled = await server.dial();
    await stalled.say("hello\n");
    while (server.told.length === 0) await sleep(1);
    using next = await server.dial();
    await next.say("a\nb\n");
    assert(await isPending(next.read(), 30));
    assertEquals(server.server.messages, 1);
  });

  it("with once, its one reply is met by its fault", async () => {
    for (
      const [fault, met] of [
        ["cut=2", ["he", "eof"]],
        ["reset=2", ["he", "reset"]],
        ["drop", ["", "eof"]],
        ["delay=20ms", ["hello\n", "eof"]],
        ["hold=20ms", ["hello\n", "eof"]],
      ] as const
    ) {
      await using server = await misbehave(fault, { once: true });
      using peer = await server.dial();
      await peer.say("hello\n");
      assertEquals(await peer.rest(), [...met], fault);
      await peer.conn.closeWrite().catch(() => {});
      await server.server.finished;
      assertEquals(server.endings, ["done"]);
    }
  });
});

describe("faults of connections", () => {
  it("@c chooses them, alone and with @", async () => {
    await using server = await misbehave('drop@c2,error="busy, sorry"@2@c1');
    const met: string[] = [];
    for (let round = 0; round < 3; round++) {
      using peer = await server.dial();
      await peer.say("a\nb\n");
      await peer.conn.closeWrite();
      met.push((await peer.rest())[0]);
    }
    assertEquals(met, ["a\nerror: busy, sorry\n", "", "a\nb\n"]);
  });

  for (
    const [faults, end] of [
      ["life=60ms", "eof"],
      ["life=60ms/reset", "reset"],
      ["life=60ms,delay=1m", "eof"], // whatever is still due
      ["life=60ms,hold=1m", "eof"],
    ] as const
  ) {
    it(`${faults}: a connection ends in its time`, async () => {
      await using server = await misbehave(faults);
      using peer = await server.dial();
      const since = performance.now();
      await peer.say("hello\n");
      const [heard, how] = await peer.rest();
      const took = performance.now() - since;
      assertEquals([heard, how], [faults.includes("delay") ? "" : "hello\n", end]);
      assert(took >= 50 && took < 1500, `${took} ms`);
      await peer.conn.closeWrite().catch(() => {});
      while (server.endings.length === 0) await sleep(1);
      assertEquals(server.endings, ["done"]);
      assertEquals(server.told.at(-1), faults.split(",")[0]);
    });
  }

  it("cut: a lifetime that ends later does not reset the connection", async () => {
    await using server = await misbehave("cut=3,life=60ms/reset");
    using peer = await server.dial();
    await peer.say("hello\n");
    assertEquals(await peer.rest(), ["hel", "eof"]);
    await sleep(100);
    assertEquals([server.endings, server.told], [[], ["cut=3 @1"]]);
    await peer.conn.closeWrite();
    while (server.endings.length === 0) await sleep(1);
    assertEquals(server.endings, ["done"]);
  });

  it("read: no more than so many bytes a second are read", async () => {
    await using server = await misbehave("read=1k", { grace: 0 });
    using peer = await server.dial();
    const since = performance.now();
    await peer.say(`${"x".repeat(99)}\n`.repeat(4));
    await peer.hear(400);
    const took = performance.now() - since;
    assert(took >= 340 && took < 1200, `${took} ms`); // the first 50 bytes are read at once
    assertEquals(server.told, ["read=1k"]);
  });

  it("health checks are not counted, and meet none", async () => {
    let accepted = 0;
    await using server = await misbehave("refuse@c1,drop@c2..", {
      onAccept: (conn) =>
        Promise.resolve(++accepted === 1 ? Object.assign(conn, { isHealthCheck: true }) : conn),
    });
    const met: [string, End][] = [];
    for (let round = 0; round < 3; round++) {
      using peer = await server.dial();
      if (round !== 1) await peer.say("hello\n");
      if (round !== 1) await peer.conn.closeWrite();
      met.push(await peer.rest());
    }
    assertEquals(met, [["hello\n", "eof"], ["", "eof"], ["", "eof"]]);
  });

  it("a delay's value is reported, and is the same with the same seed", async () => {
    const run = async () => {
      const values: unknown[] = [];
      await using server = await misbehave(Faults.read("delay=1ms..50ms,drop@3", { seed: 9 }), {
        onFault: (fault, _client, message, value) => values.push([fault, message, value]),
      });
      using peer = await server.dial();
      await peer.say("a\nb\nc\n");
      await peer.conn.closeWrite();
      await peer.rest();
      return values;
    };
    const first = await run() as [string, number, number | undefined][];
    assertEquals(await run(), first);
    assertEquals(first.map(([fault, message]) => `${fault} ${message}`), [
      "delay=1ms..50ms 1",
      "delay=1ms..50ms 2",
      "drop 3",
    ]);
    const [one = 0, two = 0] = first.map(([, , value]) => value);
    assert(Number.isInteger(one) && one >= 1 && one <= 50 && one !== two, `${one}, ${two}`);
  });
});

describe("a stop", () => {
  for (
    const [fault, met] of [
      ["delay=100ms", ["hello\n", "eof"]],
      ["slice=1/20ms", ["hello\n", "eof"]],
      ["stall=2", ["he", "eof"]],
      ["deaf", ["hello\nnext\n", "eof"]], // it hears again
      ["hold=1m", ["hello\nnext\n", "eof"]],
    ] as const
  ) {
    it(`${fault} ends with what is due, before the grace is over`, async () => {
      await using server = await misbehave(fault.includes("deaf") ? `${fault}@1` : fault);
      using peer = await server.dial();
      await peer.say("hello\n");
      if (fault === "deaf" || fault.startsWith("hold")) await peer.hear(6);
      else while (server.told.length === 0) await sleep(1);
      if (fault === "deaf") await peer.say("next\n");
      if (fault.startsWith("hold")) await peer.say("next\n");
      const since = performance.now();
      const stopped = server.server.shutdown();
      assertEquals(await peer.rest(), [...met]);
      await peer.conn.closeWrite().catch(() => {});
      await stopped;
      assertLess(performance.now() - since, 3000); // the grace is 5 s
    });
  }

  it("nothing waits longer than the grace", async () => {
    await using server = await misbehave("delay=1m@1,rate=1@2..", { grace: 50 });
    using peer = await server.dial();
    using other = await server.dial();
    await peer.say("hello\nhello\n");
    await other.say("hello\n");
    while (server.server.messages < 3) await sleep(1);
    const since = performance.now();
    await server.server.shutdown();
    assertLess(performance.now() - since, 2000);
    assertEquals(server.endings, ["cut", "cut"]);
  });
});

describe("with a handler that is async", () => {
  it("one message is handled at a time, though replies are delayed", async () => {
    let busy = 0, most = 0;
    const handler: Handler<void> = async (message, reply) => {
      most = Math.max(most, ++busy);
      await sleep(2);
      reply.write(message);
      busy--;
    };
    await using server = await misbehave("delay=30ms", { handler });
    using peer = await server.dial();
    await peer.say("a\nb\nc\nd\n");
    await peer.conn.closeWrite();
    assertEquals(await peer.rest(), ["a\nb\nc\nd\n", "eof"]);
    assertEquals(most, 1);
  });

  it("one that fails ends the conversation, after the replies before", async () => {
    const handler: Handler<void> = async (message, reply) => {
      await sleep(1);
      if (message.text === "bad") throw new Error("no");
      reply.write(message);
    };
    const errors: string[] = [];
    await using server = await misbehave("delay=30ms@1,twice@1", {
      handler,
      concurrency: 9,
      onError: ({ message }) => errors.push(message),
    });
    using peer = await server.dial();
    await peer.say("good\nbad\nlate\n");
    assertEquals(await peer.rest(), ["good\ngood\n", "eof"]);
    assertEquals(errors, ["cannot answer: no"]);
  });

  it("one that never settles does not keep the server from stopping", async () => {
    const handler: Handler<void> = () => new Promise(() => {});
    await using server = await misbehave("twice", { handler, grace: 20 });
    using peer = await server.dial();
    await peer.say("hello\n");
    while (server.server.messages === 0) await sleep(1);
    await server.server.shutdown();
    assertEquals(server.endings, ["cut"]);
  });
});

describe("serve", () => {
  it("says what is wrong with faults, and opens nothing", () => {
    assertThrows(() => serve(echo, { faults: "dorp" }), RangeError, 'there is no fault "dorp"');
    assertThrows(
      () => serve(echo, { faults: "reset" }),
      RangeError,
      "for a reset, pass listeners that `listen` opens with `resets: true`",
    );
  });

  it("goes on where onFault throws", async () => {
    const errors: string[] = [];
    await using server = await misbehave("twice", {
      onFault: () => {
        throw new Error("mine");
      },
      onError: ({ message }) => errors.push(message),
    });
    using peer = await server.dial();
    assertEquals(await meet(peer, "hello"), ["hello\nhello\nnext\nnext\n", "eof"]);
    assertEquals(errors, ["cannot answer: mine", "cannot answer: mine"]);
  });

  it("frames what is sent instead of a reply as a framing of one's own does", async () => {
    const framing = {
      read: ([length = 0]: Uint8Array) => ({ start: 1, end: 1 + length }),
      write: ({ length }: Uint8Array) => ({ before: Uint8Array.of(length) }),
    };
    await using server = await misbehave("twice@1,error=no@2,cut=3@3", { framing });
    using peer = await server.dial();
    await peer.say("\x05hello\x03you\x04last");
    assertEquals(await peer.rest(), ["\x05hello\x05hello\x09error: no\x04la", "eof"]);
  });

  it("a handler that takes longer than handlerTimeout ends the conversation as ever", async () => {
    const handler: Handler<void> = () => new Promise(() => {});
    const errors: string[] = [];
    await using server = await misbehave("twice", {
      ...{ handler, handlerTimeout: 20, onError: ({ message }) => errors.push(message) },
    });
    using peer = await server.dial();
    await peer.say("hello\n");
    assertEquals(await peer.rest(), ["", "eof"]);
    assertEquals(errors, ["cannot answer: the handler took longer than 0.02s"]);
  });

  it("a message that is too long is refused as ever", async () => {
    await using server = await misbehave("twice,delay=10ms", { maxMessage: 5 });
    using peer = await server.dial();
    await peer.say("hello\nhello, you\n");
    const told = "error: message longer than 5 bytes\n";
    assertEquals(await peer.rest(), [`hello\nhello\n${told}`, "eof"]);
  });

  it("what is no reply goes between replies, and not after a stall", async () => {
    const handler: Handler<void> = (message, reply, client) => {
      reply.write(message);
      client.write("(pushed)");
    };
    await using server = await misbehave("slice=1@1,stall=3@2", { handler });
    using peer = await server.dial();
    await peer.say("hello\n");
    assertMatch(await peer.hear(14), /^(\(pushed\))?hello\n(\(pushed\))?$/);
    await peer.say("next\n");
    while (server.told.length < 2) await sleep(1);
    await peer.say("more\n");
    while (server.server.messages < 3) await sleep(1);
    assertMatch(await peer.hear(14), /^(\(pushed\))?hello\n(\(pushed\))?(nex)?(\(pushed\))?$/);
  });
});
