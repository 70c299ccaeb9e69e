import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { latin1 } from "../../lib/testing/wire.ts";
import {
  duration,
  help,
  interval,
  oneOf,
  parse,
  text,
  UsageError,
  whole,
} from "../../lib/cli/options.ts";
import { encodeEscapes } from "../../lib/wire/quote.ts";

const TABLE = {
  host: { value: "HOST", fallback: "here", read: text, help: "a host" },
  port: { short: "p", value: "PORT", fallback: "6969", read: whole(0, 65535), help: "a port" },
  maxClients: { value: "N", read: whole(1, 9), help: "a number" },
  wait: { short: "w", value: "DUR", fallback: "2s", read: duration, help: "a time" },
  every: { value: "DUR", fallback: "1s", read: interval, help: "a period" },
  how: { value: "a|b", fallback: "a", read: oneOf("a", "b"), help: "a way" },
  say: { short: "s", value: "TEXT", many: true, read: text, help: "a text" },
  loud: { short: "l", help: "a flag", not: ["say", "soft"] },
  soft: { help: "another", needs: ["how"] },
} as const;

const read = (...args: string[]) => parse(TABLE, args);
const NONE = {
  host: "here",
  port: 6969,
  maxClients: undefined,
  wait: 2000,
  every: 1000,
  how: "a" as const,
  say: [],
  loud: false,
  soft: false,
};

