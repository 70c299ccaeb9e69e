/** The client's end of a connection: what is held of what was received, and how it ends. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { BufferedConn, MAX_ADDED } from "../../lib/net/buffered_conn.ts";
import { Closed, TimeoutError } from "../../lib/net/errors.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";
import { FramingError } from "../../lib/wire/message.ts";

/** A connection from which these are read, one after the other; after them, nothing comes. */
function open(reads: (string | number | null | Error)[], timeout = 0) {
  const log: string[] = [];
  const rooms: number[] = [];
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  const conn = new BufferedConn({
    async read(into) {
      rooms.push(into.length);
      const next = reads.shift();
      if (next === undefined) return await over.promise;
      if (next instanceof Error) throw next;
      if (next === null) return null;
      const bytes = typeof next === "number" ? new Uint8Array(next).fill(120) : latin1(next);
      into.set(bytes);
      return await Promise.resolve(bytes.length);
    },
    write(bytes) {
      log.push(text(bytes));
      if (bytes[0] === 33) return Promise.reject(new Deno.errors.BrokenPipe());
      return Promise.resolve(Math.min(bytes.length, 2));
    },
    closeWrite: () => Promise.reject(new Error("no")).finally(() => log.push("closeWrite")),
    close: () => {
      log.push("close");
      over.reject(new Deno.errors.Interrupted());
    },
  }, timeout);
  return { conn, log, rooms };
}

const LINE = { framing: "line" } as const;

describe("what is received", () => {
  it("is held until it is consumed, in a buffer that grows while reads fill it", async () => {
    const { conn, rooms } = open(["ab", "c\nd", null]);
    assertEquals([conn.held.length, conn.reads, conn.receivedAt], [0, 0, 0]);
    assert(await conn.more());
    conn.consume(1);
    assert(await conn.more());
    assertEquals([text(conn.held), conn.reads], ["bc\nd", 2]);
    assert(Date.now() - conn.receivedAt < 1000);
    assertEquals(await conn.more(), false);
    assertEquals(text(conn.held), "bc\nd");
    assertEquals(rooms, [4096, 4097, 4100]);
    const sizes = [4096, 8192, 16384, 32768, 65536, 131072, 262144, 262144, 1];
    const full = open([...sizes]);
    full.conn.maxHeld = Infinity;
    for (let read = 0; read < sizes.length; read++) {
      await full.conn.more();
      full.conn.consume(full.conn.held.length);
    }
    assertEquals(full.rooms, sizes.with(-1, 262144));
  });

  it("is read once for all that wait for it", async () => {
    const { conn, rooms } = open(["a", "b"]);
    assertEquals(await Promise.all([conn.more(), conn.more()]), [true, true]);
    assertEquals([text(conn.held), rooms.length], ["a", 1]);
    await conn.more();
    assertEquals(text(conn.held), "ab");
  });

  it("is taken as replies, each a copy", async () => {
    const { conn } = open(["one\r\ntwo\n", "thr", null]);
    const { reply, length } = await conn.receive(LINE);
    assertEquals([text(reply), length], ["one", 5]);
    conn.held.fill(0);
    assertEquals(text(reply), "one");
    assertEquals(conn.take(LINE), null);
    const why = "the server closed the connection in the middle of a reply";
    await assertRejects(() => conn.receive(LINE), Closed, why);
  });

  it("may be longer than the message by 1 MiB, and not by more", async () => {
    const message = latin1("abc");
    const { conn } = open([MAX_ADDED + 3, 1, 1]);
    conn.held = new Uint8Array(MAX_ADDED + 9).subarray(0, 0);
    assertEquals([conn.maxHeld, MAX_ADDED], [1 << 20, 1 << 20]);
    conn.take({ ...LINE, message });
    assertEquals(conn.maxHeld, MAX_ADDED + 3);
    assert(await conn.more());
    assert(await conn.more());
    const why = `a reply is longer than ${MAX_ADDED + 3} bytes`;
    await assertRejects(() => conn.more(), FramingError, why);
  });
});

describe("the end is described", () => {
  for (
    const [received, why] of [
      ["", "the server has closed the connection"],
      ["a", "the server closed the connection in the middle of a reply"],
      ["\x15\x03", "the server uses TLS: add --tls, and --ca FILE if needed"],
      ["\x15\x02", "the server closed the connection in the middle of a reply"],
      ["\x14\x03", "the server closed the connection in the middle of a reply"],
    ] as const
  ) {
    it(JSON.stringify(received), async () => {
      const { conn } = open(received === "" ? [null] : [received, null]);
      while (await conn.more());
      assertEquals([conn.endError() instanceof Closed, conn.endError().message], [true, why]);
    });
  }

  it("by what failed", async () => {
    const reset = open([new Deno.errors.ConnectionReset()]).conn;
    await assertRejects(() => reset.more(), Closed, "the server has reset the connection");
    const tls = open([new Error("received fatal alert: CertificateRequired")]).conn;
    const why = "the server has ended the TLS connection: it requires a client certificate";
    await assertRejects(() => tls.more(), Closed, why);
    const { conn, log } = open([]);
    await assertRejects(() => conn.send(latin1("ab!")), Closed, "the server has disconnected");
    assertEquals(log, ["ab!", "!"]);
  });

  it("by who has closed it here, once", async () => {
    const { conn, log } = open([]);
    const reading = conn.more();
    conn.close(new Error("why"));
    conn.close(new Error("why not"));
    conn.close();
    await assertRejects(() => reading, Error, "why");
    await assertRejects(() => conn.send(latin1("!")), Error, "why");
    assertEquals(log, ["close", "!"]);
    const other = open([]).conn;
    const more = other.more();
    other.close();
    await assertRejects(() => more, Closed, "the connection is closed");
  });
});

describe("what is sent", () => {
  it("is sent to its last byte, and half-closing reports no failure", async () => {
    const { conn, log } = open([]);
    await conn.send(latin1("abcde"));
    await conn.closeWrite();
    assertEquals(log, ["abcde", "cde", "e", "closeWrite"]);
    await conn.send(latin1(""));
    assertEquals(log.length, 4);
  });
});

describe("a deadline", () => {
  it("closes the connection, or calls back, after the time limit of a reply", async () => {
    const { conn, log } = open([], 20);
    const since = performance.now();
    using _deadline = conn.deadline();
    await assertRejects(() => conn.more(), TimeoutError, "no reply within 0.02s");
    assert(performance.now() - since > 10);
    assertEquals(log, ["close"]);
    const late = Promise.withResolvers<Error>();
    const other = open([], 20);
    using _other = other.conn.deadline(undefined, "nothing", late.resolve);
    const error = await late.promise;
    assertEquals([error.message, other.log], ["nothing within 0.02s", []]);
  });

  it("does not count time in which nothing is awaited", async () => {
    const { conn, log } = open([], 10);
    using _deadline = conn.deadline(() => false);
    await sleep(40);
    assertEquals(log, []);
  });
});
