/** The figures of round trips, against what they must be. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { RoundTrips } from "../lib/client/round_trips.ts";

function recorded(durations: readonly number[]): RoundTrips {
  const trips = new RoundTrips();
  for (const duration of durations) trips.record(duration);
  return trips;
}

/** Shuffled, since the order must not matter. */
const hundred = Array.from({ length: 100 }, (_, at) => ((at * 37) % 100 + 1) * 0.5);

describe("round trips", () => {
  it("have no figures before there is one", () => {
    assertEquals([recorded([]).figures, recorded([]).histogram(80)], [undefined, []]);
  });

  it("of one are that one", () => {
    assertEquals(recorded([12.3456]).figures, {
      ...{ min: 12.346, avg: 12.346, p50: 12.346, p90: 12.346, p99: 12.346, max: 12.346 },
    });
  });

  it("have percentiles that are right to 0.1 %", () => {
    const { min, avg, p50, p90, p99, max } = recorded(hundred).figures ?? assert(false);
    assertEquals([min, avg, max], [0.5, 25.25, 50]);
    for (const [is, should] of [[p50, 25], [p90, 45], [p99, 49.5]] as const) {
      assertAlmostEquals(is, should, should / 1000);
    }
  });

  it("as short as nothing and as long as a day are counted", () => {
    const { min, max, p50, p99 } = recorded([0, 0, 1e9]).figures ?? assert(false);
    assertEquals([min, max], [0, 1e9]);
    assert(p50 < 0.01 && p99 > 86_000_000, `${p50} ${p99}`);
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
    assertEquals(recorded([5, 5, 5]).histogram(30).length, 1);
    assertEquals(recorded([0, 0]).histogram(30).length, 1);
    assertEquals(recorded([0, 100]).histogram(30).map((row) => row.at(-1)).join(""), "1000000001");
  });
});
