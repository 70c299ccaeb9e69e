/** The client's report: each event in each style, and how it went in the end. */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Report, type ReportOptions } from "../../lib/cli/output/report.ts";
import { Tally } from "../../lib/ping/reply_matcher.ts";
import { Timeline } from "../../lib/ping/timeline.ts";
import { latin1, text } from "../../lib/testing/wire.ts";

const OPTIONS: ReportOptions = {
  style: "ping",
  summaryAlone: false,
  connect: false,
  timestamps: false,
  connections: 1,
};

/** A report whose output is kept; on a terminal or not. */
function open(options: Partial<ReportOptions> = {}, columns?: number) {
  const report = new Report("here:7", { ...OPTIONS, ...options });
  const writes: string[] = [];
  Object.defineProperties(report.output, {
    columns: { value: columns },
    emphasis: { value: columns !== undefined },
  });
  report.output.write = (bytes) => Promise.resolve(void writes.push(text(bytes)));
  return { report, writes };
}

/** A local time: its hours depend on the zone. */
const CLOCK = /(?<!T)\d\d:\d\d:(\d\d\.)/g;
const data = latin1("a\xff\x1b");
const FROM = "2026-01-02T03:04:05.078Z", TO = "2026-01-02T03:04:06.912Z";
const EVENTS: readonly Parameters<Report["print"]>[0][] = [
  { event: "reply", seq: 1, bytes: 3, data, duration: 1.23456 },
  { event: "reply", seq: 2, bytes: 3, data },
  { event: "wrong", seq: 3, bytes: 3, data },
  { event: "duplicate", seq: 1, bytes: 3, data },
  { event: "late", seq: 4, bytes: 3, data, duration: 1234.5 },
  { event: "lost", seq: 5, reason: "no \x1b" },
  { event: "unsolicited", bytes: 3, data },
  { event: "connection", seq: 6, duration: 2.5, connect: 2 },
  { event: "disconnected", reason: "gone", silence: 1 },
  { event: "outage", from: FROM, to: TO, duration: 1234, lost: 12 },
  { event: "outage", from: FROM, duration: 200_000, lost: 3 },
];

/** The lines of all events, without the local time's hours. */
async function lines(options: Partial<ReportOptions>, columns?: number): Promise<string[]> {
  const { report, writes } = open(options, columns);
  for (const event of EVENTS) await report.print(event);
  return writes.join("").replaceAll(CLOCK, "T:$1").split("\n").slice(0, -1);
}

describe("events are printed", () => {
  it("as the lines of ping(8)", async () => {
    assertEquals(await lines({}), [
      "3 bytes from here:7: seq=1 time=1.235 ms",
      "3 bytes from here:7: seq=2 time=0.000 ms",
      'wrong reply from here:7: seq=3 "a\\xff\\x1b"',
      "duplicate reply from here:7: seq=1",
      "late reply from here:7: seq=4 time=1235 ms",
      "no reply from here:7: seq=5",
      "Server says: a\\xff\\x1b",
      "connected to here:7: seq=6 time=2.500 ms",
      "outage T:05.0 to T:06.9: 1.2 s, 12 lost",
      "outage T:05.0 until now: 3.3 min, 3 lost",
    ]);
  });

  it("with the local time before each, if that is wanted", async () => {
    const [first, ...others] = await lines({ timestamps: true });
    assertMatch(first ?? "", /^T:\d\d\.\d{3} 3 bytes from/);
    assertEquals(others.filter((line) => !/^T:\d\d\.\d{3} \S/.test(line)), []);
  });

  it("as connections that failed, where those are measured", async () => {
    assertEquals((await lines({ connect: true }))[5], "no connection: seq=5 no \x1b");
  });

  it("without a line for each message, if there are several connections", async () => {
    assertEquals((await lines({ connections: 2 })).map((line) => line.slice(0, 6)), [
      ...["outage", "outage"],
    ]);
  });

  it("in the tutorial's words, and to a terminal so that they can't be obeyed", async () => {
    const reply = "Client received data: a\xff\x1b";
    assertEquals(await lines({ style: "conversation" }), [
      ...[reply, reply, "Client received no reply", "Server says: a\xff\x1b"],
    ]);
    const safe = "\x1b[2mClient received data:\x1b[22m a\\xff\\x1b";
    assertEquals(await lines({ style: "conversation" }, 80), [
      ...[safe, safe, "Client received no reply", "\x1b[2mServer says:\x1b[22m a\\xff\\x1b"],
    ]);
  });

  it("as replies alone", async () => {
    assertEquals(await lines({ style: "replies" }), ["a\xff\x1b", "a\xff\x1b"]);
  });

  it("as objects, with numbers to the microsecond, and the server's words escaped", async () => {
    const objects = (await lines({ style: "json" })).map((line) => JSON.parse(line));
    assertEquals(
      objects.map(({ time: _, ...fields }) => fields),
      [
        ...EVENTS.map((event) => ({ server: "here:7", ...event })).map((event) => ({
          ...event,
          ..."data" in event ? { data: "a\\xff\\x1b" } : {},
        })),
      ].map((event, at) => {
        if (at === 0) return { ...event, duration: 1.235 };
        return at === 5 ? { ...event, reason: "no \\x1b" } : event;
      }),
    );
  });

  it("not at all, where the summary is enough", async () => {
    assertEquals(await lines({ summaryAlone: true }), []);
  });
});

