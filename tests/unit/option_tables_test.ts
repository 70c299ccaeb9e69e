/** The options of the two programs: what each is unless it is given, its letter, its limits, and what it can't be combined with. */

import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { OPTIONS as CLIENT } from "../../lib/cli/client_options.ts";
import { help, parse, type Table, UsageError } from "../../lib/cli/options.ts";
import { check, OPTIONS as SERVER } from "../../lib/cli/server_options.ts";

const words = (text: string) => text.split(/\s+/);

/** A value for each option that takes one. */
const VALUES: Readonly<Record<string, string>> = {
  ...{ host: "a", port: "1", unix: "x", ca: "x", cert: "x", key: "x", wait: "1", message: "a" },
  ...{ framing: "line", count: "1", for: "1", interval: "1", connections: "1", timeout: "1" },
  ...{ log: "json", tlsCert: "x", tlsKey: "x", proxyProtocol: "::1", maxMessage: "1", reply: "x" },
  ...{ stamp: "iso", maxClients: "1", idleTimeout: "1", grace: "1", drain: "1", logFile: "x" },
  ...{ to: "a:1", fault: "drop", seed: "1" },
};
const dashed = (key: string) => `--${key.replace(/[A-Z]/g, (big) => `-${big.toLowerCase()}`)}`;
const argument = (key: string) => key in VALUES ? `${dashed(key)}=${VALUES[key]}` : dashed(key);

const DEFAULTS: readonly [string, Table, object][] = [
  ["client", CLIENT, {
    ...{ host: "127.0.0.1", port: 6969, udp: false, tls: false, ipv4: false, ipv6: false, wait: 0 },
    ...{ unix: undefined, ca: undefined, cert: undefined, key: undefined, loopback: false },
    ...{ message: [], quiet: false, duplex: false, crlf: false, once: false, framing: "auto" },
    ...{ greeting: false, ping: false, connect: false, count: undefined, for: undefined },
    ...{ interval: 1000, connections: 1, any: false, timeout: 10_000, timestamps: false },
    ...{ log: "text", trace: false },
  }],
  ["server", SERVER, {
    ...{ host: "127.0.0.1", port: 6969, unix: undefined, udp: false, tlsCert: undefined },
    ...{ tlsKey: undefined, proxyProtocol: undefined, framing: "auto", maxMessage: 65536 },
    ...{ reply: "[{message}] {time}", stamp: "ctime", maxClients: 1000, once: false },
    ...{ idleTimeout: 0, grace: undefined, drain: 0, untilEof: false, log: undefined },
    ...{ logFile: undefined, trace: false, quiet: false, hideSilent: false, to: undefined },
    ...{ fault: [], orders: false, seed: undefined },
  }],
];

const LETTERS = {
  client: "p=port U=unix u=udp 4=ipv4 6=ipv6 w=wait m=message q=quiet f=framing c=count " +
    "i=interval t=timeout D=timestamps",
  server: "p=port U=unix u=udp f=framing i=idleTimeout q=quiet",
};

const NOT = {
  client: "unix/host unix/port unix/tls unix/loopback udp/unix udp/tls udp/wait ipv4/ipv6 " +
    "ipv4/unix ipv4/cert ipv6/unix ipv6/cert loopback/host loopback/port loopback/tls " +
    "duplex/message duplex/quiet duplex/once duplex/ping duplex/connect duplex/udp once/quiet " +
    "once/message once/ping once/connect greeting/udp greeting/connect connect/udp " +
    "connect/message connect/framing any/connect trace/udp",
  server: "unix/host unix/port unix/tlsCert udp/unix udp/tlsCert udp/proxyProtocol " +
    "udp/maxClients udp/idleTimeout udp/hideSilent proxyProtocol/unix proxyProtocol/tlsCert " +
    "trace/udp trace/quiet hideSilent/trace to/udp to/once to/framing to/reply to/stamp " +
    "to/maxMessage to/proxyProtocol to/drain to/orders",
};

const NEEDS = {
  client: "ca/tls cert/tls cert/key key/tls key/cert crlf/duplex count/ping|connect " +
    "for/ping|connect interval/ping|connect connections/ping|connect any/ping " +
    "timestamps/ping|connect",
  server: "tlsCert/tlsKey tlsKey/tlsCert drain/proxyProtocol seed/fault|orders",
};

/** An option with what it needs. */
function withNeeds(needs: string, key: string): string[] {
  const needed = words(needs).filter((pair) => pair.startsWith(`${key}/`))
    .map((pair) => pair.slice(key.length + 1).split("|")[0] ?? "");
  return [key, ...needed];
}

