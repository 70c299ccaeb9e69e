/** What lies between a measurement and the network, alone: what the network and a slow reader do to it. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ConnectTransport } from "../../lib/ping/connect_transport.ts";
import { type Probe, ReplyMatcher } from "../../lib/ping/reply_matcher.ts";
import {
  ConnectionTransport,
  type Transport,
  type TransportCallbacks,
} from "../../lib/ping/transport.ts";
import { hearGreeting } from "../../lib/client/peer.ts";
import { Measurement } from "../../lib/ping/measurement.ts";
import { BufferedConn } from "../../lib/net/buffered_conn.ts";
import type { ReportedEvent } from "../../lib/ping/events.ts";
import type { Conn } from "../../lib/net/listener.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";

/** It cares for nothing that a link tells it. */
const DEAF: TransportCallbacks = {
  heard: () => undefined,
  connected: () => {},
  disconnected: () => {},
  unreachable: () => {},
  failed: () => {},
};

const HOW = { framing: "line", takesTurns: false, areAlike: false, greeting: false } as const;

/** A message that is due. */
const due = (): Probe => new ReplyMatcher(false).add(latin1("ping 1"), 0);

/** A connection whose other end says this, a read each, and then nothing. */
class Saying implements Conn {
  isClosed = false;
  readonly #bytes: Uint8Array[];

  constructor(...words: readonly string[]) {
    this.#bytes = words.map(latin1);
  }

  read(into: Uint8Array): Promise<number | null> {
    const bytes = this.#bytes.shift();
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

describe("a link", () => {
  it("hears the next line once what is done with the one before is done", async () => {
    const heard: string[] = [];
    const done = Promise.withResolvers<void>();
    const listener = {
      ...DEAF,
      heard(line: Uint8Array) {
        heard.push(text(line));
        return done.promise;
      },
    };
    using link = new ConnectionTransport(listener, () => Promise.reject(new Error("once")), HOW);
    link.open(new Saying("one\ntwo\n"));
    await sleep(0);
    assertEquals(heard, ["one"]);
    done.resolve();
    await sleep(0);
    assertEquals(heard, ["one", "two"]);
  });

  it("closes a connection that is made after the end", async () => {
    const { promise: connecting, resolve: connected } = Promise.withResolvers<Conn>();
    const link = new ConnectionTransport(DEAF, () => connecting, HOW);
    link.say(due());
    link[Symbol.dispose]();
    const conn = new Saying("");
    connected(conn);
    await sleep(0);
    assertEquals([conn.isClosed, link.connects], [true, 0]);
  });

  it("counts no connection that is made after the end, where connections are measured", async () => {
    const over = Promise.withResolvers<void>();
    await using server = FakeServer.start(async (conn) => {
      await conn.read(new Uint8Array(1));
      over.resolve();
    });
    const connected: number[] = [];
    const link = new ConnectTransport(
      { ...DEAF, connected: ({ seq }) => connected.push(seq) },
      server,
    );
    link.say(due());
    link[Symbol.dispose]();
    await over.promise;
    assertEquals([link.connects, connected], [0, []]);
  });
});

describe("a greeting", () => {
  it("stays what it was while more comes", async () => {
    const stream = new BufferedConn(new Saying("220 ready\n", "other words\n"), 0);
    const greeting = await hearGreeting(stream, "line");
    await stream.more();
    assertEquals(text(greeting), "220 ready");
    stream.close();
  });
});

describe("a measurement", () => {
  it("whose figures are read slowly says no more while 10,000 are unread", async () => {
    const told: ReportedEvent[] = [];
    const read = Promise.withResolvers<void>();
    const listener = {
      tell: (event: ReportedEvent) => (told.push(event), read.promise),
      complain: () => {},
    };
    const options = { messages: [], interval: 0, count: 10_100, timeout: 0, any: false };
    const ping = new Measurement(options, listener);
    /** Answers at once. */
    const echo: Transport = {
      connects: 1,
      blockedSince: undefined,
      say(said) {
        said.isSent = true;
        void ping.heard(said.message);
      },
      settled: () => {},
      lost: () => {},
      drop: () => {},
      [Symbol.dispose]: () => {},
    };
    const run = ping.run(echo, new AbortController().signal);
    await sleep(0);
    assertEquals(told.length, 10_000);
    read.resolve();
    await run;
    assertEquals([told.length, ping.tally.answered], [10_100, 10_100]);
  });
});
