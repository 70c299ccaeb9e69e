/** A trace has every read and write, in the order in which they happened, and how it ended. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  listen,
  type ListenOptions,
  type ServerConn,
  traced,
  type TraceEvent,
} from "../../lib/mod.ts";
import { requires } from "../../lib/testing/requires.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { Certificates } from "../support/certificates.ts";
import { isDeno } from "../support/runtime.ts";

/** Two ends of a connection, of which the accepted one is traced. */
class Pair implements Disposable {
  readonly lines: string[] = [];
  readonly times: number[] = [];
  peer!: Deno.TcpConn;
  conn!: ServerConn;
  #close = () => {};

  static async open(options: ListenOptions = {}): Promise<Pair> {
    const pair = new Pair();
    const [inner] = await listen({ port: 0, ...options });
    assert(inner !== undefined);
    const listener = traced(inner, (event, conn) => {
      assertEquals(conn.remoteAddr, pair.peer.localAddr);
      pair.#tell(event);
    });
    assertEquals(listener.addr, inner.addr);
    pair.#close = () => listener.close();
    assert("port" in listener.addr);
    pair.peer = await Deno.connect({ port: listener.addr.port });
    pair.conn = await listener.accept();
    return pair;
  }

  #tell({ kind, from, data, time }: TraceEvent): void {
    this.lines.push(`${from === "peer" ? ">" : "<"} ${kind} ${text(data)}`.trimEnd());
    this.times.push(time);
  }

  /** Reads once, with room for so many bytes. */
  async read(room = 100): Promise<string | null> {
    const buffer = new Uint8Array(room);
    const count = await this.conn.read(buffer);
    return count === null ? null : text(buffer.subarray(0, count));
  }

  [Symbol.dispose](): void {
    this.#close();
    this.peer[Symbol.dispose]();
  }
}

it("a wrapped connection passes on what it does not change", async () => {
  const called: string[] = [];
  const inner = {
    remoteAddr: { transport: "unix", path: "" },
    localAddr: { transport: "unix", path: "/a" },
    isHealthCheck: true,
    handshake: () => Promise.resolve(called.push("handshake")),
    setNoDelay: () => void called.push("setNoDelay"),
    setKeepAlive: () => void called.push("setKeepAlive"),
    read: () => Promise.resolve(called.push("read")),
    write: () => Promise.resolve(called.push("write")),
    closeWrite: () => Promise.resolve(void called.push("closeWrite")),
    close: () => void called.push("close"),
    reset: () => void called.push("reset"),
  } as const;
  const conn = traced(inner, () => {});
  assertEquals([conn.remoteAddr, conn.localAddr], [inner.remoteAddr, inner.localAddr]);
  assertEquals(conn.isHealthCheck, true);
  conn.setNoDelay?.();
  conn.setKeepAlive?.();
  await conn.handshake?.();
  await conn.read(new Uint8Array(9));
  await conn.write(new Uint8Array(9));
  await conn.closeWrite();
  conn.reset?.();
  conn.close();
  conn[Symbol.dispose]();
  assertEquals(called, [
    ...["setNoDelay", "setKeepAlive", "handshake", "read", "write", "closeWrite"],
    ...["reset", "close", "close"],
  ]);
  const least = { ...inner, handshake: undefined, setNoDelay: undefined, setKeepAlive: undefined };
  const bare = traced({ ...least, reset: undefined } as unknown as ServerConn, () => {});
  bare.setNoDelay?.();
  bare.setKeepAlive?.();
  assertEquals(bare.handshake, undefined);
  bare.reset?.();
  assertEquals(called.slice(9), ["close"]); // it can't be reset
});

