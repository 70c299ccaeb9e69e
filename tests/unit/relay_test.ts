/** A relay in this process: what passes, how connections end, its limits, and its stop. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { once } from "node:events";
import net from "node:net";
import { listen, relay, type RelayOptions, type RelayTarget, type Server } from "../../lib/mod.ts";
import { readTarget } from "../../lib/server/relay.ts";
import { requires } from "../../lib/testing/requires.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { isPending, sleep } from "../../lib/wait.ts";
import { Certificates } from "../support/certificates.ts";

type End = "eof" | "reset";

/** One end of a connection, in the test's hands. */
class Peer {
  received = "";
  end: End | undefined;
  #news = Promise.withResolvers<void>();

  constructor(readonly socket: net.Socket) {
    socket.on("data", (bytes: Uint8Array) => this.#tell(() => this.received += text(bytes)));
    socket.on("end", () => this.#tell(() => this.end ??= "eof"));
    socket.on("error", () => this.#tell(() => this.end ??= "reset"));
  }

  send(data: string): void {
    this.socket.write(latin1(data));
  }

  async gets(count: number): Promise<string> {
    while (this.received.length < count && this.end === undefined) await this.#news.promise;
    return this.received;
  }

  async ends(): Promise<[string, End]> {
    while (this.end === undefined) await this.#news.promise;
    return [this.received, this.end];
  }

  #tell(change: () => void): void {
    change();
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }
}

/** A relay, the server behind it, and what the relay reports. */
class Setting implements AsyncDisposable {
  readonly log: string[] = [];
  readonly #sockets = new Set<net.Socket>();
  readonly #accepted: Peer[] = [];
  #accepts = Promise.withResolvers<void>();

  private constructor(readonly behind: net.Server) {
    behind.on("connection", (socket) => {
      this.#accepted.push(new Peer(this.#keep(socket)));
      this.#accepts.resolve();
      this.#accepts = Promise.withResolvers();
    });
  }

  relay!: Server;

  static async start(options: RelayOptions = {}, where: { path?: string } = {}): Promise<Setting> {
    const behind = net.createServer({ allowHalfOpen: true });
    behind.listen(where.path === undefined ? { port: 0, host: "127.0.0.1" } : where);
    await once(behind, "listening");
    const setting = new Setting(behind);
    const { log } = setting;
    const { port } = behind.address() as net.AddressInfo;
    setting.relay = relay(where.path === undefined ? { port } : where as RelayTarget, {
      listeners: options.listeners ?? await listen({ resets: true }),
      onOpen: () => void log.push("open"),
      onEof: () => log.push("eof"),
      onClose: (client, ending) =>
        log.push(
          `${ending} ${client.messages} ${Reflect.get(client, "bytes")} ${
            Reflect.get(client, "replied")
          }`,
        ),
      onRefused: (_, reason) => log.push(`refused: ${reason}`),
      onFault: (fault, _client, message, value) =>
        log.push([fault, message, value].filter((one) => one !== undefined).join(" ")),
      onError: ({ message }) => log.push(`error: ${message}`),
      ...options,
    });
    return setting;
  }

  async connect(): Promise<Peer> {
    const peer = new Peer(
      this.#keep(net.connect({ port: this.relay.port, host: "127.0.0.1", allowHalfOpen: true })),
    );
    await Promise.race([once(peer.socket, "connect"), peer.ends()]);
    return peer;
  }

  async accept(): Promise<Peer> {
    while (this.#accepted.length === 0) await this.#accepts.promise;
    return this.#accepted.shift() as Peer;
  }

  async pair(): Promise<[client: Peer, server: Peer]> {
    return [await this.connect(), await this.accept()];
  }

  /** Waits until the relay has reported so many things. */
  async reported(count: number): Promise<string[]> {
    while (this.log.length < count) await sleep(1);
    return this.log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.relay.shutdown();
    this.behind.close();
    await Promise.all([...this.#sockets].map((socket) => socket.closed || once(socket, "close")));
  }

  #keep(socket: net.Socket): net.Socket {
    this.#sockets.add(socket);
    return socket;
  }
}

describe("a relay", () => {
  it("passes bytes, half-closes and the end of both, and reports them", async () => {
    await using setting = await Setting.start();
    const [client, server] = await setting.pair();
    client.send("hello");
    client.socket.end();
    assertEquals(await server.ends(), ["hello", "eof"]);
    server.send("goodbye");
    server.socket.end();
    assertEquals(await client.ends(), ["goodbye", "eof"]);
    assertEquals(await setting.reported(3), ["open", "eof", "left 0 5 7"]);
  });

  it("says of a server that ends first that it is done", async () => {
    await using setting = await Setting.start();
    const [client, server] = await setting.pair();
    server.socket.end("bye");
    assertEquals(await client.ends(), ["bye", "eof"]);
    client.socket.end();
    assertEquals((await setting.reported(3)).at(-1), "done 0 0 3");
  });

  for (const from of ["client", "server"] as const) {
    it(`passes the reset of a ${from}`, async () => {
      await using setting = await Setting.start();
      const [client, server] = await setting.pair();
      const [one, other] = from === "client" ? [client, server] : [server, client];
      one.send("a");
      await other.gets(1);
      one.socket.resetAndDestroy();
      assertEquals(await other.ends(), ["a", "reset"]);
      assertEquals((await setting.reported(2)).at(-1)?.split(" ")[0], "reset");
    });
  }

  it("resets clients while its server refuses them, says so once, and goes on", async () => {
    await using setting = await Setting.start();
    const [first, itsServer] = await setting.pair();
    const { port } = setting.behind.address() as net.AddressInfo;
    const why =
      `cannot connect to 127.0.0.1:${port}: connection refused: start a server, or check --to`;
    setting.behind.close(); // nobody new
    for (let round = 0; round < 3; round++) {
      assertEquals(await (await setting.connect()).ends(), ["", "reset"]);
    }
    assertEquals(await setting.reported(5), [
      "open",
      `refused: ${why}`,
      `error: ${why}`,
      `refused: ${why}`,
      `refused: ${why}`,
    ]);
    first.send("still");
    assertEquals(await itsServer.gets(5), "still");
    setting.behind.listen(port, "127.0.0.1");
    await once(setting.behind, "listening");
    const [again, server] = await setting.pair();
    again.send("back");
    assertEquals(await server.gets(4), "back");
    setting.behind.close();
    assertEquals(await (await setting.connect()).ends(), ["", "reset"]); // another outage
    assertEquals((await setting.reported(8)).filter((line) => line.startsWith("error")).length, 2);
    setting.behind.listen(port, "127.0.0.1");
  });

  it("closes clients of a name that does not resolve", async () => {
    const errors: string[] = [];
    await using nowhere = relay({ hostname: "no-such-host.invalid", port: 1 }, {
      onError: ({ message }) => errors.push(message),
    });
    using client = await Deno.connect({ port: nowhere.port });
    assertEquals(await client.read(new Uint8Array(1)), null);
    assertEquals(errors, ["cannot connect to no-such-host.invalid:1: no such name: check --to"]);
  });

  it("takes no more clients than it may, nor connections to its server", async () => {
    await using setting = await Setting.start({ maxClients: 1 });
    const [first, itsServer] = await setting.pair();
    const second = await setting.connect();
    second.send("second");
    const next = setting.accept();
    assert(await isPending(next, 50));
    first.socket.end();
    itsServer.socket.end();
    assertEquals(await (await next).gets(6), "second");
  });

  it("cuts a client when no byte has passed for idleTimeout; one that is delayed is not idle", async () => {
    await using setting = await Setting.start({ idleTimeout: 150, faults: "delay=300ms" });
    const [idle] = await setting.pair();
    const [client, server] = await setting.pair();
    client.send("x");
    await server.gets(1);
    server.send("late");
    assertEquals((await idle.ends())[0], "");
    assertEquals(await client.gets(4), "late");
    assertEquals(setting.log.filter((line) => /^idle|^delay/.test(line)), [
      "delay=300ms 300",
      "idle 0 0 0",
    ]);
  });

  it("reports its faults, and does not connect for a client that it refuses", async () => {
    const faults = "refuse@1,cut=3@2,up:rate=1k@2,delay=1ms..9ms@3";
    await using setting = await Setting.start({ faults, seed: 1 });
    assertEquals(await (await setting.connect()).ends(), ["", "eof"]);
    const [client, server] = await setting.pair();
    client.send("hi");
    await server.gets(2);
    server.send("hello");
    assertEquals(await client.ends(), ["hel", "eof"]);
    client.socket.end();
    server.socket.end();
    assertEquals(await setting.reported(6), [
      "refuse",
      "open",
      "up:rate=1k",
      "cut=3",
      "eof",
      "done 0 2 3",
    ]);
    const [third, itsServer] = await setting.pair();
    itsServer.send("a");
    await third.gets(1);
    assert(/^delay=1ms\.\.9ms [1-9]$/.test(setting.log.at(-1) ?? ""), `${setting.log}`);
  });
});

describe("over Unix sockets", requires("unix sockets"), () => {
  it("relays from one to another", async () => {
    const folder = await Deno.makeTempDir({ prefix: "readback-" });
    const path = `${folder}/front`;
    await using setting = await Setting.start({ listeners: await listen({ path }) }, {
      path: `${folder}/behind`,
    });
    using client = await Deno.connect({ transport: "unix", path });
    await client.write(latin1("hello"));
    const server = await setting.accept();
    assertEquals(await server.gets(5), "hello");
    server.socket.end("bye");
    const buffer = new Uint8Array(10);
    assertEquals(text(buffer.subarray(0, await client.read(buffer) ?? 0)), "bye");
  });

  it("closes the server's, which can't be reset, when the client resets its connection", async () => {
    const folder = await Deno.makeTempDir({ prefix: "readback-" });
    await using setting = await Setting.start({}, { path: `${folder}/behind` });
    const [client, server] = await setting.pair();
    client.send("a");
    await server.gets(1);
    client.socket.resetAndDestroy();
    assertEquals(await server.ends(), ["a", "eof"]);
    assertEquals((await setting.reported(2))[1], "reset 0 1 0");
  });
});

describe("over TLS", requires("openssl"), () => {
  it("the client's side is TLS, the server's is not", async () => {
    await using made = await Certificates.make();
    await made.sign("server", "IP:127.0.0.1");
    const [cert, key, ca] = await Promise.all(
      ["server.pem", "server.key", "ca.pem"].map((name) => Deno.readTextFile(made.path(name))),
    ) as [string, string, string];
    await using setting = await Setting.start({
      listeners: await listen({ resets: true, cert, key }),
    });
    using client = await Deno.connectTls({
      hostname: "127.0.0.1",
      port: setting.relay.port,
      caCerts: [ca],
    });
    await client.write(latin1("hello"));
    const server = await setting.accept();
    assertEquals(await server.gets(5), "hello");
    const much = "x".repeat(1_000_000);
    server.send(much);
    server.socket.end();
    let received = 0;
    const buffer = new Uint8Array(65536);
    for (let count; (count = await client.read(buffer)) !== null;) received += count;
    assertEquals(received, much.length);
  });
});

describe("a stop", () => {
  it("ends connections at rest at once, with an end-of-file for each side", async () => {
    await using setting = await Setting.start();
    const [client, server] = await setting.pair();
    client.send("question");
    await server.gets(8);
    server.send("answer");
    await client.gets(6);
    const since = performance.now();
    const stopped = setting.relay.shutdown();
    assertEquals(await server.ends(), ["question", "eof"]);
    server.socket.end(); // as servers do
    assertEquals(await client.ends(), ["answer", "eof"]);
    client.socket.end();
    await stopped;
    assert(performance.now() - since < 2000); // the grace is 5 s
    assertEquals(setting.log.at(-1), "stopped 0 8 6");
  });

  it("lets a client wait for its server, and accepts no other", async () => {
    await using setting = await Setting.start();
    const [client, server] = await setting.pair();
    client.send("question");
    await server.gets(8);
    const stopped = setting.relay.shutdown();
    await sleep(200);
    await assertRejects(
      () => Deno.connect({ port: setting.relay.port }),
      Deno.errors.ConnectionRefused,
    );
    server.send("answer");
    await server.ends();
    server.socket.end();
    assertEquals(await client.ends(), ["answer", "eof"]);
    client.socket.end();
    await stopped;
  });

  it("cuts what is left after the grace", async () => {
    await using setting = await Setting.start({ grace: 100, faults: "delay=1m" });
    const [client, server] = await setting.pair();
    client.send("question");
    await server.gets(8);
    server.send("answer");
    const since = performance.now();
    await setting.relay.shutdown();
    assert(performance.now() - since < 2000);
    assertEquals((await client.ends())[0], "");
    assertEquals(setting.log.at(-1)?.split(" ")[0], "cut");
  });

  it("leaves no timer of a connection that a fault was ending", async () => {
    await using setting = await Setting.start({ faults: "cut=3" });
    const [client, server] = await setting.pair();
    server.send("hello");
    assertEquals(await client.ends(), ["hel", "eof"]);
    const stopped = setting.relay.shutdown(); // which finds it lingering
    client.socket.end();
    server.socket.end();
    await stopped;
  });

  for (const fault of ["stall=2", "deaf", "hold=1m"]) {
    it(`ends a ${fault}`, async () => {
      await using setting = await Setting.start({ faults: fault });
      const [client, server] = await setting.pair();
      server.send("hello");
      await client.gets(2);
      const since = performance.now();
      const stopped = setting.relay.shutdown();
      await server.ends();
      server.socket.end();
      assertEquals(await client.ends(), [fault === "stall=2" ? "he" : "hello", "eof"]);
      client.socket.end();
      await stopped;
      assert(performance.now() - since < 3000);
    });
  }
});

describe("options", () => {
  it("without one place of the server are wrong, and so are faults of messages", () => {
    const why = "a relay needs the port or the path of its server: give one of them";
    for (const target of [{}, { port: 1, path: "x" }]) {
      assertThrows(() => relay(target), TypeError, why);
    }
    assertThrows(
      () => relay({ port: 0 }),
      RangeError,
      "port must be a whole number from 1 to 65535",
    );
    assertThrows(
      () => relay({ port: 1 }, { faults: "twice" }),
      RangeError,
      'cannot use "twice": a relay has no messages',
    );
    assertThrows(
      () => relay({ path: "x" }, { faults: "up:reset" }),
      RangeError,
      "a Unix socket knows no reset",
    );
  });

  it("--to is a host and its port, or a path", () => {
    assertEquals(readTarget("localhost:6379"), { hostname: "localhost", port: 6379 });
    assertEquals(readTarget("[::1]:5432"), { hostname: "::1", port: 5432 });
    assertEquals(readTarget("./socket"), { path: "./socket" });
    for (const port of [1, 65535]) {
      assertEquals(readTarget(`host:${port}`), { hostname: "host", port });
    }
    for (
      const wrong of ["6379", "host", "host:", "host:0", "host:65536", "::1:80", ":80", "socket"]
    ) {
      assertThrows(() => readTarget(wrong), RangeError, undefined, wrong);
    }
  });
});
