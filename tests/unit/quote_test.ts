import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { escape, quote } from "../../lib/wire/quote.ts";
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

  it("bytes that are not UTF-8", () => {
    assertEquals(quote(new Uint8Array([0x61, 0xff, 0xe4, 0xbd, 0x62])), '"a\\xff\\xe4\\xbdb"');
    assertEquals(
      quote(new Uint8Array([0xc0, 0xaf, 0xed, 0xa0, 0x80])),
      '"\\xc0\\xaf\\xed\\xa0\\x80"',
    );
  });

  it("long data is cut, with its length said", () => {
    assertEquals(quote("x".repeat(1024)), `"${"x".repeat(1024)}"`);
    assertEquals(quote("x".repeat(70_000)), `"${"x".repeat(1024)}"... (70000 bytes)`);
  });
});

describe("escape", () => {
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

/** The bytes that an escaped text stands for. */
function unescape(text: string): Uint8Array {
  const named: Record<string, string> = { t: "09", n: "0a", r: "0d", "\\": "5c" };
  const hex = text.replace(
    /\\(?:x(..)|(.))|[^\\]+/gs,
    (all, byte, name) => byte ?? named[name] ?? new TextEncoder().encode(all).toHex(),
  );
  return Uint8Array.fromHex(hex);
}