describe("a trace", () => {
  it("has each read and write, and the ends in their order", async () => {
    using pair = await Pair.open();
    await pair.peer.write(latin1("hello"));
    assertEquals(await pair.read(3), "hel");
    assertEquals(await pair.read(), "lo");
    await pair.conn.write(latin1("hi\n"));
    await pair.peer.closeWrite();
    assertEquals(await pair.read(), null);
    await pair.conn.closeWrite();
    pair.conn.close();
    assertEquals(pair.lines, [
      "> connected",
      "> data hel",
      "> data lo",
      "< data hi",
      "> half-close",
      "< end",
    ]);
    assertEquals(pair.times, pair.times.toSorted((a, b) => a - b));
  });

  it("has the half-close of this end, and a close that is an end", async () => {
    using one = await Pair.open();
    await one.conn.closeWrite();
    await one.peer.closeWrite();
    assertEquals(await one.read(), null);
    one.conn.close();
    assertEquals(one.lines, ["> connected", "< half-close", "> end"]);
    using other = await Pair.open();
    await other.peer.closeWrite();
    assertEquals(await other.read(), null);
    other.conn.close();
    assertEquals(other.lines, ["> connected", "> half-close", "< end"]);
  });

  it("has a close before the peer's end as a cut", async () => {
    using pair = await Pair.open();
    pair.conn.close();
    assertEquals(pair.lines, ["> connected", "< cut"]);
  });

  it("has a reset by either end, once", async () => {
    using ours = await Pair.open({ resets: true });
    ours.conn.reset?.();
    ours.conn.close();
    assertEquals(ours.lines, ["> connected", "< reset"]);
    await assertRejects(() => ours.peer.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
  });

  it("has a reset by the peer, of a connection that was made", async () => {
    const [listener] = await listen({ resets: true });
    assert(listener && "port" in listener.addr);
    const lines: string[] = [];
    const made = await Deno.connect({ port: listener.addr.port });
    const conn = traced(made, ({ from, kind }) => lines.push(`${from} ${kind}`));
    const accepted = await listener.accept();
    accepted.reset?.();
    await assertRejects(() => conn.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
    await assertRejects(() => conn.write(new Uint8Array(1)), Deno.errors.BrokenPipe);
    conn.close();
    listener.close();
    assertEquals(lines, ["self connected", "peer reset"]);
  });

  it("shows only as much of a write as was taken", async () => {
    using pair = await Pair.open();
    const count = await pair.conn.write(new Uint8Array(64 << 20));
    assert(count < 64 << 20);
    assertEquals(pair.lines[1]?.length, "< data ".length + count);
    pair.conn.close();
  });

  it("has a request before its reply", async () => {
    using pair = await Pair.open();
    const echo = async () => {
      for (const buffer = new Uint8Array(100);;) {
        const count = await pair.peer.read(buffer);
        if (count === null) return;
        await pair.peer.write(buffer.subarray(0, count));
      }
    };
    const echoing = echo();
    for (let at = 0; at < 2000; at++) {
      await Promise.all([pair.read(), pair.conn.write(latin1("x"))]);
    }
    await pair.conn.closeWrite();
    await echoing;
    pair.conn.close();
    const wrong = pair.lines.slice(1, -2).findIndex((line, at) => line[0] !== "<>"[at % 2]);
    assertEquals(wrong, -1);
  });

  it("has the plain text under TLS, and no handshake without", requires("openssl"), async () => {
    await using files = await Certificates.make();
    const [, cert = "", , key = ""] = await files.sign("one", "DNS:localhost");
    const identity = { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key) };
    using pair = await Pair.open(identity);
    const caCerts = [await Deno.readTextFile(files.path("ca.pem"))];
    const [tls] = await Promise.all([
      Deno.startTls(pair.peer, { hostname: "localhost", caCerts }),
      pair.conn.handshake?.(),
    ]);
    await tls.write(latin1("secret"));
    assertEquals(await pair.read(), "secret");
    pair.conn.close();
    tls.close();
    assertEquals(pair.lines, ["> connected", "> data secret", "< cut"]);
    using plain = await Pair.open();
    assertEquals(plain.conn.handshake, undefined);
    plain.conn.reset?.(); // in Deno, this connection can't
    assertEquals(plain.lines, ["> connected", isDeno ? "< cut" : "< reset"]);
  });
});
