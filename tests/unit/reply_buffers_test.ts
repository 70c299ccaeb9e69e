/** The buffers of replies, which are used again. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ReplyBuffer } from "../../lib/server/reply.ts";

describe("reply buffers", () => {
  it("are used again, but no more than 16 MB are kept", () => {
    const many = () => Array.from({ length: 10_000 }, () => ReplyBuffer.take());
    many(); // what other tests have left
    const first = many();
    const buffers = new Set(first.map(({ bytes }) => bytes));
    first.forEach(ReplyBuffer.give);
    const again = many().filter(({ bytes }) => buffers.has(bytes));
    assertEquals(again.length, (16 << 20) / 4096);
  });
});
