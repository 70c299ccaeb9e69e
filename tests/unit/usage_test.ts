/** The command lines that the programs refuse. That they then end with 2 is tested in programs/. */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { OPTIONS as CLIENT } from "../../lib/cli/client_options.ts";
import { parse, UsageError } from "../../lib/cli/options.ts";
import { check, OPTIONS as SERVER } from "../../lib/cli/server_options.ts";

const CHOICE = "choose among drop, twice, corrupt, noise, error, delay";

/** Reads and checks a command line of the server. */
async function read(args: string[]) {
  const options = parse(SERVER, args);
  return typeof options === "string" ? options : await check(options);
}

describe("the client refuses", () => {
  for (
    const [args, sentence] of [
      [["-c", "1"], "--count makes sense only with --ping or --connect: add that, or leave it out"],
      [
        ["-i", "1"],
        "--interval makes sense only with --ping or --connect: add that, or leave it out",
      ],
      [["--any"], "--any makes sense only with --ping: add that, or leave it out"],
      [
        ["--connections", "2"],
        "--connections makes sense only with --ping or --connect: add that, or leave it out",
      ],
      [["--ping", "--for", "0"], 'cannot use --for "0": must be longer than 0'],
      [["-4", "-6"], "cannot combine --ipv4 and --ipv6: choose one of them"],
      [["--connect", "--once"], "cannot combine --once and --connect: choose one of them"],
      [
        ["--ping", "--connect", "--udp"],
        "cannot combine --connect and --udp: choose one of them",
      ],
      [["--ping", "--once"], "cannot combine --once and --ping: choose one of them"],
      [["localhost", "http"], 'cannot use --port "http": must be a whole number from 1 to 65535'],
      [
        ["--ping", "-c", "1000000001"],
        'cannot use --count "1000000001": must be a whole number from 1 to 1000000000',
      ],
      [["a", "1", "b"], 'stray argument "b": --help lists the options'],
      [
        ["-m", "a\nb"],
        'cannot use --message "a\\nb": must be one line: each line is a message of its own',
      ],
      [["--crlf"], "--crlf makes sense only with --duplex: add that, or leave it out"],
      ...["--quiet", "--once", "--ping", "--udp", "--message=a"].map((option) => {
        const name = option.replace("=a", "");
        return [["--duplex", option], `cannot combine --duplex and ${name}: choose one of them`];
      }),
      ...["--unix=none", "--tls", "--wait=1s"].map((option) => {
        const [name = ""] = option.split("=");
        return [["--udp", option], `cannot combine --udp and ${name}: choose one of them`];
      }),
    ] as [string[], string][]
  ) {
    it(args.join(" "), async () => {
      const { message } = await assertRejects(() => Promise.try(parse, CLIENT, args), UsageError);
      assertEquals(message, sentence);
    });
  }
});

