import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { nextReply } from "../../lib/wire/replies.ts";
import { Framer, type Framing } from "../../lib/wire/framing.ts";
import { bytesOf, type Message, MessageTooLong, MessageView } from "../../lib/wire/message.ts";
import { Random } from "../support/random.ts";
import { latin1, text } from "../../lib/testing/wire.ts";

/** Feeds pieces to a framer as reads would, a pause after those that say so, then the end. */
function messages(
  framer: Framer,
  pieces: readonly Uint8Array[],
  pauses: (at: number) => boolean = () => false,
): string[] {
  const found: string[] = [];
  const drain = () => {
    for (let message; (message = framer.next()) !== null;) {
      found.push(text(message.bytes) + "|" + text(framer.ending));
    }
  };
  for (const [at, piece] of pieces.entries()) {
    for (let left = piece; left.length > 0;) {
      const room = framer.room();
      const count = Math.min(room.length, left.length);
      assert(count > 0, "no room for a read");
      room.set(left.subarray(0, count));
      framer.took(count);
      left = left.subarray(count);
      drain();
    }
    if (pauses(at)) {
      framer.room(); // the read that the pause happens in
      framer.pause();
      drain();
    }
  }
  framer.took(null);
  drain();
  return found;
}

/** What lines should come to, by another way than the framer's. */
function lines(stream: string): string[] {
  const parts = stream.split(/(\r?\n)/);
  const found = [];
  for (let at = 0; at < parts.length; at += 2) {
    const [line, ending = ""] = parts.slice(at, at + 2);
    if (line + ending !== "") found.push(`${line}|${ending}`);
  }
  return found;
}

describe("Framer", () => {
  it("gives back long lines and raw messages whole, in reads that grow and shrink", () => {
    const random = new Random();
    for (let round = 0; round < 40; round++) {
      const [longest, count] = random.of([[50, 4], [5000, 40], [100_000, 40]]);
      const said = Array.from({ length: count }, () => "x".repeat(random.below(9000)) + "\n");
      const stream = said.join("");
      const pieces = random.cut(latin1(stream), longest);
      assertEquals(
        messages(new Framer("auto", 65536), pieces),
        lines(stream),
        `seed ${random.seed}, round ${round}`,
      );
    }
  });

  it("raw: what one read returns is one message", () => {
    const pieces = ["a", "b\nc\n", "\n"].map(latin1);
    assertEquals(messages(new Framer("raw", 65536), pieces), ["a|", "b\nc\n|", "\n|"]);
  });

  it("auto: the first LF decides for lines, once", () => {
    const pieces = ["a\n", "b", "c\n", "d"].map(latin1);
    assertEquals(messages(new Framer("auto", 65536), pieces, () => true), ["a|\n", "bc|\n", "d|"]);
  });

  it("auto: a pause before any LF decides for raw, once", () => {
    const pieces = ["a", "b", "c\n", "d"].map(latin1);
    assertEquals(
      messages(new Framer("auto", 65536), pieces, (at) => at === 1),
      ["ab|", "c\n|", "d|"],
    );
  });

  it("auto: once raw, nothing waits for a pause any more", () => {
    const framer = new Framer("auto", 65536);
    const hear = (text: string) => {
      framer.room().set(latin1(text));
      framer.took(text.length);
      return framer.undecided;
    };
    assertEquals(hear("a"), true);
    framer.pause();
    framer.next();
    assertEquals(hear("b"), false);
  });

  it("auto: a pause before any byte decides nothing", () => {
    const framer = new Framer("auto", 65536);
    framer.pause();
    assertEquals(framer.framing, "auto");
  });

  it("refuses a message over the limit, its ending not counted", () => {
    const take = (...pieces: string[]) => messages(new Framer("line", 3), pieces.map(latin1));
    assertEquals(take("123\n", "123\r\n", "123"), ["123|\n", "123|\r\n", "123|"]);
    assertEquals(take("123\r", "\n"), ["123|\r\n"]);
    for (const long of ["1234\n", "1234", "123\r4", "12345"]) {
      assertThrows(() => take(long), MessageTooLong, "message longer than 3 bytes");
    }
    assertEquals(messages(new Framer("raw", 3), ["123"].map(latin1)), ["123|"]);
    const raw = () => messages(new Framer("raw", 3), ["1234"].map(latin1));
    assertThrows(raw, MessageTooLong, "message longer than 3 bytes");
  });

  it("offers small reads while idle, larger ones while they fill, small ones again later", () => {
    const framer = new Framer("line", 65536);
    const offer = (count: (room: number) => number) => {
      const room = framer.room();
      room.fill(10);
      framer.took(count(room.length));
      while (framer.next());
      return room.length;
    };
    assertEquals(offer((room) => room), 64);
    for (let read = 0; read < 5; read++) offer((room) => room);
    assertEquals(offer((room) => room), 16384);
    for (let read = 0; read < 100; read++) offer(() => 1);
    assertEquals(offer(() => 1), 64);
  });
});

describe("a message's copy", () => {
  it("is of a Buffer too, whose slice() shares its bytes", () => {
    const buffer = Buffer.from("hello");
    const copy = bytesOf(buffer);
    buffer.fill(0);
    assertEquals(text(copy), "hello");
  });

  it("is the same, heard at the same time, in bytes of its own", () => {
    const framer = new Framer("line", 10);
    framer.room().set(latin1("hello\n"));
    framer.took(6);
    const message = framer.next() as Message;
    Object.assign(message, { receivedAt: 123 });
    const copy = message.copy();
    message.bytes.fill(0);
    assertEquals([copy.text, copy.receivedAt, copy.length], ["hello", 123, 5]);
  });

  it("keeps a byte order mark in its text, as in its bytes", () => {
    const message = new MessageView(new TextEncoder().encode("\ufeffhello"));
    assertEquals([message.text, message.length], ["\ufeffhello", 8]);
  });
});

describe("nextReply", () => {
  const find = (message: string, held: string, framing: Framing) => {
    const found = nextReply(latin1(held), { message: latin1(message), framing });
    return found && [text(found.reply), found.length, found.framing];
  };

  for (
    const [what, message, held, framing, found] of [
      ["tells lines by the bracket", "a", "[a] now\nmore", "auto", ["[a] now", 8, "line"]],
      ["tells raw by the LF read back, and drops it", "a", "[a\n] now", "auto", [
        "[a] now",
        8,
        "raw",
      ]],
      ["waits for what tells them apart", "ab", "[ab", "auto", null],
      ["waits for a whole line", "a", "[a] no", "auto", null],
      ["waits for more than a raw reply's opening", "a", "[a\n] ", "auto", null],
      ["takes any other server to speak lines", "a", "a\n", "auto", ["a", 2, "line"]],
      ["takes a CR before the LF for the ending", "a", "[a] now\r\n", "line", [
        "[a] now",
        9,
        "line",
      ]],
      ["takes what a raw server sent for its reply", "a", "anything", "raw", [
        "anything",
        8,
        "raw",
      ]],
      ["a message with brackets", "]\r[", "[]\r[\n] now", "auto", ["[]\r[] now", 10, "raw"]],
      ["an empty message", "", "[\n] now", "auto", ["[] now", 7, "raw"]],
    ] as const
  ) {
    it(what, () => assertEquals(find(message, held, framing), found as unknown as null));
  }
});
