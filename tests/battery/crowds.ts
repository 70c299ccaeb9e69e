/** Many clients. Each throws when it fails, else tells figures. */

import { assert, assertEquals } from "@std/assert";
import { once } from "node:events";
import net from "node:net";
import type { Random } from "../support/random.ts";
import { nextSeen, others, runPeers, sayOthers, startPeers } from "./peers.ts";
import { assertSockets, memory, sockets } from "./proc.ts";
import { assertWell, type Subject } from "./subject.ts";

/** So many random connections are open together. */
const AT_A_TIME = 30;

/** Busy connections are served evenly: p99.9 is at most so many times p50. */
export async function busy(
  server: Subject,
  size: number,
  seconds: number,
  spread: number,
): Promise<string> {
  const { rate = 0, unanswered, fewest, most, p50 = 0, p99 = 0, p999 = 0 } = await runPeers(
    "busy",
    server.port,
    size,
    seconds,
  );
  const said = `${size} connections, ${rate.toFixed()} replies/s, ${fewest} to ${most} each in ` +
    `${seconds} s; p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, p99.9 ${p999.toFixed(1)} ms`;
  assertEquals(unanswered, 0, `connections got no reply at all: ${said}`);
  assert(p999 <= spread * p50, `p99.9 is over ${spread} × p50: ${said}`);
  return said;
}

/** Connections at rest cost little, and each is answered. */
export async function atRest(server: Subject, size: number, most: number): Promise<string> {
  const before = await sockets(server.pid);
  await assertWell(server);
  let each: number, took: number;
  {
    await using crowd = startPeers("crowd", server.port, size);
    const empty = await memory(server.pid);
    await nextSeen(crowd);
    await assertSockets(server.pid, before + size);
    await assertWell(server);
    each = ((await memory(server.pid)).resident - empty.resident) / size;
    await crowd.type("say\n");
    const { right, seconds = 0 } = await nextSeen(crowd);
    assertEquals(right, size, "not every one was answered");
    took = seconds;
    await crowd.type("leave\n");
    await crowd.ends(0);
  }
  await assertSockets(server.pid, before);
  const said = `${size} at rest: ${(each / 1024).toFixed(1)} KB each; ` +
    `all answered in ${took.toFixed(2)} s`;
  assert(each <= most, `${said}: over ${most / 1024} KB`);
  return said;
}

/** Clients that drip bytes and never finish are cut at the deadline; the others don't notice. */
export async function drips(
  server: Subject,
  size: number,
  idleTimeout: number,
  most: { p99?: number } = {},
): Promise<string> {
  const seconds = idleTimeout / 1000;
  const before = await sockets(server.pid);
  let cut, first = 0, last = 0;
  const trips = await others(server.port, async () => {
    ({ cut, first = 0, last = 0 } = await runPeers(
      "drip",
      server.port,
      size,
      Math.ceil(seconds + 20),
    ));
  });
  const said = `${size} drips, cut after ${first.toFixed(1)} to ${last.toFixed(1)} s; ` +
    sayOthers(trips);
  assertEquals(cut, size, `not every one was cut: ${said}`);
  assert(first >= seconds * 0.9 && last <= seconds + 5, `cut at the wrong time: ${said}`);
  assert(trips.p99 <= (most.p99 ?? Infinity), `${said}: p99 over ${most.p99} ms`);
  await assertSockets(server.pid, before);
  return said;
}

/** Random bytes, random closings. */
export async function randomClosings(
  server: Subject,
  size: number,
  random: Random,
): Promise<string> {
  const before = await sockets(server.pid);
  await assertWell(server);
  const bytes = random.bytes(200_000);
  for (let done = 0; done < size; done += AT_A_TIME) {
    await Promise.all(
      Array.from({ length: AT_A_TIME }, () => closeSomehow(server, random, bytes)),
    );
  }
  await assertWell(server);
  await assertSockets(server.pid, before);
  return `${size} connections, seed ${random.seed}`;
}

/** Connect, message, close, again and again: nothing is left behind. */
export async function reconnects(
  server: Subject,
  times: number,
  mostGrown: number,
): Promise<string> {
  const before = await sockets(server.pid);
  await runPeers("reconnects", server.port, Math.ceil(times / 2)); // what comes first may cost
  const { resident } = await memory(server.pid);
  const { right, seconds = 0 } = await runPeers("reconnects", server.port, times);
  assertEquals(right, times, "not every message was answered");
  const grown = ((await memory(server.pid)).resident - resident) / (1 << 20);
  await assertSockets(server.pid, before);
  const said = `${times} reconnects in ${seconds.toFixed(1)} s: memory ` +
    `${grown < 0 ? "" : "+"}${grown.toFixed(1)} MB, no socket more`;
  assert(grown < mostGrown, `${said}: over ${mostGrown} MB`);
  return said;
}

async function closeSomehow({ port }: Subject, random: Random, bytes: Uint8Array): Promise<void> {
  const socket = net.connect(port, "127.0.0.1");
  socket.on("error", () => {}); // the server may refuse and close: that is one of the ways
  const closed = once(socket, "close");
  await once(socket, "connect");
  if (random.below(2) === 0) socket.resume(); // else it never reads
  for (let writes = random.below(5); writes > 0; writes--) {
    const at = random.below(100_000);
    socket.write(bytes.subarray(at, at + random.of([0, 1, 10, 1000, 100_000])));
    if (random.below(2) === 0) await new Promise((passed) => setTimeout(passed, random.below(5)));
  }
  random.of([
    () => socket.resume().end(),
    () => socket.destroy(),
    () => socket.resetAndDestroy(),
  ])();
  await closed;
}
