/** The rows of the benchmark. */

import type { Bench, Figures, Ready } from "./bench.ts";
import { find } from "./machine.ts";
import { type Peer, readback, readbackFilter } from "./peers.ts";
import type { Column, Entry, Row } from "./row.ts";

/** The names by which rows can be chosen. */
export const ROWS = [
  "1",
  "50",
  "1000",
  "64",
  "1kB",
  "10000",
  "flood",
  "newlines",
  "transcript",
  "transcript64",
  "filter",
] as const;

/** A row's name. */
export type RowName = typeof ROWS[number];

const CPU: Column = { figure: "cpu", head: "CPU/message, µs", digits: 1, bar: "less" };
const RATE: Column = { figure: "rate", head: "messages/s", bar: "more" };
const UNANSWERED: Column = { figure: "unanswered", head: "no reply", worst: true };
const TRIPS: readonly Column[] = [
  { figure: "p50", head: "p50, ms", digits: 2 },
  { figure: "p99", head: "p99", digits: 2 },
  { figure: "p999", head: "p99.9", digits: 2 },
];
const BUSY: readonly Column[] = [
  { figure: "serverBusy", head: "server busy", digits: 2 },
  { figure: "loadBusy", head: "load busy", digits: 2 },
];
const EVENNESS: Column = { figure: "evenness", head: "p10/median", digits: 2 };
const READY: Column = { figure: "ready", head: "ready, ms" };
const STEADY = [CPU, RATE, ...TRIPS, UNANSWERED, EVENNESS, ...BUSY, READY];
const FLOOD: readonly Column[] = [
  { figure: "p99", head: "p99, ms", digits: 2, bar: "less" },
  { figure: "p50", head: "p50", digits: 2 },
  { figure: "worst", head: "worst", digits: 2 },
  { figure: "trips", head: "round trips" },
  { figure: "flooded", head: "flood, messages/s" },
];

const LINES = 1_000_000;

/** How a row measures one server. */
type Measure = (bench: Bench, server: Ready) => Promise<Figures>;

/** The row of that name, for the peers there are. */
export async function makeRow(
  name: RowName,
  bench: Bench,
  peers: readonly Peer[],
  lacks: (what: string) => void,
): Promise<Row> {
  const row = (title: string, columns: readonly Column[], measure: Measure): Row => {
    const entries = peers.map(({ name, command, rival }) => ({
      name,
      everyRound: rival,
      async measure() {
        await using server = await bench.server(command);
        return await measure(bench, server);
      },
    }));
    return { name, title, ours: "readback", columns, entries };
  };
  switch (name) {
    case "1":
      return {
        ...row(
          "1 connection, one message at a time",
          STEADY,
          (bench, server) => bench.steady(server, { connections: 1, seconds: 0.7 }),
        ),
        idles: true,
      };
    case "50":
      return row(
        "50 connections, one message at a time",
        STEADY,
        (bench, server) => bench.steady(server, { seconds: 1.2 }),
      );
    case "1000":
      return row(
        "1,000 connections, one message at a time, 3 s",
        STEADY,
        (bench, server) => bench.steady(server, { connections: 1000, seconds: 3 }),
      );
    case "64":
      return row(
        "50 connections, 64 messages in flight on each (round trips are of 64)",
        STEADY,
        (bench, server) => bench.steady(server, { depth: 64 }),
      );
    case "1kB":
      return row(
        "50 connections, one message of 1 kB at a time",
        STEADY,
        (bench, server) => bench.steady(server, { size: 1024 }),
      );
    case "10000":
      return row("10,000 connections at once, a message each; then all silent", [
        { figure: "seconds", head: "all answered, s", digits: 2, bar: "less" },
        { figure: "memory", head: "memory/connection, KB", digits: 1, bar: "less" },
        UNANSWERED,
      ], (bench, server) => bench.storm(server, 10_000));
    case "flood":
      return row(
        "one client at full speed, lines of 1 kB; the round trips of another",
        FLOOD,
        (bench, server) => bench.flood(server, 1024, 1),
      );
    case "newlines":
      return row(
        "one client at full speed, newlines alone; the round trips of another",
        FLOOD,
        (bench, server) => bench.flood(server, 0, 1),
      );
    case "transcript":
      return transcript(name, "50 connections, one message at a time", bench, 1);
    case "transcript64":
      return transcript(name, "50 connections, 64 messages in flight on each", bench, 64);
    case "filter":
      return await filter(bench, peers, lacks);
  }
}

/** Our server with its transcript going to a file, beside itself with none. */
function transcript(name: string, load: string, bench: Bench, depth: number): Row {
  const entry = (name: string, options: string[], to?: string): Entry => ({
    name,
    everyRound: true,
    async measure() {
      await using server = await bench.server(readback(...options), to);
      return await bench.steady(server, { depth });
    },
  });
  return {
    name,
    title: `${load}; our transcript, to a file`,
    ours: "transcript",
    columns: STEADY,
    entries: [entry("transcript", [], `${bench.dir}/transcript`), entry("--quiet", ["--quiet"])],
  };
}

/** Our client as a filter beside ncat, both with the fastest server there is, so that they are the limit. */
async function filter(
  bench: Bench,
  peers: readonly Peer[],
  lacks: (what: string) => void,
): Promise<Row> {
  const from = `${bench.dir}/lines`, to = `${bench.dir}/replies`;
  const fastest = peers.find(({ name }) => name === "c");
  const server = fastest?.command ?? readback("--quiet");
  const length = await writeLines(from);
  const entry = (name: string, command: (port: number) => string[]): Entry => ({
    name,
    everyRound: true,
    async measure() {
      await using ready = await bench.server(server);
      const seconds = await bench.filter(command(ready.port), from, to);
      const missing = length + LINES * "[] Mon Dec  9 18:15:50 2019".length -
        (await Deno.stat(to)).size;
      if (missing !== 0) throw new Error(`${missing} bytes of the replies are missing`);
      return { seconds, rate: LINES / seconds };
    },
  });
  const entries = [entry("readback", readbackFilter)];
  if (await find("ncat")) {
    entries.push(entry("ncat", (port) => ["ncat", "127.0.0.1", String(port)]));
  } else lacks("ncat: the filter has nobody beside it");
  return {
    name: "filter",
    title: `a million lines through the client's filter, file to file, to the server ${
      fastest?.name ?? "readback"
    }; its start included`,
    ours: "readback",
    columns: [{ figure: "seconds", head: "seconds", digits: 2, bar: "less" }, {
      figure: "rate",
      head: "lines/s",
    }],
    entries,
  };
}

/** Writes a million lines, as long as what people say; gives their length. */
async function writeLines(path: string): Promise<number> {
  const lines = Array.from({ length: LINES }, (_, at) => `i am line ${at}\n`).join("");
  await Deno.writeTextFile(path, lines);
  return lines.length;
}
