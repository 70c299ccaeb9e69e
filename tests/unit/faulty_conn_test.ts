/** A connection with faults, over one that is in the test's hands: what it does when faults change. */

import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ConnectionFaults, Faults } from "../../lib/faults/faults.ts";
import type { FaultSupport } from "../../lib/faults/grammar.ts";
import { FaultyConn } from "../../lib/faults/faulty_conn.ts";
import type { ServerConn } from "../../lib/net/conn.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { isPending, sleep, turn } from "../../lib/wait.ts";

const SUPPORT: FaultSupport = { transport: "tcp", resets: true, up: "tcp" };

/** Reads the faults of a connection; an empty text is none. */
const faultsOf = (text: string) => {
  const faults = text === "" ? new Faults([]) : Faults.read(text);
  return new ConnectionFaults(faults, SUPPORT, 1).planStream();
};

/** A connection with faults, whose reads and writes last until the test ends them. */
function makeConn(faults: string) {
  const log: string[] = []; // writes, faults and the end
  const writes: PromiseWithResolvers<void>[] = [];
  const reads: PromiseWithResolvers<number>[] = [];
  const rooms: number[] = [];
  const conn = {
    remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
    read(into: Uint8Array) {
      rooms.push(into.length);
      const read = Promise.withResolvers<number>();
      reads.push(read);
      return read.promise;
    },
    async write(bytes: Uint8Array) {
      log.push(`write ${bytes.length}`);
      const write = Promise.withResolvers<void>();
      writes.push(write);
      await write.promise;
      return bytes.length;
    },
    closeWrite: () => Promise.resolve(),
    close() {},
  };
  const faulty = new FaultyConn(conn as unknown as ServerConn, faultsOf(faults), {
    report: ({ request }) => log.push(request),
    end: () => log.push("end"),
    reset: () => log.push("reset"),
  });
  /** Waits until something is in the log or a list, and returns it. */
  const next = async <T>(list: T[]): Promise<T> => {
    while (list.length === 0) await sleep(1);
    return list.shift() as T;
  };
  const change = (text: string) => faulty.change(faultsOf(text));
  return {
    faulty,
    log,
    writes,
    reads,
    rooms,
    next,
    change,
    [Symbol.dispose]: () => faulty.close(),
  };
}

describe("faults that change during a write", () => {
  for (const fault of ["cut=3", "stall=3", "reset=3"]) {
    it(`do not end the connection as ${fault} would have`, async () => {
      using made = makeConn(fault);
      const writing = made.faulty.write(latin1("abc"));
      const write = await made.next(made.writes);
      made.change("");
      write.resolve();
      assertEquals(await writing, 3);
      assertEquals(made.log, ["write 3"]);
    });
  }

  it("end the wait before a reset, and the reset", async () => {
    using made = makeConn("reset=3");
    const writing = made.faulty.write(latin1("abc"));
    (await made.next(made.writes)).resolve();
    await turn(); // it waits for 50 ms
    made.change("");
    assertEquals(await writing, 3);
    assertEquals(made.log, ["write 3"]);
  });

  for (const [old, name] of [["slice=1/1m", "slices"], ["rate=4", "a rate"]] as const) {
    it(`forget the pace of ${name}`, async () => {
      using made = makeConn(old);
      const writing = made.faulty.write(latin1("x".repeat(5000)));
      const write = await made.next(made.writes);
      made.change(old.replace(/\d+/, "5k"));
      write.resolve();
      assert(!await isPending(writing, 100));
      assertLess(await writing, 5000);
      const rest = made.faulty.write(new Uint8Array(5));
      (await made.next(made.writes)).resolve();
      assertEquals(await rest, 5);
    });
  }
});

