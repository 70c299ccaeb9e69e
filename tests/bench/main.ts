// deno-lint-ignore-file no-console -- a program of the benchmark's own
/** The benchmark: our server and its peers, the same load on each, one core each. See README.md. */

import { parseArgs } from "node:util";
import { Bench } from "./bench.ts";
import { cores, find } from "./machine.ts";
import { findPeers, type Peer, PEERS } from "./peers.ts";
import { killAll } from "./process.ts";
import { type Outcome, runRow } from "./row.ts";
import { makeRow, type RowName, ROWS } from "./rows.ts";
import { table } from "./table.ts";
import { report } from "./targets.ts";

const HELP = `usage: deno task bench [options]

  --rows NAMES    of ${ROWS.join(",")}
  --only NAMES    of ${PEERS.join(",")}; each in every round
  --rounds N      rounds of each row (3)
  -h, --help      this text

Without --only, peers that no target names run in the first round alone.`;

/** The temporary directory's name begins so. */
const PREFIX = "readback-bench-";

async function main(): Promise<number> {
  const options = read(Deno.args);
  if (options === "help") {
    console.log(HELP);
    return 0;
  }
  const dir = await Deno.makeTempDir({ prefix: PREFIX });
  const tidy = () => {
    killAll();
    Deno.removeSync(dir, { recursive: true });
  };
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    Deno.addSignalListener(signal, () => {
      tidy();
      Deno.exit(code);
    });
  }
  try {
    return await run(options, dir);
  } finally {
    tidy();
  }
}

interface Options {
  readonly rows: readonly RowName[];
  readonly peers: typeof PEERS[number][];
  readonly rounds: number;
  /** Peers were chosen. */
  readonly chosen: boolean;
}

function read(args: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: "string", default: ROWS.join() },
      only: { type: "string" },
      rounds: { type: "string", default: "3" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return "help";
  if (!/^[1-9]\d?$/.test(values.rounds)) throw new TypeError("--rounds: from 1 to 99");
  return {
    rows: choose("--rows", values.rows, ROWS),
    peers: choose("--only", values.only ?? PEERS.join(), PEERS),
    rounds: Number(values.rounds),
    chosen: values.only !== undefined,
  };
}

/** Those of `all` that are named, in their own order. */
function choose<T extends string>(option: string, names: string, all: readonly T[]): T[] {
  const chosen = names.split(",");
  const unknown = chosen.find((name) => !all.some((one) => one === name));
  if (unknown !== undefined) {
    throw new TypeError(`${option}: no "${unknown}"; there are ${all.join(", ")}`);
  }
  return all.filter((one) => chosen.includes(one));
}

async function run(options: Options, dir: string): Promise<number> {
  if (Deno.build.os !== "linux") throw new Error("it needs Linux: /proc and epoll");
  const began = performance.now();
  const missing = new Set<string>();
  const lacks = (what: string) => missing.add(what);
  const [first, second] = cores();
  const pinned = second !== undefined && await find("taskset") !== null;
  if (!pinned) {
    lacks("two cores and taskset, to give each side its own: the figures are worth less");
  }
  const bench = pinned ? new Bench(dir, first, second) : new Bench(dir, undefined, undefined);
  if (!await bench.compileLoads()) {
    console.error("bench: cannot make the load: it needs a C compiler (cc)");
    return 1;
  }
  const found = await findPeers(options.peers, dir, lacks);
  const peers: Peer[] = options.chosen ? found.map((one) => ({ ...one, rival: true })) : found;
  const once = peers.filter(({ rival }) => !rival).map(({ name }) => name);
  console.log(`load: programs of our own in C, every byte of every reply checked
messages of 16 bytes where nothing else is said
medians of rounds, ${options.rounds}${once.length > 0 ? `; of ${once.join(", ")}, one` : ""}
${pinned ? `server on core ${first}, load on core ${second}` : "server and load on any core"}
"ours": our figure divided by that line's, ▲ where ours is better, ▼ where it is worse
`);
  const results = new Map<RowName, ReadonlyMap<string, Outcome>>();
  for (const name of options.rows) {
    const row = await makeRow(name, bench, peers, lacks);
    const outcomes = await runRow(row, options.rounds);
    results.set(name, outcomes);
    console.log(`${table(row, outcomes)}\n`);
  }
  console.log(`targets\n${report(results)}\n`);
  for (const what of missing) console.log(`missing: ${what}`);
  console.log(`took ${Math.round((performance.now() - began) / 1000)} s`);
  return 0;
}

try {
  Deno.exit(await main());
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : error}`);
  Deno.exit(error instanceof TypeError ? 2 : 1);
}