describe("a report", () => {
  it("is written in order, and all that gathers during a write by the next one", async () => {
    const { report, writes } = open({ style: "replies" });
    await Promise.all(["a", "b", "c"].map((one, at) => report.reply(latin1(one), at + 1)));
    assertEquals(writes, ["a\nb\nc\n"]);
    await report.reply(latin1("d"), 4);
    assertEquals(writes, ["a\nb\nc\n", "d\n"]);
  });

  it("rejects if it can't be written", async () => {
    const { report } = open({ style: "replies" });
    report.output.write = () => Promise.reject(new Error("full"));
    await assertRejects(() => report.reply(latin1("a"), 1), Error, "full");
    await assertRejects(() => report.reply(latin1("b"), 1), Error, "full");
  });
});

/** What is written in the end. */
async function summary(
  options: Partial<ReportOptions>,
  outcome: Parameters<Report["summary"]>[0],
  event: "summary" | "progress" = "summary",
  durations: readonly number[] = [],
  columns?: number,
): Promise<string> {
  const { report, writes } = open({ summaryAlone: true, ...options }, columns);
  for (const [at, duration] of durations.entries()) {
    await report.reply(latin1("a"), at + 1, duration);
  }
  await report.summary(outcome, event, "why \x1b\\");
  return writes.join("").replaceAll(CLOCK, "T:$1");
}

const tally = (counts: Partial<Tally>) => Object.assign(new Tally(), counts);