describe("faults that change during a read", () => {
  it("are those that limit it and are reported", async () => {
    using made = makeConn("read=100");
    const reading = made.faulty.read(new Uint8Array(1000));
    const read = await made.next(made.reads);
    made.change("read=2k");
    read.resolve(5);
    assertEquals(await reading, 5);
    const next = made.faulty.read(new Uint8Array(1000));
    (await made.next(made.reads)).resolve(100);
    assertEquals(await next, 100);
    assertEquals([made.rooms, made.log], [[5, 100], ["read=2k"]]);
  });

  it("leave it unlimited and unreported if they have no limit", async () => {
    using made = makeConn("read=100");
    const reading = made.faulty.read(new Uint8Array(1000));
    const read = await made.next(made.reads);
    made.change("");
    read.resolve(5);
    assertEquals(await reading, 5);
    assertEquals(made.log, []);
  });
});

describe("a lifetime limit", () => {
  it("ends with its faults", async () => {
    using made = makeConn("life=20ms");
    made.change("");
    await sleep(50);
    assertEquals(made.log, []);
  });

  it("begins with its faults", async () => {
    using made = makeConn("");
    made.change("life=20ms/reset");
    assertEquals(await made.next(made.log), "life=20ms/reset");
    assertEquals(await made.next(made.log), "reset");
  });

  it("does not reset a connection that was cut", async () => {
    using made = makeConn("cut=0,life=20ms/reset");
    assertEquals(await made.faulty.write(latin1("abc")), 3);
    await sleep(50);
    assertEquals(made.log, ["cut=0", "end"]);
  });

  it("is reported of a stalled connection too", async () => {
    using made = makeConn("stall=0,life=20ms");
    const writing = made.faulty.write(latin1("abc"));
    await writing;
    assertEquals(made.log, ["stall=0", "life=20ms", "end"]);
  });
});

describe("before a reset", () => {
  it("all bytes under its plan have time to arrive, not those of the last write alone", async () => {
    using made = makeConn("reset=200001");
    const since = performance.now();
    for (let call = 0; call < 2; call++) {
      const writing = made.faulty.write(new Uint8Array(100_000));
      (await made.next(made.writes)).resolve();
      await writing;
    }
    const writing = made.faulty.write(latin1("abc"));
    (await made.next(made.writes)).resolve();
    await writing;
    const took = performance.now() - since;
    assert(took > 195 && took < 1500, `${took} ms`); // for 200,001 bytes some 200
    assertEquals(made.log.slice(-2), ["reset=200001", "reset"]);
  });
});

it("is reset if a delayed write fails, as after any write that fails", async () => {
  using made = makeConn("delay=1ms");
  assertEquals(await made.faulty.write(latin1("abc")), 3);
  (await made.next(made.writes)).reject(new Error("gone"));
  await turn();
  assertEquals(made.log, ["delay=1ms", "write 3", "reset"]);
});

it("keeps what it sends later as it was written", async () => {
  const written: string[] = [];
  const conn = {
    remoteAddr: { transport: "unix", path: "" },
    write: (bytes: Uint8Array) => Promise.resolve(written.push(text(bytes)) && bytes.length),
    close: () => {},
  } as unknown as ServerConn;
  const owner = { report: () => {}, end: () => {}, reset: () => {} };
  const faulty = new FaultyConn(conn, faultsOf("delay=1ms"), owner);
  const bytes = latin1("abc");
  await faulty.write(bytes);
  bytes.fill(0);
  while (written.length === 0) await sleep(1);
  assertEquals(written, ["abc"]);
  faulty.close();
});

it("is pacing while bytes wait for their own time, not while they wait for the peer", async () => {
  for (const fault of ["slice=1/1m", "rate=20", "delay=1m"]) {
    using made = makeConn(fault);
    const writing = made.faulty.write(latin1("abc"));
    if (fault !== "delay=1m") {
      const write = await made.next(made.writes); // with a rate, after 50 ms
      assertEquals(made.faulty.isPacing, false, fault);
      write.resolve();
      await turn();
    }
    assertEquals(made.faulty.isPacing, true, fault);
    made.faulty.close();
    assertEquals(await writing, 3);
    await turn();
    assertEquals(made.faulty.isPacing, false, fault);
  }
});

it("a stall that begins after a stop waits for nothing", async () => {
  using made = makeConn("stall=0");
  made.faulty.skipDelays();
  assert(!await isPending(made.faulty.write(latin1("abc")), 500));
});
