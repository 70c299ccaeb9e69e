/** The promises of docs/faults.md on a network with faults, held against random bytes and faults. */

import { assert, assertEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import fc from "fast-check";
import { once } from "node:events";
import net from "node:net";
import { Proxy } from "../../lib/testing/proxy.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { isPending } from "../../lib/wait.ts";
import { property } from "../support/property.ts";

/** One direction: the pieces that are sent, the faults that only take time, and an end. */
interface Way {
  readonly pieces: readonly number[];
  readonly slow: readonly string[];
  readonly end: { readonly name: string; readonly bytes: number } | undefined;
}

const slow = fc.oneof(
  fc.nat(15).map((ms) => `delay=${ms}ms`),
  fc.nat(9).map((ms) => `delay=0..${ms}ms`),
  fc.integer({ min: 30, max: 900 }).map((bytes) => `slice=${bytes}/0`),
  fc.integer({ min: 80, max: 400 }).map((thousands) => `rate=${thousands}k`),
  fc.nat(20).map((ms) => `hold=${ms}ms`),
);
const end = fc.record({ name: fc.constantFrom("cut", "reset", "stall"), bytes: fc.nat(4000) });
const way: fc.Arbitrary<Way> = fc.record({
  pieces: fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 4 }),
  slow: fc.array(slow, { maxLength: 3 }),
  end: fc.constant(undefined),
});
const ending: fc.Arbitrary<Way> = fc.record({
  pieces: fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 4 }),
  slow: fc.array(slow, { maxLength: 2 }),
  end,
});

const bytesOf = ({ pieces }: Way) => pieces.reduce((sum, length) => sum + length, 0);
const dataOf = (way: Way) =>
  text(Uint8Array.from({ length: bytesOf(way) }, (_, at) => at * 7 % 251));
const faultsOf = ({ slow, end }: Way) =>
  [...slow, ...end ? [`${end.name}=${end.bytes}`] : []].join(",");

/** Milliseconds after which a stalled connection counts as open, and any other as hanging. */
const [STALLED, HANGING] = [3000, 30_000];

/** Sends what a way has, half-closes; returns what comes back, and how that ends within a time. */
async function exchange(
  socket: net.Socket,
  way: Way,
  limit: number,
): Promise<[data: string, end: string]> {
  let received = "";
  socket.on("data", (bytes: Uint8Array) => received += text(bytes));
  const ended = new Promise<string>((resolve) => {
    socket.on("end", () => resolve("eof")).on("error", () => resolve("reset"));
  });
  const data = latin1(dataOf(way));
  for (let at = 0, next = 0; next < way.pieces.length; at += way.pieces[next++] ?? 0) {
    socket.write(data.subarray(at, at + (way.pieces[next] ?? 0)));
  }
  socket.end();
  const how = await isPending(ended, limit) ? "open" : await ended;
  return [received, how];
}

/** Both ends of a connection through a proxy with these faults. */
async function check(up: Way, down: Way): Promise<void> {
  const server = net.createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection");
  const faults = {
    ...faultsOf(up) && { up: faultsOf(up) },
    ...faultsOf(down) && { down: faultsOf(down) },
  };
  const proxy = await Proxy.start(server.address() as net.AddressInfo, faults);
  const client = net.connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
  const [socket] = await accepted as [net.Socket];
  try {
    const stalls = [up, down].some(({ end }) => end?.name === "stall");
    const limit = stalls ? STALLED : HANGING;
    const [atClient, atServer] = await Promise.all([
      exchange(client, up, limit),
      exchange(socket, down, limit),
    ]);
    holds(up, atServer, down.end !== undefined);
    holds(down, atClient, up.end !== undefined);
  } finally {
    for (const one of [client, socket]) one.destroy();
    await proxy.close();
    server.close();
  }
}

/** @param isCut whether the other way may end the connection before all of this one has passed */
function holds(way: Way, [data, how]: [string, string], isCut: boolean): void {
  const { end } = way;
  const all = dataOf(way);
  const struck = end !== undefined && end.bytes <= all.length && all.length > 0;
  assert(all.startsWith(data), "other bytes, or in another order");
  if (!struck && !isCut) assertEquals([data.length, how], [all.length, "eof"]);
  if (struck && !isCut) {
    assertEquals(data.length, end.bytes);
    assertEquals(how, { cut: "eof", reset: "reset", stall: "open" }[end.name]);
  }
}

describe("a network", () => {
  const ways = fc.array(fc.tuple(way, way), { minLength: 1, maxLength: 8 }); // at the same time
  property("that takes its time changes no byte", ways, 12, async (all) => {
    await Promise.all(all.map(([up, down]) => check(up, down)));
  });

  const endings = fc.array(fc.tuple(fc.boolean(), ending, way), { minLength: 1, maxLength: 8 });
  property("that fails does so after the bytes that it says", endings, 10, async (all) => {
    await Promise.all(
      all.map(([isUp, one, other]) => isUp ? check(one, other) : check(other, one)),
    );
  });
});
