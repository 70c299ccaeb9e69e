/** Servers that stop or are killed while they are busy. Each throws when it fails, else tells figures. */

import { assert, assertEquals } from "@std/assert";
import { program, ServerProgram, startClient, startServer } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";
import { sleep } from "../../lib/wait.ts";
import { assertConverses, assertWell } from "./subject.ts";

/** SIGTERM while clients pipeline: whole replies in order, then end-of-file, no reset. */
export async function stopWhileBusy(server: ServerProgram, clients: number): Promise<string> {
  const busy = Array.from({ length: clients }, () => pipeline(server));
  await Promise.all(busy.map(({ begun }) => begun));
  const start = performance.now();
  server.signal("SIGTERM");
  const [replies] = await Promise.all([
    Promise.all(busy.map(({ replies }) => replies)),
    server.ends(0),
  ]);
  const took = performance.now() - start;
  assert(took < 5000, `it took ${took.toFixed()} ms to stop`); // the grace period
  return `${clients} clients got ${replies.reduce((sum, count) => sum + count, 0)} replies, ` +
    `then end-of-file; stopped in ${took.toFixed()} ms`;
}

/** Kill -9 with many connected; a new server binds at once, our client says what happened. */
export async function killAndRestart(server: ServerProgram, clients: number): Promise<void> {
  await using client = startClient(["--port", server.port]);
  await client.type("hello\n");
  await client.until(/\[hello\] .*\n>>:/);
  using wires = new DisposableStack();
  for (let dialled = 0; dialled < clients; dialled++) {
    await assertConverses(wires.use(await Wire.dial(server.port)));
  }
  server.signal("SIGKILL");
  await using next = new ServerProgram([...program("server"), "--port", String(server.port)]);
  await next.until("listening on");
  next.port = server.port;
  await assertWell(next);
  await client.ends(1);
  assert(
    /^client: the server has (closed|reset) the connection\n$/.test(client.stderr),
    client.stderr,
  );
}

/** A client that says numbers until the server ends it; begun: the first reply is here. */
function pipeline(server: ServerProgram): { begun: Promise<void>; replies: Promise<number> } {
  const begun = Promise.withResolvers<void>();
  const replies = (async () => {
    using wire = await Wire.dial(server.port);
    let over = false;
    const saying = (async () => {
      for (let number = 0; !over; number += 50) {
        await sleep(10); // to keep up with what 50 receive is too much for one process of tests
        await wire.send(Array.from({ length: 50 }, (_, more) => `${number + more}\n`).join(""));
      }
    })().catch((error) => {
      if (!over) throw error;
    });
    let heard = await wire.until(/\n/);
    begun.resolve();
    heard += await wire.rest();
    over = true;
    wire[Symbol.dispose]();
    await saying;
    return assertInOrder(unstamped(heard));
  })();
  return { begun: begun.promise, replies };
}

/** Checks that these are whole replies to 0, 1, 2...; gives how many. */
function assertInOrder(heard: string): number {
  const replies = heard.split("\n");
  assertEquals(replies.pop(), "", "the last reply is not whole");
  const wrong = replies.findIndex((reply, at) => reply !== `[${at}] STAMP`);
  assertEquals(wrong, -1, `reply ${wrong} is ${replies[wrong]}`);
  return replies.length;
}

/** Servers that get little processor time are told to stop with a message just arrived: every message is answered. */
export async function stopStarved(servers: number, clients: number): Promise<void> {
  await using programs = new AsyncDisposableStack();
  using wires = new DisposableStack();
  const starting = Array.from({ length: servers }, () => startServer(["--quiet", "--grace", "5s"]));
  const started = (await Promise.all(starting)).map((server) => programs.use(server));
  const dialling = started.flatMap(({ port }) =>
    Array.from({ length: clients }, () => Wire.dial(port))
  );
  const dialled = (await Promise.all(dialling)).map((wire) => wires.use(wire));
  await Promise.all(dialled.map((wire) => wire.send("hello")));
  for (const server of started) server.signal("SIGTERM");
  const heard = await Promise.all(dialled.map((wire) => wire.rest().catch(String)));
  assertEquals(heard.map(unstamped), Array(servers * clients).fill("[hello] STAMP"));
  for (const server of started) await server.ends(0);
}

/** With no grace, a client that waits for a place keeps no server from ending. */
export async function stopWithNoGrace(): Promise<void> {
  await using server = await startServer(["--grace", "0", "--max-clients", "1"]);
  using first = await Wire.dial(server.port);
  await assertConverses(first);
  using second = await Wire.dial(server.port);
  await second.send("hello\n");
  server.signal("SIGTERM");
  await server.ends(0);
}
