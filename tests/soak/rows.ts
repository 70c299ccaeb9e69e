/** The rows at full size: what each needs of its server, and how much is done to it. */

import { atRest, busy, drips, randomClosings, reconnects } from "../battery/crowds.ts";
import {
  datagrams,
  deafGuest,
  fullSpeed,
  longLine,
  neverReads,
  readsLate,
} from "../battery/floods.ts";
import { bothOnFullDisk, bothUnread, diskFull, readerStops } from "../battery/output.ts";
import { commandsEnd, killed, killedEarly, parentKilled } from "../battery/leftovers.ts";
import { memory, sockets } from "../battery/proc.ts";
import { scarce, startScarce } from "../battery/scarce.ts";
import { stopStarved, stopWhileBusy } from "../battery/stops.ts";
import { inDrops, inOneGo, randomCuts, urgentData } from "../battery/streams.ts";
import { assertWell } from "../battery/subject.ts";
import { lines, TOOLS } from "../battery/tools.ts";
import { requires } from "../../lib/testing/requires.ts";
import {
  closeUnread,
  resetInConversation,
  resetInTheQueue,
  staysInTls,
} from "../battery/vanishing.ts";
import { Certificates } from "../support/certificates.ts";
import { program, ServerProgram, startServer } from "../../lib/testing/readback.ts";
import type { Random } from "../support/random.ts";

/** A row; `run` gives figures, and throws when it is not met. */
export interface Row {
  name: string;
  run(random: Random): Promise<string>;
}

/** What the others' round trips may take beside anything, in ms. */
const OTHERS = { p99: 20 };

/** All of them. */
export const ROWS: readonly Row[] = [
  row("resets before they are accepted", [], (server) => resetInTheQueue(server, 3000)),
  row(
    "resets while idle, after a message, in mid-reply",
    ["--max-message", "300000"],
    (server) => resetInConversation(server, 500),
  ),
  row("closes with a reply unread", [], (server) => closeUnread(server, 1000)),
  row("a hundred thousand messages in one go", ["-q"], (server) => inOneGo(server, 100_000)),
  row(
    "random cuts against a model",
    ["-q", "-f", "line"],
    (server, random) => randomCuts(server, 2000, random),
  ),
  row("a line of 100 MB", ["-q"], (server) => longLine(server, 100)),
  row("a message in segments of one byte", ["-f", "line"], (server) => inDrops(server, 65536, 8)),
  row("sends for ever and never reads", ["-q", "-i", "5s"], (server) => neverReads(server, 5000)),
  row("sends for ever and reads late", ["-q"], readsLate),
  row("full speed, 1 kB lines", ["-q"], (server) => fullSpeed(server, 1000, 10, OTHERS)),
  row("full speed, newlines alone", ["-q"], (server) => fullSpeed(server, 1, 10, OTHERS)),
  row("full speed, 1 kB lines, told", [], (server) => fullSpeed(server, 1000, 10, OTHERS)),
  row(
    "full speed, 1 kB lines of no text, told",
    [],
    (server) => fullSpeed(server, 1000, 5, OTHERS, 0xff),
  ),
  row("1,000 busy connections", ["-q"], (server) => busy(server, 1000, 3, 5)),
  row(
    "10,000 at rest, then a message each",
    ["-q", "--max-clients", "20000"],
    (server) => atRest(server, 10_000, 8192),
  ),
  {
    name: "120 clients, 64 descriptors",
    async run() {
      await using server = await startScarce(64);
      return await scarce(server, 120);
    },
  },
  row("2,000 clients that drip and never finish", [
    "-q",
    "-f",
    "line",
    "--max-clients",
    "3000",
    "-i",
    "10s",
  ], (server) => drips(server, 2000, 10_000, OTHERS)),
  {
    name: "a flood of datagrams",
    async run() {
      await using server = await startServer(["--udp", "-q"]);
      return await datagrams(server);
    },
  },
  {
    name: "a guest of a chat that never reads",
    async run() {
      const chat = "tests/support/services/chat.ts";
      await using server = new ServerProgram([Deno.execPath(), "run", "--allow-net", chat]);
      const [, port] = await server.until(/listening on .*:(\d+)\n/);
      server.port = Number(port);
      return await deafGuest(server);
    },
  },
  {
    name: "SIGTERM while 50 clients pipeline",
    async run() {
      await using server = await startServer(["-q"]);
      return await stopWhileBusy(server, 50);
    },
  },
  row(
    "random bytes, random closings",
    ["-q"],
    (server, random) => randomClosings(server, 6000, random),
  ),
  row("reconnects", ["-q"], (server) => reconnects(server, 100_000, 8)),
  {
    name: "16 servers stop with a message just arrived",
    async run() {
      await stopStarved(16, 8);
      return "every message was answered";
    },
  },
  { name: "the reader of its output stops", run: readerStops },
  { name: "the disk is full", run: diskFull },
  {
    name: "output and complaints on one full disk; on one pipe whose reader stops",
    async run() {
      await bothOnFullDisk();
      await bothUnread();
      return "alive, every message answered, and SIGTERM ended it with 0";
    },
  },
  row("urgent data in the middle of a message", ["-q", "-f", "line"], async (server) => {
    await urgentData(server);
    return "answered, but with the next message: Deno's doing";
  }),
  {
    name: "stays in TLS after it was cut",
    async run() {
      await using certificates = await Certificates.make();
      const identity = await certificates.sign("server", "IP:127.0.0.1");
      await using server = await startServer([...identity, "-q", "-i", "1s"]);
      return await staysInTls(server, 50);
    },
  },
  ...Object.entries(TOOLS).map(([name, command]) => filtered(name, command)),
  filtered("our filter", (port) => [...program("client"), "-q", "--port", String(port)]),
  { name: "200 commands, each with a child that stays", run: () => commandsEnd(200) },
  { name: "50 servers killed beside their command", run: () => killed("server", 50) },
  { name: "50 servers killed while they start", run: () => killedEarly(50) },
  { name: "50 commands killed", run: () => killed("command", 50) },
  { name: "50 parents of a server killed", run: () => parentKilled(50) },
];

/** A row on a server that must be well at its end; its memory and sockets are told. */
function row(
  name: string,
  args: readonly string[],
  done: (server: ServerProgram, random: Random) => Promise<string>,
): Row {
  const run = async (random: Random) => {
    await using server = await startServer(args);
    const before = await state(server);
    const figures = await done(server, random);
    await assertWell(server, 1000);
    return `${figures}\n    the server: ${before} before, ${await state(server)} after`;
  };
  return { name, run };
}

function filtered(name: string, command: (port: number) => string[]): Row {
  const { skip } = requires(command(0)[0] ?? "");
  if (skip) return { name: name, run: () => Promise.resolve(`skipped: ${skip}`) };
  return row(
    `2,000,000 lines through ${name}`,
    ["-q"],
    (server) => lines(command(server.port), 2_000_000),
  );
}

async function state({ pid }: ServerProgram): Promise<string> {
  const { resident } = await memory(pid);
  return `${(resident / 1_048_576).toFixed(1)} MB and ${await sockets(pid)} sockets`;
}
