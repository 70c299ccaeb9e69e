/** The harness's network: what passes through it, when, and how it fails; both ends are in this process. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { once } from "node:events";
import net from "node:net";
import { Proxy, type ProxyFaults } from "../../lib/testing/proxy.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { isPending, sleep } from "../../lib/wait.ts";

/** How one end of a connection sees the other's end. */
type End = "eof" | "reset" | "open";

/** One end of a connection: it keeps all that comes. */
class Peer {
  received = "";
  #end: End = "open";
  #news = Promise.withResolvers<void>();

  constructor(readonly socket: net.Socket, reads = true) {
    socket.on("error", () => this.#ends("reset"));
    socket.on("end", () => this.#ends("eof"));
    if (!reads) return;
    socket.on("data", (bytes: Uint8Array) => {
      this.received += text(bytes);
      this.#tell();
    });
  }

  static async connect(port: number, reads = true): Promise<Peer> {
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const peer = new Peer(socket, reads);
    await Promise.race([once(socket, "connect"), peer.ends()]);
    return peer;
  }

  send(data: string): void {
    this.socket.write(latin1(data));
  }

  /** Waits until so many bytes have come. */
  async gets(count: number): Promise<string> {
    while (this.received.length < count) {
      assertEquals(this.#end, "open", `after ${JSON.stringify(this.received)}`);
      await this.#news.promise;
    }
    return this.received;
  }

  /** Waits for the other end's end; returns all that came before it, and how it ended. */
  async ends(): Promise<[string, End]> {
    while (this.#end === "open") await this.#news.promise;
    return [this.received, this.#end];
  }

  #ends(end: End): void {
    if (this.#end === "open") this.#end = end;
    this.#tell();
  }

  #tell(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }
}

/** A proxy with a server behind it whose connections a test has in its hands. */
class Network implements AsyncDisposable {
  readonly #peers: Peer[] = [];
  readonly #accepted: Peer[] = [];
  #waits: ((peer: Peer) => void) | undefined;

  private constructor(readonly server: net.Server, readonly proxy: Proxy, readonly reads: boolean) {
    server.on("connection", (socket) => {
      const peer = new Peer(socket, this.reads);
      this.#peers.push(peer);
      if (this.#waits) this.#waits(peer);
      else this.#accepted.push(peer);
      this.#waits = undefined;
    });
  }

  static async start(faults: ProxyFaults = {}, reads = true): Promise<Network> {
    const server = net.createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    return new Network(server, await Proxy.start({ port }, faults), reads);
  }

  async connect(): Promise<Peer> {
    const peer = await Peer.connect(this.proxy.port, this.reads);
    this.#peers.push(peer);
    return peer;
  }

  /** The server's end of the next connection. */
  accept(): Promise<Peer> {
    const peer = this.#accepted.shift();
    return peer ? Promise.resolve(peer) : new Promise((resolve) => this.#waits = resolve);
  }

  /** Both ends of a new connection. */
  async pair(): Promise<[client: Peer, server: Peer]> {
    return [await this.connect(), await this.accept()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    for (const { socket } of this.#peers) socket.destroy();
    this.server.close();
    await Promise.all(this.#peers.map(({ socket }) => socket.closed || once(socket, "close")));
    await once(this.server, "close").catch(() => {});
  }
}

/** The same faults on the way from one end to the other, whichever of the two it is. */
const WAYS = ["up", "down"] as const;

/** The end that sends on that way, and the one that receives. */
async function ends(network: Network, way: typeof WAYS[number]): Promise<[from: Peer, to: Peer]> {
  const [client, server] = await network.pair();
  return way === "up" ? [client, server] : [server, client];
}

describe("without faults", () => {
  it("bytes pass both ways at once, unchanged, and so does each half-close", async () => {
    await using network = await Network.start();
    const [client, server] = await network.pair();
    const [one = "", two = ""] = [1, 2].map((seed) =>
      text(Uint8Array.from({ length: 9973 }, (_, at) => (at * at * 31 + at + seed) % 253))
        .repeat(300)
    );
    client.send(one);
    server.send(two);
    server.socket.end();
    assertEquals(await client.ends(), [two, "eof"]);
    client.send("more");
    client.socket.end();
    assertEquals(await server.ends(), [`${one}more`, "eof"]);
  });

  for (const way of WAYS) {
    it(`a reset passes ${way}`, async () => {
      await using network = await Network.start();
      const [from, to] = await ends(network, way);
      from.send("a");
      await to.gets(1);
      from.socket.resetAndDestroy();
      assertEquals(await to.ends(), ["a", "reset"]);
    });

    it(`what nobody takes is not taken ${way}`, async () => {
      await using network = await Network.start({}, false);
      const [from] = await ends(network, way);
      const piece = new Uint8Array(1 << 20);
      let sent = 0;
      const send = () => from.socket.write(piece, (error) => error || (sent++, send()));
      send();
      for (let before = -1; before !== sent;) {
        before = sent;
        await sleep(200);
      }
      assert(sent < 64, `${sent} MiB`); // of the system's buffers: without back-pressure it is endless
    });
  }

  it("a name is a target too", async () => {
    await using network = await Network.start();
    const { port } = network.server.address() as net.AddressInfo;
    await using proxy = await Proxy.start({ hostname: "localhost", port });
    const client = await Peer.connect(proxy.port);
    client.send("hello");
    assertEquals(await (await network.accept()).gets(5), "hello");
    client.socket.destroy();
  });

  it("a server that is not there resets the client", async () => {
    await using proxy = await Proxy.start({ port: 1 });
    const client = await Peer.connect(proxy.port);
    assertEquals(await client.ends(), ["", "reset"]);
  });
});

describe("each fault, on either way", () => {
  for (const way of WAYS) {
    it(`delay ${way}: bytes and end-of-file come later, one behind the other`, async () => {
      await using network = await Network.start({ [way]: "delay=100ms" });
      const [from, to] = await ends(network, way);
      const since = performance.now();
      for (let round = 0; round < 5; round++) {
        from.send("hello");
        await sleep(10);
      }
      from.socket.end();
      await to.gets(5);
      const first = performance.now() - since;
      assertEquals(await to.ends(), ["hello".repeat(5), "eof"]);
      const last = performance.now() - since;
      assert(first >= 98 && last >= 148 && last < 450, `${first} ms, ${last} ms`);
    });

    it(`rate ${way}: a steady stream`, async () => {
      await using network = await Network.start({ [way]: "rate=10k" });
      const [from, to] = await ends(network, way);
      const since = performance.now();
      from.send("x".repeat(5000));
      await to.gets(2000);
      const begin = performance.now() - since;
      await to.gets(5000);
      const all = performance.now() - since;
      assert(begin < 450 && all >= 498 && all < 900, `${begin} ms, ${all} ms`);
    });

    it(`slice ${way}: in pieces, with pauses`, async () => {
      await using network = await Network.start({ [way]: "slice=2/20ms" });
      const [from, to] = await ends(network, way);
      const pieces: string[] = [];
      to.socket.on("data", (bytes: Uint8Array) => pieces.push(text(bytes)));
      from.send("abcdefg");
      await to.gets(7);
      assertEquals(pieces, ["ab", "cd", "ef", "g"]);
    });

    for (const [fault, end] of [["cut=3", "eof"], ["reset=3", "reset"]] as const) {
      it(`${fault} ${way}: both ends see it, after three bytes of any pieces`, async () => {
        await using network = await Network.start({ [way]: fault });
        const [from, to] = await ends(network, way);
        from.send("ab");
        await to.gets(2);
        from.send("cdef");
        assertEquals(await to.ends(), ["abc", end]);
        assertEquals(await from.ends(), ["", end]);
      });
    }

    it(`stall ${way}: nothing more, not even end-of-file; the other way goes on`, async () => {
      await using network = await Network.start({ [way]: "stall=3" });
      const [from, to] = await ends(network, way);
      from.send("abcdef");
      from.socket.end();
      await to.gets(3);
      to.send("back");
      assertEquals(await from.gets(4), "back");
      assert(await isPending(to.gets(4), 50));
      assert(await isPending(to.ends(), 50));
      network.proxy.cut();
      assertEquals((await to.ends())[0], "abc");
    });

    it(`hold ${way}: end-of-file comes later, and bytes do not`, async () => {
      await using network = await Network.start({ [way]: "hold=80ms" });
      const [from, to] = await ends(network, way);
      const since = performance.now();
      from.send("hello");
      from.socket.end();
      await to.gets(5);
      assert(await isPending(to.ends(), 20));
      assertEquals(await to.ends(), ["hello", "eof"]);
      assert(performance.now() - since >= 79);
    });
  }

  it("a rate with slices that take longer than a timer waits does not send all at once", async () => {
    await using network = await Network.start({ down: "slice=10M,rate=1" });
    const [client, server] = await network.pair();
    server.send("x".repeat(1000));
    await client.gets(1);
    assert(client.received.length < 10);
  });

  it("read: no more than so many bytes a second are read, and the rest is not taken", async () => {
    await using network = await Network.start({ down: "read=1k" });
    const [client, server] = await network.pair();
    const since = performance.now();
    client.send("x".repeat(300));
    await server.gets(300);
    const took = performance.now() - since;
    assert(took >= 240 && took < 900, `${took} ms`); // the first 50 are read at once
  });

  it("reset: all bytes before it arrive, though the client reads them late", async () => {
    await using network = await Network.start({ down: "reset=400000" }, false);
    const [client, server] = await network.pair();
    server.send("x".repeat(500_000));
    await sleep(100);
    let received = 0;
    client.socket.on("data", ({ length }: Uint8Array) => received += length);
    assertEquals((await client.ends())[1], "reset");
    assertEquals(received, 400_000);
  });

  it("deaf: nothing of the client is read", async () => {
    await using network = await Network.start({ down: "deaf" });
    const [client, server] = await network.pair();
    client.send("hello");
    server.send("back");
    assertEquals(await client.gets(4), "back");
    assert(await isPending(server.gets(1), 50));
  });

  it("life: the connection ends, or is reset, in its time", async () => {
    for (const [fault, end] of [["life=60ms", "eof"], ["life=60ms/reset", "reset"]] as const) {
      await using network = await Network.start({ down: fault });
      const since = performance.now();
      const [client, server] = await network.pair();
      client.send("hello");
      assertEquals([await client.ends(), await server.ends()], [["", end], ["hello", end]]);
      const took = performance.now() - since;
      assert(took >= 59 && took < 500, `${fault}: ${took} ms`);
    }
  });

  it("refuse, by the number of the connection", async () => {
    await using network = await Network.start({ down: "refuse@c1,refuse=reset@2" });
    assertEquals(await (await network.connect()).ends(), ["", "eof"]);
    assertEquals(await (await network.connect()).ends(), ["", "reset"]);
    const [client, server] = await network.pair();
    client.send("hello");
    assertEquals(await server.gets(5), "hello");
  });

  it("@ and @c choose connections", async () => {
    await using network = await Network.start({ down: "cut=1@2", up: "reset=1@c1" });
    const [first, itsServer] = await network.pair();
    first.send("ab");
    assertEquals(await itsServer.ends(), ["a", "reset"]);
    const [second, server] = await network.pair();
    second.send("ab");
    await server.gets(2);
    server.send("cd");
    assertEquals(await second.ends(), ["c", "eof"]);
  });

  it("the same seed draws the same connections", async () => {
    const chosen = async () => {
      await using network = await Network.start({ down: "refuse@c50%", seed: 5 });
      const refused: boolean[] = [];
      for (let round = 0; round < 10; round++) {
        const client = await network.connect();
        refused.push(
          await Promise.race([client.ends().then(() => true), network.accept().then(() => false)]),
        );
      }
      return refused;
    };
    const first = await chosen();
    assertEquals(await chosen(), first);
    assertEquals(new Set(first).size, 2);
  });
});

describe("faults that change", () => {
  it("affect what is sent from then on, on connections that are open", async () => {
    await using network = await Network.start();
    const [client, server] = await network.pair();
    server.send("a");
    await client.gets(1);
    network.proxy.faults = { down: "cut=2" }; // counts from here
    assertEquals(network.proxy.faults, { down: "cut=2" });
    server.send("bcd");
    assertEquals(await client.ends(), ["abc", "eof"]);
  });

  it("end the wait before a reset, and the reset", async () => {
    await using network = await Network.start({ down: "reset=200k" });
    const [client, server] = await network.pair();
    server.send("x".repeat(200_000));
    await client.gets(200_000); // the reset comes 200 ms later
    network.proxy.faults = {};
    server.socket.end("more");
    assertEquals(await client.ends(), [`${"x".repeat(200_000)}more`, "eof"]);
  });

  it("end a connection's lifetime, and begin another", async () => {
    await using network = await Network.start({ down: "life=300ms/reset" });
    const [client, server] = await network.pair();
    network.proxy.faults = {};
    assert(await isPending(client.ends(), 400));
    network.proxy.faults = { down: "life=20ms" };
    assertEquals(await client.ends(), ["", "eof"]);
    assertEquals(await server.ends(), ["", "eof"]);
  });

  for (const fault of ["stall=1", "rate=10", "slice=1/1m", "delay=1m", "hold=1m"]) {
    it(`release what ${fault} keeps back`, async () => {
      await using network = await Network.start({ down: fault });
      const [client, server] = await network.pair();
      server.send("hello");
      server.socket.end();
      await (fault === "delay=1m" ? sleep(50) : client.gets(1));
      network.proxy.faults = {};
      assertEquals(await client.ends(), ["hello", "eof"]);
    });
  }

  it("make the next connection the first again", async () => {
    await using network = await Network.start();
    const [old, itsServer] = await network.pair();
    network.proxy.faults = { down: "refuse@c1..2,cut=1@c3" };
    assertEquals(await (await network.connect()).ends(), ["", "eof"]);
    assertEquals(await (await network.connect()).ends(), ["", "eof"]);
    itsServer.send("hello");
    assertEquals(await old.gets(5), "hello"); // it has no number
    const [third, server] = await network.pair();
    server.send("hello");
    assertEquals(await third.ends(), ["h", "eof"]);
  });

  it("that can't be read leave everything as it is, and say what is wrong", async () => {
    await using network = await Network.start({ up: "delay=1ms" });
    const wrong = () => network.proxy.faults = { down: "drop" };
    assertThrows(wrong, RangeError, 'cannot use "drop": a relay has no messages: choose among');
    assertEquals(network.proxy.faults, { up: "delay=1ms" });
    const start = (faults: ProxyFaults) =>
      assertRejects(() => Proxy.start({ port: 1 }, faults), RangeError);
    await start({ up: "refuse" });
    await start({ down: "latency=1s" });
    await start({ down: "" });
  });
});

describe("off and on", () => {
  it("refuses and cuts connections, and is back on the same port", async () => {
    await using network = await Network.start();
    const { proxy } = network;
    const { port } = proxy;
    const [client, server] = await network.pair();
    await proxy.off();
    assertEquals([(await client.ends())[0], (await server.ends())[0]], ["", ""]);
    await assertRejects(() => Deno.connect({ port }), Deno.errors.ConnectionRefused);
    await proxy.off(); // as it is
    await Promise.all([proxy.on(), proxy.on()]);
    await proxy.on();
    assertEquals(proxy.port, port);
    const [again, itsServer] = await network.pair();
    again.send("hello");
    assertEquals(await itsServer.gets(5), "hello");
  });

  it("cut and reset end what is open, and accept what comes next", async () => {
    await using network = await Network.start({ up: "stall=1", down: "delay=1m" });
    for (const how of ["cut", "reset"] as const) {
      const [client, server] = await network.pair();
      client.send("ab");
      await server.gets(1);
      network.proxy[how]();
      assertEquals((await server.ends())[1], how === "reset" ? "reset" : "eof");
      assertEquals((await client.ends())[1], how === "reset" ? "reset" : "eof");
    }
  });
});
