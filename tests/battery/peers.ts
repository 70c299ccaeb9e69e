/** Runs the peers that are written in Python. */

import { Program } from "../../lib/testing/program.ts";

const SCRIPT = new URL("peers.py", import.meta.url).pathname;

/** The time limit of a wait that may take as long as it takes, in ms. */
const DAY = 86_400_000;

/** What a peer saw, by name. */
export type Seen = Readonly<Record<string, number>>;

/** Starts a peer that waits for orders on its standard input. */
export function startPeers(what: string, ...numbers: number[]): Program {
  return new Program(["python3", SCRIPT, what, ...numbers.map(String)]);
}

/** What a started peer saw next, however long that takes. */
export async function nextSeen(peers: Program): Promise<Seen> {
  const [line] = await peers.until(/\{.*\}\n/, { timeout: DAY });
  return JSON.parse(line);
}

/** The process that peers run in, one after the other; undefined: each starts its own. */
let shared: Program | undefined;

/** Starts one process for all that {@linkcode runPeers} runs from now on, until it is closed. */
export function sharePeers(): { close(): Promise<void> } {
  const program = shared = startPeers("in-turn");
  return {
    async close() {
      shared = undefined;
      await using peers = program;
      await peers.endInput();
      await peers.ends(0);
    },
  };
}

/** Runs a peer to its end, however long that takes; gives what it saw. */
export async function runPeers(what: string, ...numbers: number[]): Promise<Seen> {
  if (shared !== undefined) {
    await shared.type(`${[what, ...numbers].join(" ")}\n`);
    return await nextSeen(shared);
  }
  await using peers = startPeers(what, ...numbers);
  const seen = await nextSeen(peers);
  await peers.ends(0);
  return seen;
}

/** The others' round trips, as a process of its own measured them while something was done; in ms. */
export interface Others {
  trips: number;
  p50: number;
  p99: number;
  max: number;
}

/** Measures the round trips of another client while something is done. */
export async function others(port: number, done: () => Promise<unknown>): Promise<Others> {
  await using probe = startPeers("probe", port);
  await nextSeen(probe);
  await done();
  await probe.type("\n");
  const { trips = 0, p50 = 0, p99 = 0, max = 0 } = await nextSeen(probe);
  return { trips, p50, p99, max };
}

/** The others' figures in words. */
export function sayOthers({ trips, p50, p99, max }: Others): string {
  return `others: ${trips} round trips, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ` +
    `worst ${max.toFixed(1)} ms`;
}
