/** The figures and pictures of round trips, against what they must be. */

import { assert, assertAlmostEquals, assertEquals, assertMatch, fail } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Outages } from "../../lib/ping/outages.ts";
import { digits, emphasizeLosses, histogram, line, span } from "../../lib/cli/output/picture.ts";
import { RoundTrips } from "../../lib/ping/round_trips.ts";
import { Timeline } from "../../lib/ping/timeline.ts";

function recorded(durations: readonly number[]): RoundTrips {
  const trips = new RoundTrips();
  for (const duration of durations) trips.record(duration);
  return trips;
}

/** Shuffled, since the order must not matter. */
const hundred = Array.from({ length: 100 }, (_, at) => ((at * 37) % 100 + 1) * 0.5);

const ten = (duration: number) => new Array<number>(10).fill(duration);

describe("RoundTrips", () => {
  it("have no figures before there is one", () => {
    assertEquals([recorded([]).figures, histogram(recorded([]), 80)], [undefined, []]);
  });

  it("of one are that one", () => {
    assertEquals(recorded([12.3456]).figures, {
      min: 12.346,
      avg: 12.346,
      p50: 12.346,
      max: 12.346,
    });
  });

  it("have percentiles that are right to 0.1 %", () => {
    const thousand = Array.from({ length: 10 }, () => hundred).flat();
    const { min, avg, max, ...percentiles } = recorded(thousand).figures ?? fail();
    const { p50, p90 = 0, p99 = 0, p999 = 0 } = percentiles;
    assertEquals([min, avg, max], [0.5, 25.25, 50]);
    for (const [is, should] of [[p50, 25], [p90, 45], [p99, 49.5], [p999, 50]] as const) {
      assertAlmostEquals(is, should, should / 1000);
    }
  });

  it("have p90, p99 and p99.9 from 10, 100 and 1,000 on, and a histogram from 10", () => {
    const known = (count: number) => {
      const trips = recorded(Array.from({ length: count }, (_, at) => hundred[at % 100] as number));
      return [...Object.keys(trips.figures ?? {}).slice(2, -1), histogram(trips, 80).length];
    };
    assertEquals(known(9), ["p50", 0]);
    assertEquals(known(10), ["p50", "p90", 10]);
    assertEquals(known(99), ["p50", "p90", 10]);
    assertEquals(known(100), ["p50", "p90", "p99", 10]);
    assertEquals(known(999), ["p50", "p90", "p99", 10]);
    assertEquals(known(1000), ["p50", "p90", "p99", "p999", 10]);
  });

  it("as short as nothing and as long as a day are counted", () => {
    const { min, max, p50, p90 = 0 } = recorded([...ten(0), 1e9, 1e9]).figures ?? fail();
    assertEquals([min, max], [0, 1e9]);
    assert(p50 < 0.01 && p90 > 86_000_000, `${p50} ${p90}`);
  });
});

describe("histogram", () => {
  for (const columns of [20, 40, 80, 200]) {
    it(`fits a terminal of ${columns} columns, every round trip counted`, () => {
      const rows = histogram(recorded(hundred), columns);
      const counts = rows.map((row) => Number(row.split(" ").at(-1)));
      assertEquals([rows.length, counts.reduce((sum, count) => sum + count)], [10, 100]);
      for (const row of rows) assert([...row].length <= Math.max(columns, 23), row);
      const widest = Math.max(...rows.map((row) => [...row].length));
      if (columns > 23) assertEquals(widest, columns);
    });
  }

  it("of round trips that are all alike is one bar, and 0 is a duration too", () => {
    assertEquals(histogram(recorded(ten(5)), 30).length, 1);
    assertEquals(histogram(recorded(ten(0)), 30).length, 1);
    const rows = histogram(recorded([...ten(0), ...ten(100)]), 30);
    assertEquals(rows.map((row) => row.split(" ").at(-1)).join(" "), "10 0 0 0 0 0 0 0 0 10");
  });
});