for (const [name, table, defaults] of DEFAULTS) {
  const program = name as "client" | "server";
  const needs = NEEDS[program];

  describe(`the ${name}'s options`, () => {
    it("are these unless they are given", () =>
      assertEquals({ ...parse(table, []) as object }, defaults));

    it("have these letters", () => {
      const letters = Object.entries(table).flatMap(([key, { short }]) =>
        short ? [`${short}=${key}`] : []
      );
      assertEquals(letters, words(LETTERS[program]));
    });

    it("can't be combined as these, and say so", () => {
      for (const pair of words(NOT[program])) {
        const [one = "", other = ""] = pair.split("/");
        const keys = new Set([...withNeeds(needs, one), ...withNeeds(needs, other)]);
        const args = [...keys].map(argument);
        const { message } = assertThrows(() => parse(table, args), UsageError, "", pair);
        assertEquals(
          /^cannot combine --\S+ and --\S+: /.test(message),
          true,
          `${pair}: ${message}`,
        );
      }
      const pairs = Object.entries(table).flatMap(([key, { not = [] }]) =>
        not.map((other) => `${key}/${other}`)
      );
      assertEquals(pairs, words(NOT[program]));
    });

    it("need these others, and say so", () => {
      for (const pair of words(needs)) {
        const [key = "", others = ""] = pair.split("/");
        const keys = withNeeds(needs, key).filter((one) => !others.split("|").includes(one));
        const { message } = assertThrows(() => parse(table, keys.map(argument)), UsageError);
        assertEquals(
          /^--\S+ makes sense only with --\S+/.test(message),
          true,
          `${pair}: ${message}`,
        );
        for (const other of others.split("|")) {
          if (!needs.includes(` ${other}/`)) parse(table, [...keys, other].map(argument));
        }
      }
    });
  });
}

describe("the limits of", () => {
  for (
    const [table, option, least, most, ...more] of [
      [CLIENT, "port", 1, 65535],
      [CLIENT, "count", 1, 1_000_000_000, "--ping"],
      [CLIENT, "connections", 1, 10_000, "--ping"],
      [SERVER, "port", 0, 65535],
      [SERVER, "max-message", 1, 1 << 30],
      [SERVER, "max-clients", 1, 1_000_000],
      [SERVER, "seed", 0, 2 ** 32 - 1, "--orders"],
    ] as const
  ) {
    it(`--${option} are ${least} and ${most}`, () => {
      const read = (value: number) => parse<Table>(table, [`--${option}=${value}`, ...more]);
      for (const value of [least, most]) read(value);
      for (const value of [least - 1, most + 1]) assertThrows(() => read(value), UsageError);
    });
  }
});

it("faults are those that are requested, if any are", async () => {
  const faults = async (...args: string[]) => {
    const options = parse(SERVER, args);
    return typeof options === "string" ? options : (await check(options))?.toString();
  };
  assertEquals(await faults(), undefined);
  assertEquals([await faults("--orders"), await faults("--fault", "reset")], ["", "reset"]);
  assertEquals(await faults("--fault", "drop,twice@2", "--fault", "cut=1"), "drop, twice@2, cut=1");
});

it("words that may be chosen are these", () => {
  const choices = [
    [CLIENT, "framing", "auto", "line", "raw"],
    [CLIENT, "log", "text", "json"],
    [SERVER, "framing", "auto", "line", "raw"],
    [SERVER, "log", "text", "json"],
    [SERVER, "stamp", "ctime", "iso"],
  ] as const;
  for (const [table, option, ...all] of choices) {
    for (const word of all) {
      assertEquals(
        Reflect.get(parse<Table>(table, [`--${option}=${word}`]) as object, option),
        word,
      );
    }
    const why = `must be ${all.join(" or ")}`;
    assertThrows(() => parse<Table>(table, [`--${option}=x`]), UsageError, why);
  }
});

it("the help has two columns, of which the right one is wrapped", () => {
  const table = {
    host: { group: "Where", value: "HOST", fallback: "here", help: "a host" },
    port: {
      short: "p",
      value: "PORT",
      fallback: "0",
      shown: "any",
      help: "port ".repeat(11).trim(),
    },
    aVeryLongOptionNam: { value: "N", help: "xy ".repeat(16) + "xy" },
    aLongOptionsName: { value: "N", help: "x" },
    quiet: { short: "q", help: "flag" },
  };
  assertEquals(help(table, [["left", "right", "More"], ["more", "right"]]).split("\n"), [
    "",
    "Where:",
    "      --host HOST             a host (here)",
    "  -p, --port PORT             port port port port port port port port port port",
    "                              port (any)",
    "      --a-very-long-option-nam N",
    "                              xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy xy",
    "                              xy",
    "      --a-long-options-name N",
    "                              x",
    "  -q, --quiet                 flag",
    "",
    "Other options:",
    "  -h, --help                  print this text",
    "  -V, --version               print the version",
    "",
    "More:",
    "  left                        right",
    "  more                        right",
    "",
  ]);
});

it("a misspelt option is named with the one that is meant, if that is near", () => {
  const told = (arg: string) => assertThrows(() => parse(CLIENT, [arg]), UsageError).message;
  const names: [string, string | undefined][] = [
    ["--prot", "--port"],
    ["--porst", "--port"],
    ["--timeouxx", "--timeout"],
    ["--timeoxxx", undefined],
    ["--tl", undefined],
    ["--tlz", "--tls"],
    ["--zzz", undefined],
    ["-z", undefined],
  ];
  for (const [arg, meant] of names) {
    const remedy = meant ? `did you mean ${meant}?` : "--help lists the options";
    assertEquals(told(arg), `unknown option "${arg}": ${remedy}`);
  }
});