describe("a summary", () => {
  it("is of round trips, or of connections, and of nothing else that takes time", async () => {
    for (const event of ["reply", "connection"] as const) {
      const { report, writes } = open({ style: "json", summaryAlone: true });
      await report.print({ event, seq: 1, duration: 2, connect: 1, bytes: 1, data });
      await report.print({ event: "late", seq: 1, duration: 9, bytes: 1, data });
      await report.summary({ tally: tally({}) }, "summary");
      const { min, max } = JSON.parse(writes.join(""));
      assertEquals([min, max], [2, 2]);
    }
  });

  it("has the first loss, delay, and outage beyond those that are listed", async () => {
    const counts = { sent: 1, delayed: 1, behind: 5.5 };
    const outages = new Array(21).fill({ from: FROM, to: TO, duration: 1, lost: 1 });
    const lines = (await summary({}, { tally: tally(counts), outages })).split("\n");
    assertEquals(lines.slice(1, 4), [
      ...["1 sent, 0 answered, 1 lost (100 %)", "elapsed 0.0 s, 0 replies/s"],
      "the client itself was late: 1 of 1, by up to 5.50 ms",
    ]);
    assertEquals(lines.at(-2), "and 1 more outages");
    const untimed = { tally: tally({ sent: 2, answered: 2 }) };
    assertMatch(await summary({}, untimed), /elapsed 0.0 s, 0 replies\/s/);
  });

  it("rejects if it can't be written", async () => {
    for (const style of ["ping", "json"] as const) {
      const { report } = open({ style });
      report.output.write = () => Promise.reject(new Error("full"));
      await assertRejects(() => report.summary({ tally: tally({}) }, "summary"), Error, "full");
    }
  });

  it("has what was not 0, and the figures", async () => {
    const well = { tally: tally({ sent: 2, answered: 2, connects: 1 }), elapsed: 4000 };
    assertEquals(
      await summary({}, well, "summary", [1, 2]),
      "--- here:7 ---\n2 sent, 2 answered, 0 lost (0 %)\nelapsed 4.0 s, 0.500 replies/s\n" +
        "min/avg/p50/max = 1/1.5/1/2 ms\n",
    );
    const nothing =
      "--- here:7 ---\n0 sent, 0 answered, 0 lost (0 %)\nelapsed 0.0 s, 0 replies/s\n";
    assertEquals(await summary({}, { tally: tally({}) }), nothing);
  });

  it("has what went wrong", async () => {
    const counts = { sent: 9, answered: 3, wrong: 1, pending: 2, late: 2, duplicate: 1 };
    const outage = { from: FROM, to: TO, duration: 1234, lost: 2 };
    const outcome = {
      tally: tally({ ...counts, connects: 2, delayed: 4, behind: 12.34 }),
      elapsed: 1000,
      outages: new Array(22).fill(outage),
    };
    const text = (lost: string) =>
      `--- here:7 ---\n9 sent, 3 answered, 1 wrong, ${lost}, 2 late, 1 duplicate, 2 connects\n` +
      "elapsed 1.0 s, 3.00 replies/s\nthe client itself was late: 4 of 9, by up to 12.3 ms\n" +
      "outage T:05.0 to T:06.9: 1.2 s, 2 lost\n".repeat(20) + "and 2 more outages\n";
    assertEquals(await summary({}, outcome), text("5 lost (56 %)"));
    assertEquals(await summary({}, outcome, "progress"), text("3 lost (33 %)"));
    const twenty = { ...outcome, outages: outcome.outages.slice(2) };
    assertEquals((await summary({}, twenty)).includes("more outages"), false);
  });

  it("of connections counts those", async () => {
    const outcome = { tally: tally({ sent: 2, answered: 2, connects: 2 }), elapsed: 1000 };
    assertEquals(
      await summary({ connect: true }, outcome),
      "--- here:7 ---\n2 tried, 2 connected, 0 lost (0 %)\nelapsed 1.0 s, 2.00 connections/s\n",
    );
    const two = { tally: tally({ sent: 2, answered: 2, connects: 2 }), elapsed: 1000 };
    assertEquals((await summary({ connections: 2 }, two)).includes("connects"), false);
  });

  it("has pictures as wide as the terminal, or 80 characters wide, with losses in red", async () => {
    const timeline = new Timeline();
    for (let at = 0; at < 100; at++) timeline.record(at, at === 50 ? Infinity : 1);
    const outcome = { tally: tally({ sent: 20, answered: 20 }), timeline };
    const trips = Array.from({ length: 20 }, (_, at) => at + 1);
    for (const columns of [undefined, 40]) {
      const rows = (await summary({}, outcome, "summary", trips, columns)).split("\n").slice(4, -1);
      const [line, ...bars] = rows.map((row) => new TextDecoder().decode(latin1(row)));
      const plain = line?.replaceAll("\x1b[31m×\x1b[39m", "×") ?? "";
      assertEquals([plain.length, bars.length], [columns ?? 80, 10]);
      assertEquals(line === plain, columns === undefined);
      assertEquals(Math.max(...bars.map((bar) => bar.length)), columns ?? 80);
    }
  });

  it("is an object for programs, with more of a measurement", async () => {
    const counts = { sent: 3, answered: 2, wrong: 0, late: 1, duplicate: 1, connects: 1 };
    const outcome = { tally: tally({ ...counts, delayed: 1, behind: 2.00049 }) };
    const read = async (...[outcome, event]: Parameters<Report["summary"]>) => {
      const { time: _, ...fields } = JSON.parse(
        await summary({ style: "json" }, outcome, event, [1, 1]),
      );
      return fields;
    };
    const figures = { min: 1, avg: 1, p50: 1, max: 1 };
    const common = {
      server: "here:7",
      ...counts,
      lost: 1,
      reason: "why \\x1b\\\\",
      ...figures,
    };
    assertEquals(await read(outcome, "summary"), { event: "summary", ...common });
    const measured = { ...outcome, elapsed: 300, outages: [], timeline: new Timeline() };
    assertEquals(await read(measured, "progress"), {
      event: "progress",
      ...common,
      ...{ delayed: 1, behind: 2, elapsed: 300, rate: 6.667, outages: [] },
    });
  });

  it("is not written of a conversation, to people", async () => {
    for (const style of ["conversation", "replies"] as const) {
      assertEquals(await summary({ style }, { tally: tally({ sent: 1 }) }), "");
    }
  });
});
