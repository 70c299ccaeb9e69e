/** What lies between a measurement and the network: what the network and a slow reader do to it. */

import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ConnTransport } from "../../lib/ping/conn_transport.ts";
import type { ReportedEvent } from "../../lib/ping/events.ts";
import { Measurement, type MeasurementOptions } from "../../lib/ping/measurement.ts";
import { type Probe, ReplyMatcher, Tally } from "../../lib/ping/reply_matcher.ts";
import { numbered } from "../../lib/wire/message_keys.ts";
import {
  connectAttempts,
  type Transport,
  type TransportCallbacks,
} from "../../lib/ping/transport.ts";
import { BufferedConn } from "../../lib/net/buffered_conn.ts";
import type { Conn } from "../../lib/net/conn.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";
import { block } from "../support/block.ts";

/** Ignores everything that a transport reports. */
const IGNORED: TransportCallbacks = {
  opened: () => {},
  sent: () => {},
  received: () => undefined,
  connected: () => {},
  disconnected: () => {},
  unreachable: () => {},
  blocked: () => {},
  failed: () => {},
};

const HOW = { framing: "line", any: false, messages: [], greeting: false } as const;

/** A message that is due. */
const due = (): Probe => new ReplyMatcher(numbered, new Tally()).add(latin1("ping 1"), 0);

/** A connection whose other end sends these, one for each read, and then nothing. */
class Sending implements Conn {
  isClosed = false;
  readonly #chunks: Uint8Array[];

  constructor(...chunks: readonly string[]) {
    this.#chunks = chunks.map(latin1);
  }

  read(into: Uint8Array): Promise<number | null> {
    const bytes = this.#chunks.shift();
    if (bytes === undefined) return new Promise(() => {});
    into.set(bytes);
    return Promise.resolve(bytes.length);
  }

  write(bytes: Uint8Array): Promise<number> {
    return Promise.resolve(bytes.length);
  }

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.isClosed = true;
  }
}

describe("ConnTransport", () => {
  it("receives the next line once the one before is handled", async () => {
    const received: string[] = [];
    const done = Promise.withResolvers<void>();
    const callbacks = {
      ...IGNORED,
      received(line: Uint8Array) {
        received.push(text(line));
        return done.promise;
      },
    };
    using transport = new ConnTransport(callbacks, () => Promise.reject(new Error("once")), HOW);
    transport.open(new Sending("one\ntwo\n"));
    await sleep(0);
    assertEquals(received, ["one"]);
    done.resolve();
    await sleep(0);
    assertEquals(received, ["one", "two"]);
  });

  it("closes a connection that is made after the end", async () => {
    const { promise: connecting, resolve: connected } = Promise.withResolvers<Conn>();
    let connects = 0;
    const transport = new ConnTransport(
      { ...IGNORED, opened: () => connects++ },
      () => connecting,
      HOW,
    );
    transport.send(due());
    transport[Symbol.dispose]();
    const conn = new Sending("");
    connected(conn);
    await sleep(0);
    assertEquals([conn.isClosed, connects], [true, 0]);
  });
});

describe("connectAttempts", () => {
  it("reports no connection that is made after the end", async () => {
    const over = Promise.withResolvers<void>();
    await using server = FakeServer.start(async (conn) => {
      await conn.read(new Uint8Array(1));
      over.resolve();
    });
    const connected: number[] = [];
    const callbacks = { ...IGNORED, connected: ({ seq }: Probe) => void connected.push(seq) };
    const transport = connectAttempts(callbacks, server);
    transport.send(due());
    transport[Symbol.dispose]();
    await over.promise;
    assertEquals(connected, []);
  });
});

describe("a greeting", () => {
  it("stays what it was while more comes", async () => {
    const conn = new BufferedConn(new Sending("220 ready\n", "other words\n"), 0);
    const greeting = await conn.receive({ framing: "line" });
    await conn.more();
    assertEquals(text(greeting.reply), "220 ready");
    conn.close();
  });
});

/** Answers each message at once, or after a time. */
function echo(callbacks: TransportCallbacks, delay?: number): Transport {
  return {
    send(probe) {
      callbacks.sent(probe);
      if (delay === undefined) queueMicrotask(() => void callbacks.received(probe.message));
      else setTimeout(() => void callbacks.received(probe.message), delay);
    },
    [Symbol.dispose]: () => {},
  };
}

/** Answers each message, or fails to reach the server if there is a failure for it. */
function scripted(callbacks: TransportCallbacks, failures: (string | undefined)[]): Transport {
  return {
    async send(probe) {
      callbacks.sent(probe);
      await sleep(0);
      const failure = failures.shift();
      if (failure === undefined) void callbacks.received(probe.message);
      else callbacks.unreachable(probe, failure);
    },
    [Symbol.dispose]: () => {},
  };
}

const NEVER = new AbortController().signal;
const OPTIONS = { ...HOW, interval: 0, timeout: 0, connections: 1 };

/** Measures over echoes; gives what was reported. */
async function measured(
  options: Partial<MeasurementOptions>,
  delay?: number,
): Promise<{ events: ReportedEvent[]; measurement: Measurement }> {
  const events: ReportedEvent[] = [];
  const callbacks = {
    report: (event: ReportedEvent) => Promise.resolve(void events.push(event)),
    complain: () => {},
  };
  const measurement = new Measurement({ ...OPTIONS, ...options }, callbacks);
  for (let number = 0; number < measurement.options.connections; number++) {
    measurement.add((callbacks) => echo(callbacks, delay));
  }
  await measurement.run(NEVER);
  return { events, measurement };
}

