/** Framings of one's own: against models, with random cuts; what is too long; and what is wrong. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { serve } from "../../lib/server/serve.ts";
import { latin1, text, Wire } from "../../lib/testing/wire.ts";
import {
  concat,
  type CustomFraming,
  framed,
  Framer,
  type Framing,
} from "../../lib/wire/framing.ts";
import { MessageTooLong } from "../../lib/wire/message.ts";
import { Random } from "../support/random.ts";
import { netstring } from "../support/services/netstring.ts";

/** Each message after its length, four bytes, the highest first. */
const counted: CustomFraming = {
  read(bytes) {
    if (bytes.length < 4) return 4 - bytes.length;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return { start: 4, end: 4 + view.getUint32(0) };
  },
  write({ length }) {
    const before = new Uint8Array(4);
    new DataView(before.buffer).setUint32(0, length);
    return { before };
  },
};

/** Lines, as the built-in framing has them, but for the limit's last byte. */
const line: CustomFraming = {
  read(bytes, seen, isOver) {
    const lf = bytes.indexOf(10, seen);
    if (lf < 0) return isOver ? { start: 0, end: bytes.length } : 1;
    return { start: 0, end: bytes[lf - 1] === 13 ? lf - 1 : lf, next: lf + 1 };
  },
  write: () => ({ after: "\n" }),
};

/** What a read returns. */
const raw: CustomFraming = {
  read: (bytes) => ({ start: 0, end: bytes.length }),
  write: () => ({}),
};

/** What a framer finds in pieces that come one by one, then the end. */
function messages(framer: Framer, pieces: readonly Uint8Array[]): string[] {
  const found: string[] = [];
  const drain = () => {
    for (let message; (message = framer.next()) !== null;) found.push(text(message.bytes));
  };
  for (let piece of pieces) {
    while (piece.length > 0) {
      const room = framer.room();
      const count = Math.min(room.length, piece.length);
      assert(count > 0, "no room for a read");
      room.set(piece.subarray(0, count));
      framer.took(count);
      piece = piece.subarray(count);
      drain();
    }
  }
  framer.took(null);
  drain();
  return found;
}

function wrap(framing: CustomFraming, message: Uint8Array): Uint8Array<ArrayBuffer> {
  const [before, after] = framed(framing, message);
  return concat([before, message, after]);
}

describe("a framing of one's own", () => {
  for (const [name, framing] of Object.entries({ counted, netstring })) {
    it(`${name}: finds the same messages however the stream is cut, and none that is half`, () => {
      const random = new Random();
      for (let round = 0; round < 300; round++) {
        const said = Array.from(
          { length: random.below(12) },
          () => random.bytes(random.below(random.of([2, 40, 3000]))),
        );
        const half = wrap(framing, random.bytes(1 + random.below(30)));
        const stream = concat([
          ...said.map((message) => wrap(framing, message)),
          half.subarray(0, random.below(half.length)),
        ]);
        const longest = random.of(stream.length < 400 ? [1, 3, 64] : [64, 64, 9000]);
        assertEquals(
          messages(new Framer(framing, 3000), random.cut(stream, longest)),
          said.map(text),
          `seed ${random.seed}, round ${round}`,
        );
      }
    });

    it(`${name}: its limit is exact, and known as soon as the length is`, () => {
      const longest = wrap(framing, new Uint8Array(5000));
      assertEquals(messages(new Framer(framing, 5000), [longest])[0]?.length, 5000);
      const tooLong = wrap(framing, new Uint8Array(5001));
      const limit = () => messages(new Framer(framing, 5000), [tooLong]);
      assertThrows(limit, MessageTooLong, "message longer than 5000 bytes");
      const huge = wrap(framing, new Uint8Array(99999)).subarray(0, 6);
      assertThrows(() => messages(new Framer(framing, 5000), [huge]), MessageTooLong);
    });
  }

  for (const [name, framing] of [["line", line], ["raw", raw]] as const) {
    it(`is what ${name} could be: it finds what the built-in does`, () => {
      const random = new Random();
      for (let round = 0; round < 300; round++) {
        const pieces = random.cut(random.bytes(random.below(300)), random.of([1, 3, 60]));
        assertEquals(
          messages(new Framer(framing, 65536), pieces),
          messages(new Framer(name as Framing, 65536), pieces),
          `seed ${random.seed}, round ${round}`,
        );
      }
    });
  }

  it("is not asked before what it needs is there, nor again for what it knows", () => {
    const asked: [number, number, boolean][] = [];
    const framing: CustomFraming = {
      read(bytes, seen, isOver) {
        asked.push([bytes.length, seen, isOver]);
        return bytes.length < 4 ? 4 - bytes.length : { start: 4, end: 8, next: 9 };
      },
      write: () => ({}),
    };
    const pieces = Array.from("....five,..", latin1);
    assertEquals(messages(new Framer(framing, 10), pieces), ["five"]);
    assertEquals(asked, [[1, 0, false], [4, 1, false], [1, 0, false], [2, 1, true]]);
  });

  it("holds no more than its limit and 1 KiB, whatever it says", () => {
    const endless: CustomFraming = { read: () => 1, write: () => ({}) };
    const held = new Uint8Array(100 + 1024);
    assertThrows(() => messages(new Framer(endless, 100), [held]), MessageTooLong);
    assertEquals(messages(new Framer(endless, 100), [held.subarray(1)]), []);
    const around: CustomFraming = {
      read: () => ({ start: 500, end: 500, next: 1025 }),
      write: () => ({}),
    };
    assertThrows(() => messages(new Framer(around, 100), [held]), MessageTooLong);
    const less = { ...around, read: () => ({ start: 500, end: 500, next: 1024 }) };
    assertEquals(messages(new Framer(less, 100), [held.subarray(0, 1024)]), [""]);
  });

  it("costs as little while nothing is said as lines do", () => {
    assertEquals(new Framer(counted, 65536).room().length, new Framer("line", 65536).room().length);
  });

  for (
    const answer of [
      ...[0, -1, 1.5, NaN, Infinity],
      ...[{ start: 0, end: 0 }, { start: 2, end: 1 }, { start: -1, end: 1 }, {
        start: 0,
        end: NaN,
      }],
      ...[{ start: 0, end: 5, next: 4 }, { start: 0, end: 0.5, next: 1 }, {}, "frame", null],
    ]
  ) {
    it(`that answers ${JSON.stringify(answer)} has a fault`, () => {
      const wrong = { read: () => answer, write: () => ({}) } as unknown as CustomFraming;
      assertThrows(() => messages(new Framer(wrong, 100), [latin1("hello")]), TypeError);
    });
  }
});

