/** Framing: a stream has the same messages however it arrives. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import fc from "fast-check";
import type { CustomFraming } from "../../lib/mod.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { Framer, type Framing } from "../../lib/wire/framing.ts";
import { MessageTooLong } from "../../lib/wire/message.ts";
import { property } from "../support/property.ts";
import { netstring } from "../support/services/netstring.ts";

/** A stream, and the lengths of the pieces in which it arrives, again and again. */
type Cut = readonly [stream: string, lengths: readonly number[]];

const lengths = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 70_000 })),
  { minLength: 1, maxLength: 6 },
);
/** Mostly the bytes that matter to framing, and lines around the sizes of reads. */
const byte = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("\n", "\r", "a", "\0") },
  { weight: 1, arbitrary: fc.nat(255).map((code) => String.fromCharCode(code)) },
);
const size = fc.tuple(
  fc.constantFrom(64, 512, 4096, 16_384, 65_536),
  fc.integer({ min: -2, max: 2 }),
)
  .map(([size, more]) => "x".repeat(size + more));
const stream = fc.array(fc.oneof({ weight: 20, arbitrary: byte }, { weight: 1, arbitrary: size }), {
  maxLength: 80,
}).map((parts) => parts.join(""));

const LIMIT = 1 << 20;

/** The messages of a stream that arrives in pieces, each with its ending. */
function messages(
  framing: Framing | CustomFraming,
  [stream, lengths]: Cut,
  limit = LIMIT,
  found: string[] = [],
): string[] {
  const framer = new Framer(framing, limit);
  const take = () => {
    for (let message; (message = framer.next()) !== null;) {
      found.push(`${text(message.bytes)}|${text(framer.ending)}`);
    }
  };
  const bytes = latin1(stream);
  for (let at = 0, piece = 0; at < bytes.length;) {
    const room = framer.room();
    assert(room.length > 0, "no room for a read");
    // Where a stream is long, its pieces grow: that many tiny ones prove no more.
    const length = (lengths[piece % lengths.length] ?? 1) * (piece < 200 ? 1 : 40);
    piece++;
    const arrived = bytes.subarray(at, at + Math.min(length, room.length));
    room.set(arrived);
    framer.took(arrived.length);
    at += arrived.length;
    take();
  }
  framer.took(null);
  take();
  return found;
}

/** The lines of a stream, found in another way. */
function lines(stream: string): string[] {
  const whole = stream.split("\n");
  const last = whole.pop();
  const found = whole.map((line) =>
    line.endsWith("\r") ? `${line.slice(0, -1)}|\r\n` : `${line}|\n`
  );
  return last ? [...found, `${last}|`] : found;
}

describe("framing", () => {
  property("has the same lines in any pieces", fc.tuple(stream, lengths), 400, (cut) => {
    assertEquals(messages("line", cut), lines(cut[0]));
    if (cut[0].includes("\n")) assertEquals(messages("auto", cut), lines(cut[0]));
  });

  it("has the same lines in every way to cut a short stream", () => {
    const alphabet = ["a", "\r", "\n"];
    let streams = [""];
    for (let length = 1; length <= 5; length++) {
      streams = streams.flatMap((stream) => alphabet.map((byte) => stream + byte));
      for (const stream of streams) {
        const whole = lines(stream);
        for (let cuts = 0; cuts < 1 << (length - 1); cuts++) {
          // A bit says whether the stream is cut there.
          const pieces = `0${length > 1 ? cuts.toString(2).padStart(length - 1, "0") : ""}`
            .replaceAll("1", " 1")
            .split(" ").map((piece) => piece.length);
          assertEquals(messages("line", [stream, pieces]), whole);
        }
      }
    }
  });

  const limited = fc.tuple(fc.tuple(stream, lengths), fc.integer({ min: 1, max: 100 }));
  property("refuses the first line over the limit, not those before it", limited, 200, (input) => {
    const [cut, limit] = input;
    const all = lines(cut[0]);
    const long = all.findIndex((line) => line.split("|").slice(0, -1).join("|").length > limit);
    if (long < 0) return assertEquals(messages("line", cut, limit), all);
    const found: string[] = [];
    assertThrows(() => messages("line", cut, limit, found), MessageTooLong);
    assertEquals(found, all.slice(0, long));
  });

  const texts = fc.tuple(fc.array(fc.oneof(stream, size), { maxLength: 10 }), lengths);
  property("by a custom framing gives what was framed, in any pieces", texts, 120, (input) => {
    const [texts, lengths] = input;
    const framed = texts.map((text) => `${text.length}:${text},`).join("");
    assertEquals(messages(netstring, [framed, lengths]), texts.map((text) => `${text}|`));
  });
});