describe("histogram, drawn", () => {
  const counts = [1, 2, 3, 1, 16, 5, 11, 8, 0, 1];
  const durations = counts.flatMap((count, row) => new Array<number>(count).fill(1.5 * 2 ** row));
  const trips = recorded([1, ...durations.slice(1), 1024]);
  const labels = [
    ...["1.00 - 2.00", "2.00 - 4.00", "4.00 - 8.00", "8.00 - 16.0", "16.0 - 32.0", "32.0 - 64.0"],
    ...[" 64.0 - 128", "  128 - 256", "  256 - 512", " 512 - 1024"],
  ];
  for (
    const [columns, ...bars] of [
      [40, "█▍", "██▊", "████▏", "█▍", "█".repeat(22), "██████▉", "█".repeat(15) + "▏"]
        .concat("█".repeat(11), "", "██▊"),
      [20, "▏", "▎", "▍", "▏", "██", "▋", "█▍", "█", "", "▎"],
      [10, "▏", "▏", "▎", "▏", "█", "▍", "▊", "▌", "", "▏"],
    ] as [number, ...string[]][]
  ) {
    it(`in ${columns} columns, to an eighth of a character`, () => {
      const shown = counts.with(-1, 2);
      const rows = labels.map((label, row) => `${label} ms ${bars[row]} ${shown[row]}`);
      assertEquals(histogram(trips, columns), rows);
    });
  }

  it("with three digits of each number at least", () => {
    const numbers = [0, 0.01234, 9.999, 99.94, 100, 123.4, 1234];
    const texts = ["0", "0.0123", "10.0", "99.9", "100", "123", "1234"];
    assertEquals(numbers.map(digits), texts);
  });
});

describe("Timeline", () => {
  it("has the longest round trip, and the end: of the last reply, or of the last lost message", () => {
    const timeline = new Timeline();
    assertEquals([timeline.count, timeline.worst, timeline.end], [0, 0, 0]);
    timeline.record(0, 0.5);
    assertEquals([timeline.worst, timeline.end, timeline.cells(1)], [0.5, 0.5, [0.5]]);
    timeline.record(20, Infinity);
    timeline.record(10, 5);
    assertEquals([timeline.count, timeline.worst, timeline.end], [3, 5, 20]);
  });

  it("keeps the worst of each stretch, which becomes longer as the run does", () => {
    const timeline = new Timeline();
    const kept = (count: number) =>
      timeline.cells(count).flatMap((trip, cell) => trip === undefined ? [] : [[cell, trip]]);
    timeline.record(0, 0.5);
    timeline.record(1.9, 0.7);
    timeline.record(4095.9, 0.3);
    assertEquals(kept(4096), [[0, 0.5], [1, 0.7], [4095, 0.3]]);
    timeline.record(4096, 0.2);
    assertEquals(kept(2049), [[0, 0.7], [2047, 0.3], [2048, 0.2]]);
    assertEquals([kept(3), kept(1)], [[[0, 0.7], [2, 0.3]], [[0, 0.7]]]);
  });
});

/** A run of messages that are due so many ms apart; Infinity is a loss. */
function run(durations: readonly number[], interval = 100): Timeline {
  const timeline = new Timeline();
  for (const [at, duration] of durations.entries()) timeline.record(at * interval, duration);
  return timeline;
}

