/** The figures of round trips, against what they must be. */

import { assert, assertAlmostEquals, assertEquals, fail } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { RoundTrips } from "../../lib/ping/round_trips.ts";

function recorded(durations: readonly number[]): RoundTrips {
  const trips = new RoundTrips();
  for (const duration of durations) trips.record(duration);
  return trips;
}

/** Shuffled, since the order must not matter. */
const hundred = Array.from({ length: 100 }, (_, at) => ((at * 37) % 100 + 1) * 0.5);

/** Ten that took as long. */
const ten = (duration: number) => new Array<number>(10).fill(duration);

describe("round trips", () => {
  it("have no figures before there is one", () => {
    assertEquals([recorded([]).figures, recorded([]).histogram(80)], [undefined, []]);
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
    const { min, avg, p50, p90 = 0, p99 = 0, max } = recorded(hundred).figures ?? fail();
    assertEquals([min, avg, max], [0.5, 25.25, 50]);
    for (const [is, should] of [[p50, 25], [p90, 45], [p99, 49.5]] as const) {
      assertAlmostEquals(is, should, should / 1000);
    }
  });

  it("have p90 where there are ten, p99 where there are a hundred, and a histogram from ten on", () => {
    const known = (count: number) => {
      const trips = recorded(hundred.slice(0, count));
      return [...Object.keys(trips.figures ?? {}), trips.histogram(80).length];
    };
    assertEquals(known(9), ["min", "avg", "p50", "max", 0]);
    assertEquals(known(10), ["min", "avg", "p50", "p90", "max", 10]);
    assertEquals(known(99), ["min", "avg", "p50", "p90", "max", 10]);
    assertEquals(known(100), ["min", "avg", "p50", "p90", "p99", "max", 10]);
  });

  it("as short as nothing and as long as a day are counted", () => {
    const { min, max, p50, p90 = 0 } = recorded([...ten(0), 1e9, 1e9]).figures ?? fail();
    assertEquals([min, max], [0, 1e9]);
    assert(p50 < 0.01 && p90 > 86_000_000, `${p50} ${p90}`);
  });

  for (const columns of [20, 40, 80, 200]) {
    it(`fit a terminal of ${columns}, every one counted`, () => {
      const rows = recorded(hundred).histogram(columns);
      const counts = rows.map((row) => Number(row.split(" ").at(-1)));
      assertEquals([rows.length, counts.reduce((sum, count) => sum + count)], [10, 100]);
      for (const row of rows) assert([...row].length <= Math.max(columns, 23), row);
      const widest = Math.max(...rows.map((row) => [...row].length));
      if (columns > 23) assertEquals(widest, columns);
    });
  }

  it("that are all alike are one bar, and 0 is a duration too", () => {
    assertEquals(recorded(ten(5)).histogram(30).length, 1);
    assertEquals(recorded(ten(0)).histogram(30).length, 1);
    const rows = recorded([...ten(0), ...ten(100)]).histogram(30);
    assertEquals(rows.map((row) => row.split(" ").at(-1)).join(" "), "10 0 0 0 0 0 0 0 0 10");
  });
});
