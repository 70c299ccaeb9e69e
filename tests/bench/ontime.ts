// deno-lint-ignore-file no-console -- a program of the benchmark's own
/**
 * What `--ping` says beside a reference in C that sends on time too (load/ontime.c), before a server
 * that answers as late as it is told (load/delays.c).
 */

import { compile } from "./peers.ts";
import { Process } from "./process.ts";

/** A server that is late in some way; all times in ms. */
interface Case {
  readonly what: string;
  /** How late each reply is. */
  readonly delay?: number;
  /** Which replies are later than that: each one of so many. */
  readonly every?: number;
  readonly late?: number;
  /** For how long the server does nothing, in the middle of it all. */
  readonly stall?: number;
}

/** Figures of one run, in ms. */
export interface Timing {
  readonly answered: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export const CASES: readonly Case[] = [
  { what: "no delay" },
  { what: "5 ms", delay: 5 },
  { what: "1 % late by 50 ms", every: 90, late: 50 }, // a little more: p99 is at the edge of 1 %
  { what: "a stall of 1 s", stall: 1000 },
  { what: "25 ms, longer than the interval", delay: 25 },
];

const ROUNDS = 3;
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
 * @param interval from one message to the next, in ms
 */
export async function compare(
  dir: string,
  { delay = 0, every = 0, late = 0, stall = 0 }: Case,
  count: number,
  interval: number,
): Promise<{ reference: Timing; ours: Timing }> {
  const middle = count / 2 | 0;
  const behaviour = [delay, every, late, middle, stall].map(String);
  await using server = new Process([`${dir}/delays`, ...behaviour]);
  const [, port = ""] = /:(\d+)$/.exec(await server.line()) ?? [];
  const measure = async (...command: string[]): Promise<Timing> => {
    await using process = new Process(command);
    return JSON.parse(await process.line());
  };
  const reference = await measure(`${dir}/ontime`, port, `${count}`, `${interval * 1000}`);
  const options = ["--ping", "--quiet", "--log", "json", "-c", `${count}`, "-i", `${interval}ms`];
  const deno = [Deno.execPath(), "run", "--quiet", "--allow-net", CLIENT];
  const ours = await measure(...deno, "--port", port, ...options);
  return { reference, ours };
}

/** The least of each figure: what else a machine does only adds to them. */
function least(timings: readonly Timing[]): Timing {
  const of = (name: keyof Timing) => Math.min(...timings.map((timing) => timing[name]));
  return { answered: of("answered"), p50: of("p50"), p99: of("p99"), max: of("max") };
}

if (import.meta.main) {
  const dir = await Deno.makeTempDir({ prefix: "readback-ontime-" });
  try {
    if (!await compileBoth(dir)) throw new Error("cc is not installed");
    console.log("| server | p50 | p99 | max | |\n| --- | --- | --- | --- | --- |");
    for (const one of CASES) {
      const rounds = [];
      for (let round = 0; round < ROUNDS; round++) rounds.push(await compare(dir, one, 1000, 10));
      const reference = least(rounds.map(({ reference }) => reference));
      const ours = least(rounds.map(({ ours }) => ours));
      const figures = (["p50", "p99", "max"] as const).map((name) => {
        const [theirs, own] = [reference[name], ours[name]];
        const isNear = Math.abs(own - theirs) <= Math.max(0.05 * theirs, 0.1);
        return `${own.toFixed(2)} (${theirs.toFixed(2)})${isNear ? "" : " *"}`;
      });
      console.log(`| ${one.what} | ${figures.join(" | ")} | ${ours.answered} answered |`);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
