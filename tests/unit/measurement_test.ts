/** A measurement over a transport in the test's hands: what is sent, reported and counted. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { ReportedEvent } from "../../lib/ping/events.ts";
import { Measurement, type MeasurementOptions } from "../../lib/ping/measurement.ts";
import type { Probe } from "../../lib/ping/reply_matcher.ts";
import type { TransportCallbacks } from "../../lib/ping/transport.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";

const OPTIONS: MeasurementOptions = {
  ...{ messages: [], interval: 0, timeout: 0, any: false, connections: 1 },
  ...{ framing: "line", greeting: false },
};

/** A measurement whose transports call a function with each message that is sent. */
function open(
  options: Partial<MeasurementOptions>,
  answer: (probe: Probe, callbacks: TransportCallbacks, lane: number) => unknown,
) {
  const events: ReportedEvent[] = [], complaints: string[] = [], sent: string[] = [];
  let closed = 0;
  const measurement = new Measurement({ ...OPTIONS, ...options }, {
    report: (event) => Promise.resolve(void events.push(event)),
    complain: (sentence) => complaints.push(sentence),
  });
  for (let lane = 1; lane <= measurement.options.connections; lane++) {
    measurement.add((callbacks) => ({
      send(probe) {
        sent.push(`${lane} ${text(probe.message)}`);
        callbacks.sent(probe);
        queueMicrotask(() => answer(probe, callbacks, lane));
      },
      [Symbol.dispose]: () => void closed++,
    }));
  }
  const stop = new AbortController();
  return {
    ...{ measurement, events, complaints, sent, stop },
    closed: () => closed,
    run: () => measurement.run(stop.signal),
  };
}

const echo = ({ message }: Probe, { received }: TransportCallbacks) => received(message);