describe("line", () => {
  const calm = new Array<number>(20).fill(1);

  it("is drawn from 20 messages on, a cell for each while they fit", () => {
    assertEquals(line(run(calm.slice(1)), 80), undefined);
    assertEquals(line(run(calm), 80), "████████████████████ █ 1.00 ms, 1.9 s");
  });

  it("has ten cells at least, in a terminal that is too narrow", () => {
    assertEquals(line(run(calm), 12), "██████████ █ 1.00 ms, 1.9 s");
  });

  it("has crosses that can be made red", () => {
    assertEquals(emphasizeLosses("█×█×"), "█\x1b[31m×\x1b[39m█\x1b[31m×\x1b[39m");
  });

  it("shows a round trip of no time at all, and those that are as long as eighths of the longest", () => {
    const eighths = Array.from({ length: 9 }, (_, at) => at);
    assertEquals(line(run([...eighths, ...new Array(11).fill(8)]), 80)?.slice(0, 9), "▁▁▂▃▄▅▆▇█");
  });

  it("shows a stall as a slope, losses as crosses, and the scale", () => {
    const stall = Array.from({ length: 8 }, (_, at) => 800 - 100 * at);
    const durations = [...calm, ...stall, ...calm.slice(10), Infinity, Infinity, 1];
    assertEquals(
      line(run(durations), 80),
      "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█▇▆▅▄▃▂▁▁▁▁▁▁▁▁▁▁▁××▁ █ 800 ms, × lost, 4.0 s",
    );
  });

  it("leaves a blank where no message was due", () => {
    const timeline = run(calm, 50);
    timeline.record(3800, 1);
    assertEquals(line(timeline, 80), "██████              █ █ 1.00 ms, 3.8 s".padStart(38));
  });

  for (const columns of [40, 80, 200]) {
    it(`covers a long run in ${columns} columns, with its single loss and its worst round trip`, () => {
      const timeline = new Timeline();
      for (let at = 0; at < 100_000; at++) {
        timeline.record(at * 37, at === 25_000 ? Infinity : at === 75_000 ? 100 : 1);
      }
      const text = line(timeline, columns) ?? fail();
      assertEquals([...text].length, columns);
      const [, cells = ""] = /^(.*) █ 100 ms, × lost, 61\.7 min$/.exec(text) ?? fail(text);
      assertEquals(cells.replace("×", "").replace("█", "").replaceAll("▁", ""), "");
      assertAlmostEquals(cells.indexOf("×") / cells.length, 0.25, 0.08);
      assertAlmostEquals(cells.indexOf("█") / cells.length, 0.75, 0.08);
    });
  }
});

describe("Outages", () => {
  /** Outcomes of messages that are due at 0, 100, 200 ms: answered, lost, cut with the connection. */
  function found(outcomes: string): { lost: number; duration: number; isOver: boolean }[] {
    const outages = new Outages();
    for (const [at, outcome] of [...outcomes].entries()) {
      const state = outcome === "a" ? "answered" : outcome === "c" ? "cut" : "lost";
      outages.record({ state, since: at * 100 });
    }
    return outages.until(outcomes.length * 100).map(({ lost, duration, to }) => (
      { lost, duration, isOver: to !== undefined }
    ));
  }

  for (
    const [outcomes, ...expected] of [
      ["aaaa"],
      ["alala"],
      ["allla", { lost: 3, duration: 300, isOver: true }],
      ["aca", { lost: 1, duration: 100, isOver: true }],
      ["alc", { lost: 2, duration: 200, isOver: false }],
      ["allacaal", { lost: 2, duration: 200, isOver: true }, {
        lost: 1,
        duration: 100,
        isOver: true,
      }],
      ["ll", { lost: 2, duration: 200, isOver: false }],
    ] as const
  ) {
    it(outcomes, () => assertEquals(found(outcomes), [...expected]));
  }

  it("end with a wrong reply too, and have the messages whose reply was late", () => {
    const outages = new Outages();
    for (const since of [100, 200]) outages.record({ state: "late", since });
    outages.record({ state: "sent", since: 300 });
    const { duration, lost } = outages.record({ state: "wrong", since: 400 }) ?? fail();
    assertEquals([duration, lost, outages.over.length], [300, 2, 1]);
  });

  it("are listed up to the 1,000th, and reported after that too", () => {
    const outages = new Outages();
    const reported = Array.from({ length: 1001 }, (_, at) => {
      outages.record({ state: "cut", since: at });
      return outages.record({ state: "answered", since: at });
    });
    assertEquals([outages.over.length, reported.filter(Boolean).length], [1000, 1001]);
  });

  it("last from when the first lost message was due to when the next answered one was", () => {
    const outages = new Outages();
    const now = performance.now();
    outages.record({ state: "cut", since: now - 3000 });
    const over = outages.record({ state: "answered", since: now - 1000 });
    const { from, to = "" } = over ?? fail();
    assertMatch(from, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assertAlmostEquals(Date.parse(to) - Date.parse(from), 2000, 2);
    assertAlmostEquals(Date.now() - Date.parse(to), 1000, 20);
  });
});

describe("span", () => {
  for (
    const [milliseconds, text] of [
      [99_900, "99.9 s"],
      [100_000, "1.7 min"],
      [5_999_000, "100.0 min"],
      [6_000_000, "1.7 h"],
      [3_600_000 * 3000, "3000.0 h"],
    ] as const
  ) {
    it(text, () => assertEquals(span(milliseconds), text));
  }
});
