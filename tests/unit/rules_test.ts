/** What an option may be, to its limits, and how numbers, durations and sizes are written. */

import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import * as checks from "../../lib/checks.ts";

const MOST = 2 ** 31 - 1;
const TIME = `a time in ms, 0 to ${MOST}`;
const COUNT = "a whole number, 1 or more";
const TEXT = "a text that is not empty";

describe("an option that is", () => {
  for (
    const [right, names, good, bad] of [
      [TEXT, "hostname path cert key ending", ["a"], [""]],
      [COUNT, "maxMessage concurrency maxClients", [1, 2, Infinity], [0, 0.5, 1.5, -1, NaN]],
      [
        TIME,
        "timeout wait grace drain idleTimeout handlerTimeout",
        [0, 0.5, MOST],
        [-1, MOST + 1, NaN, Infinity],
      ],
      ["a whole number from 0 to 65535", "port", [0, 65535], [-1, 65536, 0.5]],
      [`a whole number from 0 to ${2 ** 32 - 1}`, "seed", [0, 4294967295], [-1, 2 ** 32, 0.5]],
      ["at least one listener", "listeners", [[{}]], [[]]],
    ] as const
  ) {
    it(right, () => {
      for (const name of names.split(" ")) {
        for (const value of [...good, undefined]) checks.checkOptions({ [name]: value });
        for (const value of bad) {
          const { message } = assertThrows(() =>
            checks.checkOptions({ other: 1, [name]: value })
          ) as Error;
          assertEquals(message.split(", not")[0], `${name} must be ${right}`);
        }
      }
    });
  }

  it("a port to connect to", () => {
    for (const port of [1, 65535]) checks.checkOptions({ port }, checks.CONNECTING);
    for (const port of [0, 65536, 1.5]) {
      const why = `port must be a whole number from 1 to 65535, not ${port}`;
      assertThrows(() => checks.checkOptions({ port }, checks.CONNECTING), RangeError, why);
    }
  });
});

describe("an option that is wrong", () => {
  it("is described, a text in quotes", () => {
    for (
      const [value, Wrong, description] of [
        ["a\n", RangeError, '"a\\n"'],
        [-5, RangeError, "-5"],
        [null, TypeError, "null"],
        [true, TypeError, "true"],
      ] as const
    ) {
      const sentence = `grace must be ${TIME}, not ${description}`;
      const check = () => checks.checkOne("grace", value, checks.timeRule);
      assertEquals(assertThrows(check, Wrong).message, sentence);
    }
  });

  it("may have had that name in an older version", () => {
    for (
      const [old, name] of [
        ...[["open", "onOpen"], ["close", "onClose"], ["prepare", "onAccept"]],
        ["messageTimeout", "handlerTimeout"],
      ] as const
    ) {
      const check = () => checks.checkOptions({ [old]: 1 });
      const sentence = `there is no option ${old}: use ${name}`;
      assertEquals(assertThrows(check, TypeError).message, sentence);
      checks.checkOptions({ [old]: undefined });
    }
  });
});

describe("a number in a text is", () => {
  for (
    const [text, read, value] of [
      ["0", checks.duration, 0],
      ["1.5", checks.duration, 1500],
      ["10ms", checks.duration, 10],
      ["10s", checks.duration, 10_000],
      ["2m", checks.duration, 120_000],
      ["1h", checks.duration, 3_600_000],
      [`${MOST}ms`, checks.duration, MOST],
      ["100us", checks.interval, 0.1],
      ["999999999us", checks.interval, 999_999.999],
      ["2s", checks.interval, 2000],
      ["0", checks.size, 0],
      ["12k", checks.size, 12_000],
      ["3M", checks.size, 3_000_000],
      ["999999999999", checks.size, 999_999_999_999],
    ] as const
  ) {
    it(`${text} as ${read.name}`, () => assertEquals(read(text), value));
  }

  for (
    const [read, why, ...texts] of [
      [
        checks.duration,
        "must be a duration like 500ms, 2s or 1m",
        ...["", "s", "1d", "-1", "1.", ".5", "1 s", "x1s", "1sx", `${MOST + 1}ms`, "100us"],
      ],
      [
        checks.interval,
        "must be a duration like 500ms, 2s or 1m",
        "1234567890us",
        "1.5us",
        "x1us",
        "1us5",
      ],
      [
        checks.size,
        "must be a number of bytes like 500, 10k or 1M",
        ...["", "k", "1.5k", "-1", "1K", "1kk", "x1", "1x", "1234567890123"],
      ],
    ] as const
  ) {
    it(`no ${read.name}: ${texts}`, () => {
      for (const text of texts) {
        assertEquals(assertThrows(() => read(text), RangeError, undefined, text).message, why);
      }
    });
  }
});

describe("a version", () => {
  it("is older than another by its numbers, not by its letters", () => {
    for (
      const [one, other, isOlder] of [
        ["2.3.9", "2.4.0", true],
        ["2.9.0", "2.10.0", true],
        ["2.4.0", "2.4.0", false],
        ["2.4.1", "2.4.0", false],
        ["1.99.99", "2.0.0", true],
        ["2.4.0-rc.1", "2.4.0", false],
      ] as const
    ) {
      assertEquals(checks.isOlder(one, other), isOlder, `${one} ${other}`);
    }
  });
});

it("an error has a message, whatever was thrown", () => {
  assertEquals(checks.errorMessage(new Error("no")), "no");
  assertEquals(checks.errorMessage("text"), "text");
  assertEquals(checks.errorMessage(undefined), "undefined");
  assertEquals(checks.errorMessage(Object.create(null)), "the thrown value has no message");
});
