/** Clients that send far too much. Each throws when it fails, else tells figures. */

import { assert, assertEquals } from "@std/assert";
import { Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";
import { Udp } from "../support/udp.ts";
import { others, runPeers, sayOthers } from "./peers.ts";
import { assertSockets, growth, sockets } from "./proc.ts";
import { assertWell, type Subject, warmUp } from "./subject.ts";
import { sleep } from "../../lib/wait.ts";

const LINE = 1000;

/** A line that is far too long. */
export async function longLine(server: Subject, megabytes: number): Promise<string> {
  await warmUp(server);
  const { grown, result } = await growth(server.pid, () =>
    others(server.port, async () => {
      const { refused, megabytes: sent } = await runPeers("long", server.port, megabytes);
      assert(refused, `the error line did not come, after ${sent} MB`);
    }));
  assert(grown < 16, `memory grew by ${grown.toFixed(1)} MB, over 16`);
  return `${megabytes} MB: memory +${grown.toFixed(1)} MB; ${sayOthers(result)}`;
}

/** A client that sends for ever and never reads is cut, and costs little until then. */
export async function neverReads(server: Subject, idleTimeout: number): Promise<string> {
  const before = await sockets(server.pid);
  await warmUp(server);
  const start = performance.now();
  const { grown, result: lines } = await growth(server.pid, async () => {
    using wire = await Wire.dial(server.port);
    return await sendUntilCut(wire);
  });
  const seconds = (performance.now() - start) / 1000;
  assert(grown < 20, `memory grew by ${grown.toFixed(1)} MB, over 20`);
  assert(seconds > idleTimeout / 1000, `it was cut after ${seconds.toFixed(1)} s already`);
  await assertWell(server);
  await assertSockets(server.pid, before);
  return `cut after ${lines} lines, ${seconds.toFixed(1)} s; memory +${grown.toFixed(1)} MB`;
}

/** It reads again before the deadline, and all its replies are there. */
export async function readsLate(server: Subject): Promise<string> {
  using wire = await Wire.dial(server.port);
  const line = (number: number) => String(number).padStart(LINE - 1, "-");
  let lines = 0, stuck = false;
  const sending = (async () => {
    for (; !stuck; lines++) await wire.send(`${line(lines)}\n`);
    await wire.end();
  })();
  for (let before = -1; before !== lines; await sleep(200)) before = lines;
  stuck = true;
  const [heard] = await Promise.all([wire.rest(), sending]);
  const replies = unstamped(heard).split("\n");
  const wrong = replies.findIndex((reply, at) => reply !== `[${line(at)}] STAMP`);
  assertEquals(wrong, lines, `reply ${wrong} is ${replies[wrong]?.slice(-80)}`);
  return `stuck after ${lines} lines of ${LINE} bytes, then all ${lines} replies came`;
}

/** The others' round trips beside a client at full speed. */
export async function fullSpeed(
  server: Subject,
  size: number,
  seconds: number,
  most: { p50?: number; p99?: number },
  byte = 0x78,
): Promise<string> {
  await assertWell(server);
  const trips = await others(server.port, async () => {
    const { messages = 0, replies } = await runPeers(
      "flood",
      server.port,
      size,
      seconds,
      byte,
    );
    assertEquals(replies, messages, "not every message was answered");
    assert(messages > 0);
  });
  const said = sayOthers(trips);
  assert(trips.p50 <= (most.p50 ?? Infinity), `${said}: p50 over ${most.p50} ms`);
  assert(trips.p99 <= (most.p99 ?? Infinity), `${said}: p99 over ${most.p99} ms`);
  return `lines of ${size} bytes for ${seconds} s; ${said}`;
}

/** Sends lines until that fails; gives how many went. */
async function sendUntilCut(wire: Wire): Promise<number> {
  const line = `${"x".repeat(LINE - 1)}\n`;
  for (let lines = 0;; lines++) {
    try {
      await wire.send(line);
    } catch {
      return lines;
    }
  }
}

/** Datagrams as fast as can be cost no memory: at most 64 MB, once of three times. */
export async function datagrams(server: Subject): Promise<string> {
  await using udp = await Udp.open();
  const flood = async (size: number, seconds: number) => {
    const data = "x".repeat(size);
    for (const end = performance.now() + 1000 * seconds; performance.now() < end;) {
      await Promise.all(Array.from({ length: 64 }, () => udp.send(data, server.port)));
    }
  };
  // Each datagram is received into a buffer of 64 KiB. The number of buffers between two garbage
  // collections is known after a while.
  await flood(60_000, 0.5);
  await flood(10, 0.5);
  const figures = [];
  for (const size of [10, 1000, 60_000]) {
    let least = Infinity;
    for (let floods = 0; floods < 3 && least >= 64; floods++) {
      least = Math.min(least, (await growth(server.pid, () => flood(size, 0.3))).grown);
    }
    figures.push(`${size} bytes: memory +${least.toFixed(1)} MB`);
    assert(least < 64, `${figures.at(-1)}, over 64, 3 times`);
  }
  return figures.join("; ");
}

/** Says so many lines of 32 kB in a chat, and hears each of them twice. */
export async function chat(one: Wire, two: Wire, lines: number): Promise<void> {
  const text = "x".repeat(32_000);
  for (let sent = 0; sent < lines; sent++) {
    await one.send(`${text}\n`);
    const received = `guest 1: ${text}\n`;
    assertEquals([await one.until(/\n/), await two.until(/\n/)], [received, received]);
  }
}

/** A guest of a chat that never reads costs no memory: 26 MB are sent to it. */
export async function deafGuest(server: Subject): Promise<string> {
  using one = await Wire.dial(server.port);
  await one.until("guest 1\n");
  using two = await Wire.dial(server.port);
  await two.until("guest 2\n");
  using _deaf = await Wire.dial(server.port);
  for (const wire of [one, two]) await wire.until("guest 3 is here\n");
  const { grown } = await growth(server.pid, () => chat(one, two, 800));
  assert(grown < 16, `memory grew by ${grown.toFixed(1)} MB, over 16`);
  return `memory +${grown.toFixed(1)} MB`;
}
