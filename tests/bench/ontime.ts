// deno-lint-ignore-file no-console -- a program of the benchmark's own
/**
 * Compares `--ping` with a reference in C that sends on time too (load/ontime.c), before a server
 * that answers late on request (load/delays.c); then looks for the rate at which `--ping` is late.
 */

import { compile } from "./peers.ts";
import { Process } from "./process.ts";

/** A server that is late in some way. Times are in ms. */
interface Case {
  readonly what: string;
  /** How late each reply is. */
  readonly delay?: number;
  /** Each reply of so many is later than that by `late`. */
  readonly every?: number;
  readonly late?: number;
  /** How long the server does nothing, once in the run. */
  readonly stall?: number;
  readonly connections?: number;
}

/** Figures of one run, in ms. */
export interface Timing {
  readonly answered: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Messages that the client itself sent late, and by how much at most; the reference has none. */
  readonly delayed?: number;
  readonly behind?: number;
}

export const CASES: readonly Case[] = [
  { what: "no delay" },
  { what: "5 ms", delay: 5 },
  { what: "1 % late by 50 ms", every: 90, late: 50 }, // a little more: p99 is at the edge of 1 %
  { what: "a stall of 1 s", stall: 1000 },
  { what: "25 ms, longer than the interval", delay: 25 },
  { what: "100 connections", connections: 100 },
  { what: "100 connections, 5 ms", delay: 5, connections: 100 },
  { what: "100 connections, 1 % late by 50 ms", every: 90, late: 50, connections: 100 },
  { what: "100 connections, a stall of 1 s", stall: 1000, connections: 100 },
];

const ROUNDS = 3;
/** Messages a second, for one connection and more. */
const RATES = [5000, 10_000, 15_000, 20_000, 30_000, 40_000];
const CONNECTIONS = [1, 100, 1000];
/** Length of a run at such a rate, in seconds. */
const SECONDS = 4;
const LOADS = new URL("./load/", import.meta.url).pathname;
const CLIENT = new URL("../../client.ts", import.meta.url).pathname;

/** Compiles both; false without a C compiler. */
export async function compileBoth(dir: string): Promise<boolean> {
  for (const name of ["ontime", "delays"]) {
    if (!await compile(dir, name, ["cc", "-O2"], `${LOADS}${name}.c`)) return false;
  }
  return true;
}

/**
 * Measures a server twice: by the reference, and by `--ping`.
 * @param interval from one message of a connection to its next, in ms
 */
export async function compare(
  dir: string,
  { delay = 0, every = 0, late = 0, stall = 0, connections = 1 }: Case,
  count: number,
  interval: number,
): Promise<{ reference: Timing; ours: Timing }> {
  const at = 0.8 * count | 0; // at half, the median would be either side of a stall
  const behaviour = [delay, every, late, at, stall].map(String);
  await using server = new Process([`${dir}/delays`, ...behaviour]);
  const [, port = ""] = /:(\d+)$/.exec(await server.line()) ?? [];
  const load = [port, `${count}`, `${interval * 1000}`, `${connections}`];
  const reference = await measure([`${dir}/ontime`, ...load]);
  const ours = await measure(ping(port, count, interval * 1000, connections));
  return { reference, ours };
}

/** @param interval in µs */
function ping(port: string, count: number, interval: number, connections: number): string[] {
  const load = ["-c", `${count}`, "-i", `${interval}us`, "--connections", `${connections}`];
  const deno = [Deno.execPath(), "run", "--quiet", "--allow-net", CLIENT];
  return [...deno, "--port", port, "--ping", "--quiet", "--log", "json", ...load];
}

async function measure(command: string[]): Promise<Timing> {
  await using process = new Process(command);
  return JSON.parse(await process.line());
}

/** Prints the comparison. */
async function printComparison(dir: string): Promise<void> {
  console.log("| server | p50 | p99 | max | |\n| --- | --- | --- | --- | --- |");
  for (const one of CASES) {
    const { connections = 1 } = one;
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push(await compare(dir, one, 1000, 10 * connections));
    }
    const reference = least(rounds.map(({ reference }) => reference));
    const ours = least(rounds.map(({ ours }) => ours));
    const figures = (["p50", "p99", "max"] as const).map((name) => {
      const [theirs, own] = [reference[name], ours[name]];
      const isNear = Math.abs(own - theirs) <= Math.max(0.05 * theirs, 0.1);
      return `${own.toFixed(2)} (${theirs.toFixed(2)})${isNear ? "" : " *"}`;
    });
    console.log(`| ${one.what} | ${figures.join(" | ")} | ${ours.answered} answered |`);
  }
}

/** Prints how late `--ping` is at some rates: the best of three runs. */
async function printLimits(dir: string): Promise<void> {
  console.log("| connections | messages/s | p50 | p99 | sent late | by up to |");
  console.log("| --- | --- | --- | --- | --- | --- |");
  for (const connections of CONNECTIONS) {
    for (const rate of RATES) {
      await using server = new Process([`${dir}/delays`, "0", "0", "0", "0", "0"]);
      const [, port = ""] = /:(\d+)$/.exec(await server.line()) ?? [];
      const interval = Math.round(1e6 * connections / rate);
      const runs = [];
      for (let round = 0; round < ROUNDS; round++) {
        runs.push(await measure(ping(port, SECONDS * rate, interval, connections)));
      }
      const [best] = runs.toSorted((a, b) => (a.delayed ?? 0) - (b.delayed ?? 0));
      const { p50, p99, delayed = 0, behind = 0 } = best as Timing;
      const share = 100 * delayed / (SECONDS * rate);
      const cells = [connections, rate, p50.toFixed(2), p99.toFixed(2), `${share.toFixed(1)} %`];
      console.log(`| ${[...cells, `${behind.toFixed(0)} ms`].join(" | ")} |`);
      if (share > 50) break;
    }
  }
}

/** The least of each figure: what else a machine does only adds to them. */
function least(timings: readonly Timing[]): Timing {
  const of = (name: keyof Timing) => Math.min(...timings.map((timing) => timing[name] ?? 0));
  return { answered: of("answered"), p50: of("p50"), p99: of("p99"), max: of("max") };
}

if (import.meta.main) {
  const dir = await Deno.makeTempDir({ prefix: "readback-ontime-" });
  try {
    if (!await compileBoth(dir)) throw new Error("cc is not installed");
    if (Deno.args[0] !== "limits") await printComparison(dir);
    await printLimits(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
