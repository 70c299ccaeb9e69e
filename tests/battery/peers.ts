/** Runs the peers that are written in Python. */

import { Program } from "../../lib/testing/program.ts";

const SCRIPT = new URL("peers.py", import.meta.url).pathname;

/** What a peer saw, by name. */
export type Seen = Readonly<Record<string, number>>;

/** Starts a peer that waits for orders on its standard input. */
export function startPeers(what: string, ...numbers: number[]): Program {
  return new Program(["python3", SCRIPT, what, ...numbers.map(String)]);
}

/** The next that a started peer saw. */
export async function nextSeen(peers: Program): Promise<Seen> {
  const [line] = await peers.until(/\{.*\}\n/);
  return JSON.parse(line);
}

/** Runs a peer to its end, however long that takes; gives the last that it saw. */
export async function runPeers(what: string, ...numbers: number[]): Promise<Seen> {
  const args = [SCRIPT, what, ...numbers.map(String)];
  const { stdout, stderr, success } = await new Deno.Command("python3", { args }).output();
  if (!success) throw new Error(`${what} ${numbers}: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1) ?? "");
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
