/** Counting lines, against the plain way. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { countLines } from "../lib/client/filter.ts";
import { Random } from "./random.ts";

describe("countLines", () => {
  const random = new Random();

  it(`counts LFs and nothing like them, wherever they are, seed ${random.seed}`, () => {
    const near = [0, 9, 10, 11, 0x8a, 0x7f, 0xff, 0xf5] as const;
    const bytes = Uint8Array.from({ length: 4096 }, () => random.of(near));
    for (let start = 0; start < 70; start++) {
      for (const length of [0, 1, 2, 3, 4, 5, 7, 64, 1001]) {
        const part = bytes.subarray(start, start + length);
        assertEquals(countLines(part), part.filter((byte) => byte === 10).length);
      }
    }
  });
});
