/** Framings to their limits: the sizes of reads, the reasons for a decision, frames of one's own. */

import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  concat,
  type CustomFraming,
  endingOf,
  findFrame,
  type Frame,
  framed,
  Framer,
  FRAMINGS,
  messagesOf,
} from "../../lib/wire/framing.ts";
import { MessageTooLong } from "../../lib/wire/message.ts";
import { latin1, text } from "../../lib/testing/wire.ts";

/** Reads so many bytes into a framer's room, all LFs; returns the size of the room. */
function read(framer: Framer, count: number | "all", byte = 10): number {
  const room = framer.room();
  const { length } = room;
  room.fill(byte);
  framer.took(count === "all" ? length : count);
  while (framer.next());
  return length;
}

describe("a read has room for", () => {
  it("64 bytes, and eight times as many each time they are filled, up to 16 KiB", () => {
    const framer = new Framer("line", 65536);
    const rooms = Array.from({ length: 5 }, () => read(framer, "all"));
    assertEquals(rooms, [64, 512, 4096, 16384, 16384]);
  });

  it("an eighth after 16 reads in a row of less than that", () => {
    const framer = new Framer("line", 65536);
    read(framer, "all");
    read(framer, "all");
    for (let time = 0; time < 20; time++) assertEquals(read(framer, 512), 4096);
    for (let time = 0; time < 15; time++) assertEquals(read(framer, 511), 4096);
    assertEquals(read(framer, 512), 4096);
    for (let time = 0; time < 16; time++) assertEquals(read(framer, 511), 4096);
    assertEquals(read(framer, 1), 512);
    for (let time = 0; time < 14; time++) assertEquals(read(framer, 1), 512);
    assertEquals([read(framer, 1), read(framer, 1)], [512, 64]);
    for (let time = 0; time < 40; time++) assertEquals(read(framer, 1), 64);
  });

  it("a raw message and a byte more, up to 64 KiB", () => {
    for (const [most, room] of [[10, 11], [65535, 65536], [65536, 65536], [1e6, 65536]] as const) {
      assertEquals(new Framer("raw", most).room().length, room);
    }
    const auto = new Framer("auto", 1000);
    assertEquals(read(auto, 1, 120), 64);
    assertEquals(auto.room().length, 1001);
  });

  it("what is held, and as much again", () => {
    const framer = new Framer("line", 65536);
    assertEquals(read(framer, "all", 120), 64);
    assertEquals(read(framer, 500, 120), 512);
    assertEquals(read(framer, 12, 120), 564); // 564 are held, and 12 bytes of room are too few
    assertEquals([read(framer, 40, 120), read(framer, 1, 120)], [552, 512]);
    assertEquals([read(framer, 1, 120), framer.rest.length], [617, 618]);
    assertEquals(framer.roomBeside().length, 618);
    const small = new Framer("line", 65536);
    for (let time = 0; time < 3; time++) read(small, "all", 120);
    assertEquals(text(small.rest), "x".repeat(64 + 512 + 4096));
  });
});

describe("auto", () => {
  it("says once what it has chosen, and why", () => {
    for (
      const [data, chosen] of [
        ["a", ["raw", "50 ms without an LF"]],
        ["a\n", ["line", "an LF came"]],
      ] as const
    ) {
      const framer = new Framer("auto", 100);
      const told: string[][] = [];
      framer.onDecided = (...decided) => told.push(decided);
      assertEquals([framer.undecided, framer.filled], [false, false]);
      framer.room().set(latin1(data));
      framer.took(data.length);
      while (framer.next());
      framer.pause();
      framer.pause();
      assertEquals([told, framer.undecided], [[[...chosen]], false]);
    }
  });
});

describe("a line's end is found", () => {
  it("wherever it is, in short and in long lines, after what looks like it", () => {
    for (const near of ["\x00", "\x0b", "\x09", "\x8a", "\x0a".repeat(0) + "\r"]) {
      for (const length of [0, 1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 258, 259, 260, 261, 1000]) {
        const framer = new Framer("line", 65536);
        let left = latin1(near.repeat(length) + "x\nrest");
        while (left.length > 0) {
          const room = framer.room();
          const piece = left.subarray(0, room.length);
          room.set(piece);
          framer.took(piece.length);
          left = left.subarray(piece.length);
          if (left.length > 0) assertEquals(framer.next(), null);
        }
        assertEquals(framer.next()?.length, length + 1, `${length}`);
        assertEquals([text(framer.ending), framer.next()], ["\n", null]);
        assertEquals(text(framer.rest), "rest");
      }
    }
  });
});

