import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { latin1 } from "../../lib/testing/wire.ts";
import { Buffer } from "node:buffer";
import { asJson, escape, quote } from "../../lib/wire/quote.ts";
import { Random } from "../support/random.ts";

describe("quote", () => {
  for (
    const [what, data, quoted] of [
      ["printable text as it is", "i am binary, 我是 naïve 🙂", '"i am binary, 我是 naïve 🙂"'],
      ["quotes and backslashes escaped", 'a"b\\c', '"a\\"b\\\\c"'],
      ["a backslash with nothing else to escape", "a\\b", '"a\\\\b"'],
      ["line ends and tabs by name", "a\r\n\tb", '"a\\r\\n\\tb"'],
      ["C0 and DEL", "\x1b[31m\x00\x7f", '"\\x1b[31m\\x00\\x7f"'],
      ["C1", "\u009b31m", '"\\xc2\\x9b31m"'],
      ["bidirectional controls", "\u202eevil\u2066", '"\\xe2\\x80\\xaeevil\\xe2\\x81\\xa6"'],
      ["separators that are not a space", "\u2028\u00a0", '"\\xe2\\x80\\xa8\\xc2\\xa0"'],
      ["joiners between letters", "می\u200cخواهم ක්\u200dෂ", '"می\u200cخواهم ක්\u200dෂ"'],
      ["joiners of emoji", "👩🏽\u200d🚀 🏳\ufe0f\u200d🌈", '"👩🏽\u200d🚀 🏳\ufe0f\u200d🌈"'],
      [
        "joiners of nothing, or of a letter and an emoji",
        "a\u200d 1\u200c2 a\u200d🚀 a\u200d\u200db",
        '"a\\xe2\\x80\\x8d 1\\xe2\\x80\\x8c2 a\\xe2\\x80\\x8d🚀 a\\xe2\\x80\\x8d\\xe2\\x80\\x8db"',
      ],
      [
        "other invisible ones between letters",
        "a\u200bb\u2060c",
        '"a\\xe2\\x80\\x8bb\\xe2\\x81\\xa0c"',
      ],
      ["a byte order mark", "\ufeffhi", '"\\xef\\xbb\\xbfhi"'],
      ["nothing", "", '""'],
    ] as const
  ) {
    it(what, () => assertEquals(quote(data), quoted));
  }

  it("bytes at the edges of what is printable, and of what begins a character", () => {
    const edges = "\x1f \x7e\x7f\u0080\u00a1\u00bf\u07ff\u0800\uffe6\u{10000}\u{3134a}";
    assertEquals(quote(edges), '"\\x1f ~\\x7f\\xc2\\x80¡¿߿ࠀ￦𐀀𱍊"');
    const bytes = [0x80, 0xbf, 0xc1, 0xbf, 0xc2, 0xc0, 0xf4, 0x8f, 0xbf];
    assertEquals(quote(Uint8Array.from(bytes)), '"\\x80\\xbf\\xc1\\xbf\\xc2\\xc0\\xf4\\x8f\\xbf"');
    assertEquals(quote(Uint8Array.of(0xe2, 0x41, 0x8c)), '"\\xe2A\\x8c"');
    assertEquals(quote("a\u200c"), '"a\\xe2\\x80\\x8c"');
    assertEquals(quote("\u200ca"), '"\\xe2\\x80\\x8ca"');
  });

  it("bytes that are not UTF-8", () => {
    assertEquals(quote(new Uint8Array([0x61, 0xff, 0xe4, 0xbd, 0x62])), '"a\\xff\\xe4\\xbdb"');
    assertEquals(
      quote(new Uint8Array([0xc0, 0xaf, 0xed, 0xa0, 0x80])),
      '"\\xc0\\xaf\\xed\\xa0\\x80"',
    );
  });

  it("long data is cut, with its length said", () => {
    assertEquals(quote("x".repeat(1024)), `"${"x".repeat(1024)}"`);
    assertEquals(quote("x".repeat(1025)), `"${"x".repeat(1024)}"... (1025 bytes)`);
    assertEquals(quote("x".repeat(70_000)), `"${"x".repeat(1024)}"... (70000 bytes)`);
  });
});

describe("escape", () => {
  it("leaves quotes and backslashes as they are, unless they are to be escaped too", () => {
    assertEquals(escape(latin1('"\\')), '"\\');
    assertEquals(escape(latin1('"\\'), '"'), '\\"\\');
  });

  it("leaves nothing that a terminal obeys, and loses no byte", () => {
    const random = new Random();
    for (let round = 0; round < 500; round++) {
      const bytes = random.bytes(random.below(100));
      const escaped = escape(bytes, "\\");
      assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(escaped), `seed ${random.seed}, round ${round}`);
      assertEquals(unescape(escaped), bytes, `seed ${random.seed}, round ${round}`);
    }
  });
});

describe("asJson", () => {
  it("has the time, the event and its fields, bytes as text of at most 1,024 bytes", () => {
    const event = {
      event: "message",
      client: "a:1",
      data: latin1('a\\"\xff'),
      long: new Uint8Array(1025),
      buffer: Buffer.from("b"), // Node's sockets return these
    };
    assertEquals(JSON.parse(asJson(event, new Date(0))), {
      time: "1970-01-01T00:00:00.000Z",
      event: "message",
      client: "a:1",
      data: 'a\\\\"\\xff',
      long: "\\x00".repeat(1024),
      buffer: "b",
    });
  });
});

/** The bytes that an escaped text stands for. */
function unescape(text: string): Uint8Array {
  const named: Record<string, string> = { t: "09", n: "0a", r: "0d", "\\": "5c" };
  const hex = text.replace(
    /\\(?:x(..)|(.))|[^\\]+/gs,
    (all, byte, name) => byte ?? named[name] ?? new TextEncoder().encode(all).toHex(),
  );
  return Uint8Array.fromHex(hex);
}
