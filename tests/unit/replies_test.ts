/** Messages as they are sent, replies as they are found, and the queue of what waits for them. */

import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { latin1, text } from "../../lib/testing/wire.ts";
import type { CustomFraming, Framing } from "../../lib/wire/framing.ts";
import {
  bytesOf,
  ErrorReply,
  errorReply,
  FramingError,
  isErrorReply,
  MessageTooLong,
  MessageView,
} from "../../lib/wire/message.ts";
import { frame, isReplyTo, nextReply, Queue, type ReplySearch } from "../../lib/wire/replies.ts";

describe("a message is framed", () => {
  const framed = (message: string, framing: Framing | CustomFraming) =>
    text(frame(latin1(message), framing));

  it("as a line, also before the framing is known; raw as it is; or by a custom framing", () => {
    for (const framing of ["auto", "line"] as const) {
      assertEquals([framed("a", framing), framed("", framing)], ["a\n", "\n"]);
      assertEquals(framed("a\rb", framing), "a\rb\n");
      const lf = "a message with a line end would be received as two: send each line as a message";
      for (const message of ["a\nb", "\n", "a\r\n"]) {
        assertThrows(() => framed(message, framing), Error, lf);
      }
      const cr = "a message that ends with CR would be received without it: use another framing";
      assertThrows(() => framed("a\r", framing), Error, cr);
    }
    assertEquals(framed("a\n", "raw"), "a\n");
    const empty = "an empty message can't be sent to a server that uses raw framing";
    assertThrows(() => framed("", "raw"), Error, empty);
    const custom: CustomFraming = { read: () => 1, write: () => ({ before: "<", after: ">" }) };
    assertEquals(framed("a\n", custom), "<a\n>");
  });
});

describe("a reply is found", () => {
  const found = (held: string, search: Omit<ReplySearch, "message"> & { message?: string }) => {
    const { message, ...more } = search;
    const reply = nextReply(latin1(held), {
      ...more,
      message: message === undefined ? undefined : latin1(message),
    });
    return reply && [text(reply.reply), reply.length, reply.framing];
  };

  it("as a line, where lines are expected or nothing is known", () => {
    for (const framing of ["auto", "line"] as const) {
      assertEquals(found("", { framing }), null);
      assertEquals(found("a", { framing }), null);
      assertEquals(found("a\nb\n", { framing }), ["a", 2, framing]);
      assertEquals(found("a\r\nb", { framing }), ["a", 3, framing]);
      assertEquals([found("\n", { framing }), found("\r\n", { framing })], [
        ...[["", 1, framing], ["", 2, framing]],
      ]);
    }
  });

  it("as what was read, in raw framing without a message", () => {
    assertEquals(found("a\nb", { framing: "raw" }), ["a\nb", 3, "raw"]);
  });

  it("in raw framing once more has come than its opening", () => {
    const raw = { framing: "raw", message: "ab" } as const;
    assertEquals(["[", "[ab", "[ab]", "[ab] "].map((held) => found(held, raw)), [
      ...[null, null, null, null],
    ]);
    assertEquals(found("[ab] n", raw), ["[ab] n", 6, "raw"]);
    assertEquals(found("[ab]x", raw), ["[ab]x", 5, "raw"]);
    assertEquals(found("x", raw), ["x", 1, "raw"]);
  });

  it("in auto by the ending that was sent, which a raw server reads back", () => {
    const auto = { framing: "auto", message: "ab", ending: latin1("\r\n") } as const;
    assertEquals(found("[ab\r\n] now", auto), ["[ab] now", 10, "raw"]);
    assertEquals(found("[ab\r\n] ", auto), null);
    assertEquals(found("[ab\n] now", auto), ["[ab", 4, "line"]);
    assertEquals(found("[ab\r", auto), null);
    assertEquals(found("[ab] now\r\n", auto), ["[ab] now", 10, "line"]);
  });

  it("by a custom framing, whose errors are explained", () => {
    const asked: unknown[] = [];
    const framing = (result: ReturnType<CustomFraming["read"]>): CustomFraming => ({
      read: (bytes, seen, isOver) => (asked.push([text(bytes), seen, isOver]), result),
      write: () => ({}),
    });
    const whole = framing({ start: 1, end: 2, next: 3, value: "v" });
    assertEquals(found("abc", { framing: whole }), ["b", 3, whole]);
    assertEquals(nextReply(latin1("abc"), { framing: whole })?.value, "v");
    assertEquals(found("ab", { framing: whole, isOver: true }), null);
    assertEquals(found("ab", { framing: framing(1) }), null);
    assertEquals(asked, [
      ...[["abc", 0, false], ["abc", 0, false], ["ab", 0, true], ["ab", 0, false]],
    ]);
    const long = framing({ start: 0, end: 5 });
    const why = "message longer than 4 bytes";
    assertThrows(() => found("a", { framing: long, maxLength: 4 }), FramingError, why);
    assertEquals(found("abcde", { framing: long }), ["abcde", 5, long]);
    for (const thrown of [new FramingError("no"), new Error("no"), "no"]) {
      const read = () => {
        throw thrown;
      };
      assertThrows(() => found("a", { framing: { read, write: () => ({}) } }), FramingError, "no");
    }
  });

  it("of a message if that is in brackets at its beginning, and no bracket follows", () => {
    const is = (message: string, reply: string) => isReplyTo(latin1(message), latin1(reply));
    assertEquals(is("a", "[a] now") && is("", "[] now") && is("a]", "[a]] now"), true);
    const others = [["a", "a] now"], ["a", "[b] now"], ["a", "[a] n]w"], ["ab", "[a] now"]];
    assertEquals(others.filter(([message = "", reply = ""]) => is(message, reply)), []);
  });
});