describe("Measurement", () => {
  it("whose events are read slowly sends no more while 10,000 are unread", async () => {
    const events: ReportedEvent[] = [];
    const read = Promise.withResolvers<void>();
    const measurement = new Measurement({ ...OPTIONS, count: 10_100 }, {
      report: (event) => (events.push(event), read.promise),
      complain: () => {},
    });
    measurement.add((callbacks) => echo(callbacks));
    const run = measurement.run(NEVER);
    while (events.length < 10_000) await sleep(1);
    await sleep(20);
    assertEquals(events.length, 10_000);
    read.resolve();
    await run;
    assertEquals([events.length, measurement.tally.answered], [10_100, 10_100]);
  });

  it("spreads messages evenly over the connections and the interval, numbered across all", async () => {
    const { events } = await measured({ count: 12, interval: 40, connections: 4 });
    const replies = events.flatMap((one) =>
      one.event === "reply" ? [[one.seq, one.connection]] : []
    );
    assertEquals(replies, Array.from({ length: 12 }, (_, at) => [at + 1, at % 4 + 1]));
  });

  it("without an interval has a message pending on each connection, and the total is exact", async () => {
    const { events, measurement } = await measured({ count: 1001, connections: 10 }, 1);
    assertEquals([events.length, measurement.tally.answered], [1001, 1001]);
    const counts = Object.values(
      Object.groupBy(events, (one) => one.event === "reply" ? one.connection ?? 0 : 0),
    );
    assertEquals(counts.length, 10);
    for (const one of counts) assert((one?.length ?? 0) > 90, `${one?.length}`);
  });

  it("says by how much the client itself was late, and counts from when messages were due", async () => {
    const busy = setTimeout(() => block(200), 50);
    const { events, measurement } = await measured({ count: 40, interval: 10 });
    clearTimeout(busy);
    const { behind, delayed } = measurement.tally;
    const most = Math.max(...events.map((one) => one.event === "reply" ? one.duration ?? 0 : 0));
    assert(behind > 150 && delayed >= 10, `${behind} ms, ${delayed}`);
    // The round trip itself is in it, which takes some ms on a busy machine; alone it is below 50.
    assert(Math.abs(most - behind) < 50, `${most} ms, ${behind} ms late`);
  });

  it("gives no message up whose reply takes less than the timeout, if the client itself was late", async () => {
    const busy = setTimeout(() => block(400), 50);
    const { measurement } = await measured({ count: 60, interval: 10, timeout: 200 }, 20);
    clearTimeout(busy);
    assertEquals(measurement.tally.answered, 60);
  });

  it("ends after --for, with what was due until then", async () => {
    const since = performance.now();
    const { events } = await measured({ duration: 205, interval: 50 });
    const elapsed = performance.now() - since;
    assertEquals(events.length, 5);
    assert(elapsed > 200 && elapsed < 1000, `${elapsed} ms`);
  });

  it("reports a problem of a connection again once that connection had a reply", async () => {
    const { now } = performance;
    let skipped = 0;
    performance.now = () => now.call(performance) + skipped;
    const complaints: string[] = [];
    const measurement = new Measurement({ ...OPTIONS, interval: 50, count: 12, connections: 2 }, {
      report: () => Promise.resolve(void (skipped += 2000)),
      complain: (sentence) => complaints.push(sentence),
    });
    const failures = ["down", "down", undefined, undefined, "down", "down"];
    measurement.add((callbacks) => scripted(callbacks, failures));
    measurement.add((callbacks) => scripted(callbacks, []));
    await measurement.run(NEVER).finally(() => performance.now = now);
    assertEquals(complaints, ["down", "down"]);
  });

  it("sends nothing before it runs, though a connection is lost already", async () => {
    const events: ReportedEvent[] = [];
    const measurement = new Measurement({ ...OPTIONS, interval: 10, count: 2 }, {
      report: (event) => Promise.resolve(void events.push(event)),
      complain: () => {},
    });
    measurement.add((callbacks) => {
      queueMicrotask(() => callbacks.disconnected("closed", 0));
      return echo(callbacks);
    });
    await sleep(20);
    assertEquals(measurement.tally.sent, 0);
    await measurement.run(NEVER);
    const longest = Math.max(...events.map((one) => one.event === "reply" ? one.duration ?? 0 : 0));
    assert(longest < 20, `${longest} ms`);
  });

  it("without an interval, pauses 50 ms between messages that fail, and not after a reply", async () => {
    const silent = { report: () => Promise.resolve(), complain: () => {} };
    const measurement = new Measurement({ ...OPTIONS, count: 4 }, silent);
    measurement.add((callbacks) => scripted(callbacks, ["down", "down", undefined, undefined]));
    await measurement.run(NEVER);
    const { elapsed } = measurement;
    assert(elapsed >= 98 && elapsed < 5000, `${elapsed} ms`);
  });

  it("ends as soon as the last message is lost", async () => {
    const elapsed = [];
    for (let run = 0; run < 5; run++) {
      const silent = { report: () => Promise.resolve(), complain: () => {} };
      const measurement = new Measurement({ ...OPTIONS, count: 1 }, silent);
      measurement.add((callbacks) => scripted(callbacks, ["down"]));
      await measurement.run(NEVER);
      elapsed.push(measurement.elapsed);
    }
    assert(Math.min(...elapsed) < 40, `${elapsed} ms`);
  });

  it("lets the event loop turn while very many messages are due", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const { measurement } = await measured({ count: 20_000, interval: 0.0001 });
    clearInterval(timer);
    assertEquals(measurement.tally.answered, 20_000);
    assert(turns > 5, `${turns} turns`);
  });
});