describe("a measurement", () => {
  it("sends its messages in turn, over and over; without any, numbered ones", async () => {
    const named = open({ count: 5, messages: [latin1("a"), latin1("b")] }, echo);
    await named.run();
    assertEquals(named.sent, ["1 a", "1 b", "1 a", "1 b", "1 a"]);
    const numbered = open({ count: 3, connections: 2, interval: 1 }, echo);
    await numbered.run();
    assertEquals(numbered.sent, ["1 ping 1", "2 ping 2", "1 ping 3"]);
    assertEquals([numbered.closed(), numbered.measurement.tally.answered], [2, 3]);
  });

  it("reports each line with what it is, and by which connection if there are several", async () => {
    const lines = ["ping 1!", "hm", "ping 3", "ping 3"];
    const one = open({ count: 3 }, (_, { received }) => {
      received(latin1(lines.shift() ?? ""));
      if (lines.length === 1) received(latin1(lines.shift() ?? ""));
    });
    await one.run();
    const told = one.events.map((event) => {
      const data = "data" in event ? text(event.data) : "";
      return [event.event, "seq" in event && event.seq, data, "connection" in event];
    });
    assertEquals(told, [
      ...[["reply", 1, "ping 1!", false], ["wrong", 2, "hm", false]],
      ...[["reply", 3, "ping 3", false], ["duplicate", 3, "ping 3", false]],
    ]);
    const several = open({ count: 2, connections: 2 }, echo);
    await several.run();
    assertEquals(several.events.map((event) => "connection" in event && event.connection), [1, 2]);
  });

  it("reports a lost connection, its messages, and the outage once that is over", async () => {
    let number = 0;
    const all = open({ count: 3 }, (probe, callbacks) => {
      if (number++ < 2) callbacks.disconnected("gone", 1234);
      else echo(probe, callbacks);
    });
    await all.run();
    assertEquals(all.events.map(({ event }) => event), [
      ...["disconnected", "lost", "disconnected", "lost", "reply", "outage"],
    ]);
    const [disconnected, lost] = all.events;
    assertEquals(disconnected, { event: "disconnected", reason: "gone", silence: 1234 });
    assertEquals(lost, { event: "lost", seq: 1, reason: "gone" });
    assertEquals(all.complaints, ["gone"]);
    const { tally, outages, trouble, timeline } = all.measurement;
    assertEquals([tally.sent, tally.answered, tally.pending, trouble], [3, 1, 0, undefined]);
    assertEquals([outages.length, outages[0]?.lost, timeline.count], [1, 2, 3]);
  });

  it("gives up a healthy connection without a word, and its messages are lost", async () => {
    const all = open({ count: 1 }, (_, callbacks) => callbacks.disconnected(undefined, 0));
    await all.run();
    assertEquals([all.events, all.complaints], [
      [{ event: "lost", seq: 1, reason: undefined }],
      [],
    ]);
    const { outages, trouble } = all.measurement;
    assertEquals([outages.length, outages[0]?.to, trouble], [1, undefined, undefined]);
  });

  it("gives up a message when its time is over; a reply that comes then is late", async () => {
    const late: Uint8Array[] = [];
    const all = open({ count: 2, timeout: 20 }, (probe, callbacks) => {
      if (late.length === 0) return late.push(probe.message);
      callbacks.received(late[0] as Uint8Array);
      return echo(probe, callbacks);
    });
    await all.run();
    assertEquals(all.events.map(({ event }) => event), ["lost", "late", "reply"]);
    const [lost, after] = all.events;
    assertEquals(lost, { event: "lost", seq: 1, reason: "no reply within 0.02s" });
    assert(after?.event === "late" && after.duration >= 10);
    const { answered, late: count } = all.measurement.tally;
    assertEquals([answered, count], [1, 1]);
  });

  it("knows how long it runs, and how long the oldest reply is awaited", async () => {
    const all = open({ count: 1 }, () => {});
    const { measurement } = all;
    assertEquals([measurement.elapsed, measurement.waiting], [0, 0]);
    const running = all.run();
    await sleep(20);
    assert(measurement.waiting >= 10 && measurement.elapsed >= 10);
    all.stop.abort();
    await running;
    const { elapsed } = measurement;
    await sleep(5);
    assertEquals([measurement.elapsed, all.closed()], [elapsed, 1]);
    assertEquals(measurement.tally.pending, 1);
  });

  it("ends at a signal that was aborted before, and sends nothing after its end", async () => {
    const all = open({ interval: 1 }, echo);
    all.stop.abort();
    await all.run();
    const { length } = all.sent;
    await sleep(10);
    assertEquals([all.sent.length, all.closed()], [length, 1]);
  });

  it("fails where its transport can't go on, or its events can't be written", async () => {
    const failing = open({ count: 1 }, (_, callbacks) => callbacks.failed(new Error("no more")));
    await assertRejects(failing.run, Error, "no more");
    assertEquals(failing.closed(), 1);
    const full = new Measurement({ ...OPTIONS, count: 2 }, {
      report: () => Promise.reject(new Error("full")),
      complain: () => {},
    });
    full.add((callbacks) => ({
      send(probe) {
        callbacks.sent(probe);
        if (probe.seq === 1) queueMicrotask(() => echo(probe, callbacks));
      },
      [Symbol.dispose]: () => {},
    }));
    await assertRejects(() => full.run(new AbortController().signal), Error, "full");
  });

  it("complains of a server that takes nothing, and of what is unreachable, once", async () => {
    const all = open({ count: 3, interval: 1 }, (probe, callbacks) => {
      callbacks.blocked();
      callbacks.blocked();
      if (probe.seq < 3) callbacks.unreachable(probe, "refused");
      else echo(probe, callbacks);
    });
    await all.run();
    const [blocked, refused, ...more] = all.complaints;
    assertEquals(
      [blocked, refused],
      [
        "the server has stopped reading: messages are queued, and count from when they were due",
        "refused",
      ],
    );
    assertEquals(more, [blocked, refused, blocked]);
    assertEquals(all.measurement.tally.answered, 1);
  });

  it("counts connections that were made, with the time that each took", async () => {
    const all = open({ count: 2 }, (probe, { connected }) => connected(probe, { connect: 1 }));
    await all.run();
    assertEquals(all.events.map((event) => "connect" in event && [event.event, event.connect]), [
      ["connection", 1],
      ["connection", 1],
    ]);
    const { connects, answered } = all.measurement.tally;
    assertEquals([connects, answered, all.measurement.timeline.count], [2, 2, 2]);
  });
});