describe("a queue", () => {
  it("has what is not settled, in order", () => {
    const settled = new Set<object>();
    const queue = new Queue<{ id: number }>((item) => settled.has(item));
    const items = Array.from({ length: 6 }, (_, id) => ({ id }));
    assertEquals([queue.first, queue.length, queue.shift()], [undefined, 0, undefined]);
    for (const item of items) queue.push(item);
    assertEquals([queue.length, queue.first?.id], [6, 0]);
    for (const at of [0, 1, 3]) settled.add(items[at] as object);
    assertEquals([queue.first?.id, queue.length], [2, 4]);
    assertEquals(queue.find(({ id }) => id > 2)?.id, 4);
    assertEquals(queue.find(({ id }) => id > 9), undefined);
    assertEquals([queue.shift()?.id, queue.shift()?.id, queue.length], [2, 4, 1]);
    queue.push({ id: 9 });
    assertEquals([queue.shift()?.id, queue.shift()?.id, queue.shift(), queue.length], [
      ...[5, 9, undefined, 0],
    ]);
  });

  it("without a test keeps what it has until that is removed, however much", () => {
    const queue = new Queue<{ id: number }>();
    const removed: (number | undefined)[] = [];
    for (let id = 0; id < 1000; id++) {
      queue.push({ id });
      if (id % 3 > 0) removed.push(queue.shift()?.id);
    }
    while (queue.first !== undefined) removed.push(queue.shift()?.id);
    assertEquals(removed, Array.from({ length: 1000 }, (_, id) => id));
  });
});

describe("a message", () => {
  it("is a view of what was received, and its copy is not", () => {
    const source = latin1("xabcx");
    const view = new MessageView(source, 4);
    view.start = 1;
    view.receivedAt = 5;
    assertEquals([view.text, view.length, view.bytes.length], ["abc", 3, 3]);
    const copy = Object.assign(view, { value: "v" }).copy();
    source.fill(0);
    assertEquals([copy.text, copy.receivedAt, copy.value, copy.start], ["abc", 5, "v", 0]);
    assertEquals([new MessageView().length, new MessageView(latin1("ab")).length], [0, 2]);
    assertEquals([new MessageView().receivedAt, new MessageView().value], [0, undefined]);
    for (const from of ["é", latin1("\xc3\xa9"), new MessageView(latin1("\xc3\xa9"))]) {
      assertEquals(text(bytesOf(from)), "\xc3\xa9");
    }
  });

  it("that is refused has a reason", () => {
    assertEquals(text(errorReply("no")), "error: no");
    assertEquals(
      ["error: no", "error: ", "error:", "Error: no", "xerror: "].map((one) =>
        isErrorReply(latin1(one))
      ),
      [true, true, false, false, false],
    );
    const error = new ErrorReply(new MessageView(latin1("error:  no \r")));
    assertEquals([error.name, error.message], ["ErrorReply", "the server refused: no"]);
    const framing = new FramingError("why", { reply: "no", cause: 5 });
    assertEquals([framing.name, framing.message, framing.reply, framing.cause], [
      ...["FramingError", "why", "no", 5],
    ]);
    const long = new MessageTooLong(5);
    assertEquals([long.message, long.limit], ["message longer than 5 bytes", 5]);
    assertEquals(long instanceof RangeError, true);
  });
});