describe("serve with a framing of one's own", () => {
  const portOf = ({ addr }: { addr: Deno.Addr }) => (addr as Deno.NetAddr).port;

  async function exchange(port: number, sent: string): Promise<string> {
    using wire = await Wire.dial(port);
    await wire.send(sent);
    await wire.end();
    return await wire.rest();
  }

  it("puts replies of any length between what goes before and after, in order", async () => {
    await using server = serve((message, reply) => {
      const [length = "", isLate] = message.text.split(" ");
      const write = () => reply.write("x".repeat(Number(length)));
      if (length === "none") return;
      return isLate ? Promise.resolve().then(write) : write();
    }, { framing: netstring, concurrency: 3 });
    const lengths = [
      "none",
      "1",
      "none",
      "0 late",
      "20000",
      "none",
      "300 late",
      "0",
      "70000",
      "70000 late",
      "4",
    ];
    const replies = lengths.map((length) => parseInt(length)).filter((length) => length >= 0);
    assertEquals(
      await exchange(
        portOf(server),
        lengths.map((message) => `${message.length}:${message},`).join(""),
      ),
      replies.map((length) => `${length}:${"x".repeat(length)},`).join(""),
    );
  });

  it("refuses what is too long, in a frame", async () => {
    await using server = serve(() => {}, { framing: netstring, maxMessage: 3 });
    const refusal = "error: message longer than 3 bytes";
    assertEquals(await exchange(portOf(server), "4:four,"), `${refusal.length}:${refusal},`);
  });

  for (
    const [what, framing, sentence] of [
      ["read", netstring, "cannot answer: not a netstring: it does not begin with a length"],
      ["write", {
        read: netstring.read,
        write: () => {
          throw new Error("no");
        },
      }, "cannot answer: no"],
    ] as const
  ) {
    it(`whose ${what} throws costs that conversation, and is told`, async () => {
      for (const concurrency of [1, 2]) {
        const told: string[] = [];
        await using server = serve(async (message, reply) => {
          if (concurrency > 1) await null;
          reply.write(message);
        }, { framing, concurrency, onError: ({ message }) => void told.push(message) });
        assertEquals(await exchange(portOf(server), what === "read" ? "hello" : "1:a,"), "");
        assertEquals(told, [sentence]);
      }
    });
  }
});

describe("serve with an ending", () => {
  const portOf = ({ addr }: { addr: Deno.Addr }) => (addr as Deno.NetAddr).port;
  const sent = "a\nb\r\nlate\nc";

  for (
    const [framing, ending, replies] of [
      ["line", "\r\n", "a\r\nb\r\nlate\r\nc\r\n"],
      ["auto", "\r\n", "a\r\nb\r\nlate\r\nc\r\n"],
      ["line", ".\0", "a.\0b.\0late.\0c.\0"],
      ["line", undefined, sent],
      ["raw", "\r\n", sent],
    ] as const
  ) {
    it(`${JSON.stringify(ending)}, ${framing}: ends replies so, whatever the client sends`, async () => {
      await using server = serve((message, reply) => {
        if (message.text !== "late") return reply.write(message);
        return Promise.resolve().then(() => reply.write(message));
      }, { framing, ending });
      using wire = await Wire.dial(portOf(server));
      await wire.send(sent);
      await wire.end();
      assertEquals(await wire.rest(), replies);
    });
  }

  it("ends a refusal too", async () => {
    await using server = serve(() => {}, { maxMessage: 3, ending: "\r\n" });
    using wire = await Wire.dial(portOf(server));
    await wire.send("four\n");
    assertEquals(await wire.rest(), "error: message longer than 3 bytes\r\n");
  });
});
