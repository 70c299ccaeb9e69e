/**
 * What the system says of another process. By commands: Deno lets nobody read /proc
 * who has not every permission.
 */

import { assertEquals } from "@std/assert";
import { sleep } from "../../lib/wait.ts";

/** How long a state that must come may take, in ms: only a failure does. */
const PATIENCE = 10_000;
/** Clock ticks a second in /proc/PID/stat: Linux shows 100 to programs everywhere. */
const TICKS = 100;

const MB = 1 << 20;

/** Memory in bytes: resident now, and at most since {@linkcode forgetPeak}. */
export interface Memory {
  resident: number;
  peak: number;
}

/** A process's memory. */
export async function memory(pid: number): Promise<Memory> {
  const status = await shell(`cat /proc/${pid}/status`);
  const bytes = (field: string) =>
    1024 * Number(new RegExp(`^${field}:\\s*(\\d+) kB`, "m").exec(status)?.[1]);
  return { resident: bytes("VmRSS"), peak: bytes("VmHWM") };
}

/** Makes the memory of this moment the most that was ever used. */
export async function forgetPeak(pid: number): Promise<void> {
  await shell(`echo 5 > /proc/${pid}/clear_refs`);
}

/** Does something; gives what it gave, and how much more memory than before it took at most, in MB. */
export async function growth<T>(
  pid: number,
  done: () => Promise<T>,
): Promise<{ grown: number; result: T }> {
  await forgetPeak(pid);
  const before = await memory(pid);
  const result = await done();
  return { grown: ((await memory(pid)).peak - before.resident) / MB, result };
}

/** How many sockets a process has open. Others of its descriptors may come with the first use of a thing. */
export async function sockets(pid: number): Promise<number> {
  return Number(
    await shell(`set -- /proc/${pid}/fd/*
    [ -e "$1" ] || { echo "process ${pid} is gone" >&2; exit 1; }
    count=0
    for fd; do [ -S "$fd" ] && count=$((count + 1)); done
    echo $count`),
  );
}

/** Waits until a process has so many sockets. */
export async function assertSockets(pid: number, before: number): Promise<void> {
  const late = performance.now() + PATIENCE;
  let now;
  while ((now = await sockets(pid)) !== before && performance.now() < late) await sleep(20);
  assertEquals(now, before, "it has another number of sockets");
}

/** The CPU time that a process has used, in seconds. */
export async function cpu(pid: number): Promise<number> {
  const stat = await shell(`cat /proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

async function shell(command: string): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command("sh", { args: ["-c", command] })
    .output();
  if (!success) throw new Error(`${command}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout).trim();
}
