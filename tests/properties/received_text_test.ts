/** Text that arrives in pieces is searched as if it had arrived at once. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import fc from "fast-check";
import { ReceivedText } from "../../lib/testing/received_text.ts";
import { property } from "../support/property.ts";

/** Patterns of which no match is longer, or earlier, with more text behind it. */
const PATTERNS = [
  "a",
  "ab",
  "\n",
  /\d+\n/,
  /^b/,
  /^b/m,
  /(?<=a)b/,
  /b(?=a)/g,
  /\w{3}/y,
  /a[^]b/i,
  /^/,
];

const character = fc.constantFrom("a", "b", "A", "1", "2", "\n", "é");
/** Fillers that make a text longer than a match, than a lookbehind sees, and than a piece. */
const filler = fc.constantFrom(1023, 1024, 1025, 65_536, (1 << 20) - 1, (1 << 20) + 1)
  .map((length) => "x".repeat(length));
const text = fc.array(
  fc.oneof({ weight: 20, arbitrary: character }, { weight: 1, arbitrary: filler }),
  { maxLength: 40 },
).map((parts) => parts.join(""));
/** Where a text is cut, as fractions of its length. */
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 })
  .map((cuts) => cuts.toSorted((a, b) => a - b));
const patterns = fc.array(fc.constantFrom(...PATTERNS), { maxLength: 8 });

/** The ends of the matches of the patterns, each after the one before; null where there is none. */
function expected(text: string, patterns: readonly (string | RegExp)[]): (number | null)[] {
  let position = 0;
  return patterns.map((pattern) => {
    const { source, flags } = typeof pattern === "string"
      ? { source: RegExp.escape(pattern), flags: "" }
      : pattern;
    const found = new RegExp(source, flags.replace("g", "")).exec(text.slice(position));
    return found && (position += found.index + found[0].length);
  });
}

describe("received text", () => {
  property(
    "is searched as if it had arrived at once",
    fc.record({ text, cuts, patterns }),
    200,
    ({ text, cuts, patterns }) => {
      const received = new ReceivedText();
      const ways = [...cuts.map((cut) => Math.round(cut * text.length)), text.length];
      let at = 0;
      const ends = patterns.map((pattern) => {
        const search = received.search(pattern);
        for (;;) {
          if (search()) return received.position;
          const next = ways.shift();
          if (next === undefined) return null;
          received.append(text.slice(at, next));
          at = next;
        }
      });
      assertEquals(ends, expected(text, patterns));
      assertEquals(received.slice() === text.slice(0, at), true);
    },
  );

  it("has a match of 1 MiB, in whatever pieces", () => {
    for (const step of [50_021, 65_536, 3 << 20]) {
      const text = `${"x".repeat(70_000)}A${"y".repeat((1 << 20) - 2)}B`;
      const received = new ReceivedText();
      const search = received.search(/A[^]*B/);
      let end: number | undefined;
      for (let at = 0; at < text.length && end === undefined; at += step) {
        received.append(text.slice(at, at + step));
        if (search()) end = received.position;
      }
      assertEquals(end, text.length);
    }
  });

  it("drops what it is told to, and finds what is left", () => {
    const received = new ReceivedText();
    for (let at = 0; at < 40; at++) received.append(`${at}`.padEnd(65_536, " "));
    const search = received.search("39 ");
    received.drop(20 * 65_536 + 1);
    assertEquals([received.dropped, received.position], [20 * 65_536, 20 * 65_536]);
    assertEquals(received.slice(0, received.dropped + 3), "20 ");
    assertEquals([search()?.[0], received.position], ["39 ", 39 * 65_536 + 3]);
    assertEquals(received.search("19 ")(), null);
  });
});