describe("a frame", () => {
  const found = (result: Frame | number, most = 100, held = 10) => {
    const framing = { read: () => result, write: () => ({}) };
    return findFrame(framing, new Uint8Array(held), 0, false, most);
  };

  it("has its message, and up to 1,024 bytes around it", () => {
    assertEquals(found({ start: 1, end: 3 }), { start: 1, end: 3, next: 3, value: undefined });
    const frame = { start: 1, end: 3, next: 4, value: "v" };
    assertEquals(found(frame), frame);
    assertEquals(found({ start: 0, end: 0, next: 1 }), {
      ...{ start: 0, end: 0, next: 1, value: undefined },
    });
    for (const most of [{ start: 0, end: 100 }, { start: 24, end: 124, next: 1124 }]) {
      assertEquals(typeof found(most), "object");
    }
    for (const over of [{ start: 0, end: 101 }, { start: 25, end: 125, next: 1125 }]) {
      assertThrows(() => found(over), MessageTooLong);
    }
  });

  it("is awaited up to the longest that there may be", () => {
    assertEquals([found(1), found(1114)], [11, 1124]);
    assertThrows(() => found(1115), MessageTooLong);
  });

  it("is no place outside the stream, and no number of bytes that is none", () => {
    for (const wrong of [0, -1, 0.5, NaN]) {
      const why =
        `a framing's read() must return a frame, or the number of missing bytes: not ${wrong}`;
      assertThrows(() => found(wrong), TypeError, why);
    }
    for (
      const wrong of [
        { start: -1, end: 1 },
        { start: 2, end: 1 },
        { start: 0, end: 2, next: 1 },
        { start: 0, end: 0, next: 0 },
        { start: 0.5, end: 1 },
        { start: 0, end: 1.5 },
        { start: 0, end: 1, next: 1.5 },
      ]
    ) {
      const { start, end, next = end } = wrong as Frame;
      assertThrows(() => found(wrong), TypeError, `not ${JSON.stringify({ start, end, next })}`);
    }
  });

  it("is asked for once, when enough bytes are held, with what was seen, and at the end", () => {
    const asked: string[] = [];
    const framing: CustomFraming = {
      read(bytes, seen, isOver) {
        asked.push(`${text(bytes)} ${seen} ${isOver}`);
        return bytes.length < 2 && !isOver ? 2 : { start: 1, end: 3, next: 4, value: asked.length };
      },
      write: () => ({}),
    };
    const framer = new Framer(framing, 100);
    const messages: unknown[] = [];
    for (const piece of ["a", "b", "c", "de", "f", "ghi", null]) {
      const room = framer.room();
      if (piece !== null) room.set(latin1(piece));
      framer.took(piece?.length ?? null);
      for (let message; (message = framer.next()) !== null;) {
        messages.push([message.text, message.value]);
      }
    }
    assertEquals(messages, [["bc", 2], ["fg", 4]]);
    assertEquals(asked, [
      "a 0 false",
      "abc 1 false",
      "e 0 false",
      "efghi 1 false",
      "i 0 false",
      "i 1 true",
    ]);
  });

  it("has text or bytes before and after its message", () => {
    const parts = (part: unknown) => {
      const write = () => ({ before: part as string, after: part as string });
      return framed({ read: () => 1, write }, latin1("a")).map(text);
    };
    assertEquals([parts("é"), parts(latin1("b"))], [["\xc3\xa9", "\xc3\xa9"], ["b", "b"]]);
    assertEquals(parts(undefined), ["", ""]);
    const why = "a framing's write() must return text or bytes, not number";
    assertThrows(() => parts(5), TypeError, why);
  });
});

it("a datagram's ending is LF or CRLF, and in raw framing nothing", () => {
  const ending = (data: string, framing: "line" | "raw" = "line") =>
    text(endingOf(latin1(data), framing));
  assertEquals(["a\n", "a\r\n", "a", "a\r", "\n", "\r\n", ""].map((data) => ending(data)), [
    ...["\n", "\r\n", "", "", "\n", "\r\n", ""],
  ]);
  assertEquals(ending("a\r\n", "raw"), "");
});

it("byte strings are joined, and an input is cut into messages", async () => {
  assertEquals(text(concat(["a", "", "bc"].map(latin1))), "abc");
  assertEquals(concat([]).length, 0);
  const left = ["a\nb", "\nc"].map(latin1);
  const input = {
    read(into: Uint8Array) {
      const piece = left.shift();
      if (piece) into.set(piece);
      return Promise.resolve(piece?.length ?? null);
    },
  };
  const messages = await Array.fromAsync(messagesOf(input, new Framer("line", 10)), text);
  assertEquals(messages, ["a", "b", "c"]);
  assertEquals(FRAMINGS, ["auto", "line", "raw"]);
});
