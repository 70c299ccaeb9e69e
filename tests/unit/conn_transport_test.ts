/** The messages of a measurement over a connection: when each is sent, and what the end of one means. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Conn } from "../../lib/net/conn.ts";
import { ConnTransport } from "../../lib/ping/conn_transport.ts";
import type { Probe } from "../../lib/ping/reply_matcher.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep, turn } from "../../lib/wait.ts";

const HOW = { framing: "line", any: false, messages: [], greeting: false } as const;

/** A connection in the test's hands: it takes what it is told to, and sends what the test sends. */
class Hand implements Conn {
  readonly written: string[] = [];
  isClosed = false;
  takes = true;
  #received = Promise.withResolvers<string | null>();

  /** Sends a text, or end-of-file; an error is a reset. */
  async sends(data: string | null | Error): Promise<void> {
    const received = this.#received;
    this.#received = Promise.withResolvers();
    if (data instanceof Error) received.reject(data);
    else received.resolve(data);
    for (let turns = 0; turns < 3; turns++) await turn();
  }

  async read(into: Uint8Array): Promise<number | null> {
    const data = await this.#received.promise;
    if (data === null) return null;
    into.set(latin1(data));
    return data.length;
  }

  write(bytes: Uint8Array): Promise<number> {
    this.written.push(text(bytes));
    return this.takes ? Promise.resolve(bytes.length) : new Promise(() => {});
  }

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.isClosed = true;
    this.#received.promise.catch(() => {});
    this.#received.reject(new Error("closed"));
  }
}

/** A transport, and what it reports. A line answers the message that was sent first. */
function open(
  options: Partial<ConstructorParameters<typeof ConnTransport>[2]> = {},
  connect: () => Promise<Conn> = () => Promise.reject(new Error("refused")),
) {
  const log: string[] = [];
  const sent: Probe[] = [];
  const transport = new ConnTransport(
    {
      opened: () => log.push("opened"),
      sent: (probe) => {
        probe.state = "sent";
        sent.push(probe);
      },
      received: (line) => {
        log.push(`received ${text(line)}`);
        const probe = sent.shift();
        if (probe) probe.state = "answered";
        return undefined;
      },
      connected: () => {},
      disconnected: (failure) => log.push(`disconnected: ${failure?.replace(/\d+\.\d s/, "TIME")}`),
      unreachable: (probe, failure) => {
        probe.state = "cut";
        log.push(`unreachable ${probe.seq}: ${failure}`);
      },
      blocked: () => log.push("blocked"),
      failed: (error) => log.push(`failed: ${error}`),
    },
    connect,
    { ...HOW, ...options },
  );
  let seq = 0;
  /** Sends a message that is due. */
  const send = async (message: string, since = performance.now()) => {
    transport.send({ seq: ++seq, message: latin1(message), since, state: "queued" });
    for (let turns = 0; turns < 3; turns++) await turn();
  };
  return { transport, log, send, [Symbol.dispose]: () => transport[Symbol.dispose]() };
}

describe("messages over a connection", () => {
  it("are sent at once with lines; those that wait for a write go with the next, up to 64 KiB", async () => {
    using opened = open();
    const hand = new Hand();
    opened.transport.open(hand);
    const first = Promise.withResolvers<number>();
    const { write } = hand;
    hand.write = (bytes) => {
      hand.write = write;
      return write.call(hand, bytes).then(() => first.promise);
    };
    const long = "x".repeat(40_000);
    for (const message of ["a", "b", "c", long, long, "d"]) await opened.send(message);
    assertEquals(hand.written, ["a\n"]);
    first.resolve(2);
    for (let turns = 0; turns < 3; turns++) await turn();
    assertEquals(hand.written, ["a\n", `b\nc\n${long}\n${long}\n`, "d\n"]);
  });

  it("take turns where replies can't be distinguished", async () => {
    for (const options of [{ any: true }, { framing: "raw" }, { framing: "auto" }] as const) {
      using opened = open(options);
      const hand = new Hand();
      opened.transport.open(hand);
      for (const message of ["a", "b"]) await opened.send(message);
      const end = "framing" in options && options.framing === "raw" ? "" : "\n";
      assertEquals(hand.written, [`a${end}`]);
      await hand.sends(`[a] now${end}`);
      assertEquals(hand.written, [`a${end}`, `b${end}`]);
    }
  });

  it("wait for a greeting", async () => {
    using opened = open({ greeting: true });
    const hand = new Hand();
    opened.transport.open(hand);
    await opened.send("a");
    assertEquals(hand.written, []);
    await hand.sends("hello\n");
    assertEquals(hand.written, ["a\n"]);
    assertEquals(opened.log, ["opened", "received hello"]);
  });

  it("are blocked if the server has taken nothing for more than 300 ms", async () => {
    using opened = open();
    const hand = new Hand();
    hand.takes = false;
    opened.transport.open(hand);
    const now = performance.now();
    await opened.send("a");
    await opened.send("b", now + 250);
    assertEquals(opened.log, ["opened"]);
    await opened.send("c", performance.now() + 301);
    assertEquals(opened.log, ["opened", "blocked"]);
  });
});