describe("parse", () => {
  it("gives what the table falls back to", () => assertEquals(read(), NONE));

  for (
    const [args, values] of [
      [["--port", "0"], { port: 0 }],
      [["--port=80"], { port: 80 }],
      [["-p80"], { port: 80 }],
      [["-p", "80", "-l"], { port: 80, loud: true }],
      [["-lp", "80"], { port: 80, loud: true }],
      [["--max-clients", "3"], { maxClients: 3 }],
      [["there"], { host: "there" }],
      [["there", "80"], { host: "there", port: 80 }],
      [["127.0.0.1"], { host: "127.0.0.1" }],
      [["--", "-there"], { host: "-there" }],
      [["--", "--loud=x"], { host: "--loud=x" }],
      [["-s", "a b", "--say", "1"], { say: ["a b", "1"] }],
      [["--say=-x"], { say: ["-x"] }],
      [["-sa=b", "-s=a=b", "--say=a=b"], { say: ["a=b", "a=b", "a=b"] }],
      [["--say=--"], { say: ["--"] }],
      [["-s", "1e3"], { say: ["1e3"] }],
      [["--loud", "there"], { host: "there", loud: true }],
      [["--wait", "500ms"], { wait: 500 }],
      [["--wait", "1.5"], { wait: 1500 }],
      [["--wait", "1m"], { wait: 60_000 }],
      [["--wait", "1h"], { wait: 3_600_000 }],
      [["--every", "100us"], { every: 0.1 }],
      [["-w", "0"], { wait: 0 }],
      [["-s", "-5", "-s", "-", "-p=80"], { say: ["-5", "-"], port: 80 }],
      [["--soft", "--how", "b"], { soft: true, how: "b" as const }],
    ] as const
  ) {
    it(args.join(" "), () => assertEquals(read(...args), { ...NONE, ...values }));
  }

  for (
    const [args, sentence] of [
      [["--prot", "1"], 'unknown option "--prot": did you mean --port?'],
      [["--maxclients", "1"], 'unknown option "--maxclients": did you mean --max-clients?'],
      [["--frobnicate"], 'unknown option "--frobnicate": --help lists the options'],
      [["-x"], 'unknown option "-x": --help lists the options'],
      [["--no-loud"], 'unknown option "--no-loud": --help lists the options'],
      [["--_"], 'unknown option "--_": --help lists the options'],
      [["--=x"], 'unknown option "--": --help lists the options'],
      [["--host.x", "1"], 'unknown option "--host.x": did you mean --host?'],
      [["--port"], "--port needs a value: --port=PORT"],
      [["-lp"], "--port needs a value: --port=PORT"],
      [["--port", "--", "80"], "--port needs a value: --port=PORT"],
      [["-p", "1", "--port", "2"], "--port is given twice: give it once"],
      [["-p", "-1"], 'cannot use --port "-1": must be a whole number from 0 to 65535'],
      [["--port", ""], "--port needs a value: --port=PORT"],
      [["--port="], "--port needs a value: --port=PORT"],
      [["--port", "--loud"], "--port needs a value: --port=PORT"],
      [["--port", "abc"], 'cannot use --port "abc": must be a whole number from 0 to 65535'],
      [["--port", "65536"], 'cannot use --port "65536": must be a whole number from 0 to 65535'],
      [["--port=-1"], 'cannot use --port "-1": must be a whole number from 0 to 65535'],
      [["--port", "1e3"], 'cannot use --port "1e3": must be a whole number from 0 to 65535'],
      [["--port", "0x10"], 'cannot use --port "0x10": must be a whole number from 0 to 65535'],
      [["--port", " 1 "], 'cannot use --port " 1 ": must be a whole number from 0 to 65535'],
      [["--wait", "2d"], 'cannot use --wait "2d": must be a duration like 500ms, 2s or 1m'],
      [["--wait", "5us"], 'cannot use --wait "5us": must be a duration like 500ms, 2s or 1m'],
      [["--wait=-1"], 'cannot use --wait "-1": must be a duration like 500ms, 2s or 1m'],
      [["-s", ""], "--say needs a value: --say=TEXT"],
      [["--how", "c"], 'cannot use --how "c": must be a or b'],
      [["--how", "\x1b[31m"], 'cannot use --how "\\x1b[31m": must be a or b'],
      [["--loud=yes"], "--loud takes no value: write --loud alone"],
      [["--loud=false"], "--loud takes no value: write --loud alone"],
      [["-l=1"], "--loud takes no value: write --loud alone"],
      [["-l", "-s", "a"], "cannot combine --loud and --say: choose one of them"],
      [["--soft", "-l"], "cannot combine --loud and --soft: choose one of them"],
      [["--soft"], "--soft makes sense only with --how: add that, or leave it out"],
      [["a", "1", "c"], 'stray argument "c": --help lists the options'],
      [["--host", "a", "b"], 'stray argument "b": --host is given too'],
    ] as const
  ) {
    it(args.join(" "), () => {
      assertThrows(() => read(...args), UsageError, sentence);
    });
  }

  it("--help and --version win", () => {
    assertEquals(read("--port", "x", "-h"), "help");
    assertEquals(read("--version"), "version");
  });
});

describe("help", () => {
  it("has a line for every option, with its value and what it falls back to", () => {
    assertMatch(help(TABLE), /^ {2}-p, --port PORT {6,}a port \(6969\)$/m);
    assertMatch(help(TABLE), /^ {6}--max-clients N {2,}a number$/m);
    assertMatch(help(TABLE), /^ {2}-l, --loud {8,}a flag$/m);
    assertEquals(help(TABLE).trim().split("\n").length, 9 + 4); // a group, help, version
  });
});

describe("encodeEscapes", () => {
  for (
    const [text, bytes] of [
      ["plain", "plain"],
      ["a\\nb\\r\\t\\\\", "a\nb\r\t\\"],
      ["\\x00\\xff\\x4A", "\x00\xffJ"],
      ["\\\\n", "\\n"],
      ["é", "\xc3\xa9"],
    ] as const
  ) {
    it(`${text}`, () => assertEquals(latin1(bytes), encodeEscapes(text)));
  }

  for (const wrong of ["C:\\users", "\\x4", "\\xg0", "end\\", "\\0", "\\N"]) {
    it(`rejects ${wrong}, and says what there is`, () => {
      assertThrows(() => encodeEscapes(wrong), RangeError, "write \\n, \\r, \\t, \\\\ or \\xNN");
    });
  }
});