describe("the server refuses", () => {
  for (
    const [args, sentence] of [
      [["--port", "70000"], 'cannot use --port "70000": must be a whole number from 0 to 65535'],
      ...["[x] {time}y", "{message}"].map((format) => [
        ["--udp", "--reply", format],
        "cannot use this --reply with --udp: two servers would answer each other's replies without " +
        'end; begin it with "[" and end it with "] {time}", or begin it with "error: "',
      ]),
      [
        ["--reply", "{mesage}"],
        'cannot use --reply "{mesage}": there is no "{mesage}": choose among {message}, {time}, ' +
        "{client}, {server}, {seq}, {bytes}",
      ],
      [["--framing", "tcp"], 'cannot use --framing "tcp": must be auto or line or raw'],
      [["here", "1", "stray"], 'stray argument "stray": --help lists the options'],
      [["--grace"], "--grace needs a value: --grace=DUR"],
      [
        ["--max-clients", "0"],
        'cannot use --max-clients "0": must be a whole number from 1 to 1000000',
      ],

      [
        ["--fault", "dorp"],
        /^cannot use --fault "dorp": there is no fault "dorp": choose among drop/,
      ],
      [
        ["--fault", "drop,delay=x"],
        'cannot use --fault "drop,delay=x": the value of delay must be a duration like 500ms, 2s or 1m',
      ],
      [["--fault", "cut"], 'cannot use --fault "cut": cut needs a value: cut=BYTES'],
      [
        ["--fault", "drop@0"],
        'cannot use --fault "drop@0": "@0" must be like @3, @3.., @3..5 or @10%',
      ],
      [
        ["--fault", "drop", "--udp", "--fault", "cut=3"],
        `cannot use "cut=3": a datagram knows no cut: ${CHOICE}`,
      ],
      [
        ["--fault", "reset@3", "--unix", "nowhere/socket"],
        'cannot use "reset@3": a Unix socket knows no reset: choose cut, or refuse alone',
      ],
      [
        ["--seed", "1"],
        "--seed makes sense only with --fault or --orders: add that, or leave it out",
      ],
      [
        ["--orders", "--seed", "-1"],
        /^cannot use --seed "-1": must be a whole number|^--seed needs a value/,
      ],
      [
        ["--orders", "--seed", "4294967296"],
        'cannot use --seed "4294967296": must be a whole number from 0 to 4294967295',
      ],
      [["--fault"], "--fault needs a value: --fault=FAULTS"],
      [["--orders=yes"], "--orders takes no value: write --orders alone"],

      [
        ["--proxy-protocol", "localhost"],
        'cannot use --proxy-protocol "localhost": must be addresses or networks, like 127.0.0.1 or 10.0.0.0/8,fd00::/8',
      ],
      [
        ["--proxy-protocol", "127.0.0.1", "--unix", "x"],
        "cannot combine --proxy-protocol and --unix: choose one of them",
      ],
      [
        ["--proxy-protocol", "127.0.0.1", "--tls-cert", "x", "--tls-key", "x"],
        "cannot combine --proxy-protocol and --tls-cert: choose one of them",
      ],
      [
        ["--drain", "1s"],
        "--drain makes sense only with --proxy-protocol: add that, or leave it out",
      ],
      [["--trace", "--quiet"], "cannot combine --trace and --quiet: choose one of them"],
      [["--trace", "--udp"], "cannot combine --trace and --udp: choose one of them"],
      [
        ["--to", "6379"],
        'cannot use --to "6379": must be HOST:PORT, such as 127.0.0.1:6379, or the path of a Unix socket',
      ],
      [
        ["--fault", "up:rate=1k"],
        'cannot use "up:rate=1k": only a relay has a way up: leave out up:',
      ],
      ...["--unix=none", "--max-clients=3", "--idle-timeout=3s"].map((option) => {
        const [name = ""] = option.split("=");
        return [["--udp", option], `cannot combine --udp and ${name}: choose one of them`];
      }),
      [
        ["--udp", "--tls-cert", "none", "--tls-key", "none"],
        "cannot combine --udp and --tls-cert: choose one of them",
      ],
    ] as [string[], string | RegExp][]
  ) {
    it(args.join(" "), async () => {
      const { message } = await assertRejects(() => read(args), UsageError);
      if (typeof sentence === "string") assertEquals(message, sentence);
      else assertMatch(message, sentence);
    });
  }
});

describe("a relay refuses", () => {
  const why = "a relay passes on the bytes of connections, and has no messages";
  const choice =
    "choose among delay, slice, rate, cut, reset, stall, deaf, hold, life, read, refuse";
  for (
    const [args, sentence] of [
      ...[
        "--udp",
        "--once",
        "--framing=line",
        "--reply=x",
        "--stamp=iso",
        "--max-message=5",
        "--proxy-protocol=::1",
        "--orders",
      ]
        .map((one) => [one, `cannot combine --to and ${one.replace(/=.*/, "")}: ${why}`]),
      ["--drain=1s", "--drain makes sense only with --proxy-protocol: add that, or leave it out"],
      ["--fault=drop", `cannot use "drop": a relay has no messages: ${choice}`],
      ["--fault=up:refuse", 'cannot use "up:refuse": refuse takes no up: leave it out'],
      ["--fault=cut=3,up:deaf", 'cannot use "up:deaf": deaf takes no up: leave it out'],
    ] as [string, string][]
  ) {
    it(`--to with ${args}`, async () => {
      const { message } = await assertRejects(
        () => read(["--to", "127.0.0.1:1", args]),
        UsageError,
      );
      assertEquals(message, sentence);
    });
  }
});