describe("a connection is lost", () => {
  it("if the server has taken nothing until a message's time is over", async () => {
    using opened = open();
    const hand = new Hand();
    hand.takes = false;
    opened.transport.open(hand);
    await opened.send("a");
    opened.transport.settled(60_000);
    assertEquals(opened.log, ["opened"]);
    await sleep(5);
    opened.transport.settled(1);
    assertEquals(opened.log.slice(1), ["disconnected: the server has taken nothing for 0.001s"]);
    assertEquals(hand.isClosed, true);
  });

  it("if a late reply would be taken for another message's", async () => {
    for (
      const [options, isLost] of [
        [{}, false],
        [{ any: true }, true],
        [{ messages: [latin1("a")] }, true],
        [{ framing: "raw" }, true],
      ] as const
    ) {
      using opened = open(options);
      const hand = new Hand();
      opened.transport.open(hand);
      await opened.send("a");
      opened.transport.settled();
      assertEquals(hand.isClosed, false);
      opened.transport.settled(1000);
      assertEquals(hand.isClosed, isLost);
      assertEquals(opened.log.slice(1), isLost ? ["disconnected: undefined"] : []);
    }
  });

  it("when the server closes or resets it; what came before is received", async () => {
    for (
      const [end, how] of [
        [null, "the server has closed the connection"],
        [new Error("reset"), "the server has reset the connection"],
      ] as const
    ) {
      using opened = open();
      const hand = new Hand();
      opened.transport.open(hand);
      await hand.sends("a\nb\n");
      await hand.sends(end);
      assertEquals(opened.log, [
        ...["opened", "received a", "received b"],
        `disconnected: ${how} after TIME of silence`,
      ]);
    }
  });

  it("and made anew for the next message; if that fails, all that wait are unreachable", async () => {
    const hands = [new Hand(), undefined, new Hand()];
    const connecting = Promise.withResolvers<void>();
    using opened = open({}, async () => {
      const hand = hands.shift();
      await connecting.promise;
      if (hand === undefined) throw new Error("refused");
      return hand;
    });
    const [first, , third] = hands;
    await opened.send("a");
    assertEquals(opened.log, []);
    connecting.resolve();
    for (let turns = 0; turns < 3; turns++) await turn();
    assertEquals([opened.log.splice(0), first?.written], [["opened"], ["a\n"]]);
    await first?.sends(null);
    const [lost] = opened.log.splice(0);
    assertMatch(lost ?? "", /^disconnected: the server has closed/);
    await opened.send("b");
    assertEquals(opened.log.splice(0), ["unreachable 2: refused"]);
    await opened.send("c");
    assertEquals([opened.log, third?.written], [["opened"], ["c\n"]]);
  });

  it("when it is closed with its transport, without a report", async () => {
    const opened = open();
    const hand = new Hand();
    opened.transport.open(hand);
    opened.transport[Symbol.dispose]();
    await opened.send("a");
    assertEquals([hand.isClosed, hand.written, opened.log], [true, [], ["opened"]]);
    const late = new Hand();
    opened.transport.open(late);
    assertEquals([late.isClosed, opened.log], [true, ["opened"]]);
  });
});
