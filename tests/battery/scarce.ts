/** More clients than descriptors. Throws when it fails, else tells figures. */

import { assert, assertEquals } from "@std/assert";
import { program, ServerProgram } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { cpu } from "./proc.ts";
import { assertConverses } from "./subject.ts";
import { sleep } from "../../lib/wait.ts";

/** How long the CPU is watched, in ms. */
const WATCH = 500;

/** Starts a server that may open but so many descriptors. */
export async function startScarce(descriptors: number): Promise<ServerProgram> {
  const limited = `ulimit -n ${descriptors}; exec "$@"`;
  const server = new ServerProgram(
    ["bash", "-c", limited, "bash", ...program("server"), "--port", "0", "--quiet"],
  );
  const [, port] = await server.until(/listening on .*:(\d+)/);
  server.port = Number(port);
  return server;
}

/** Those who got in are served; the others wait without cost, and are served as places come free. */
export async function scarce(server: ServerProgram, clients: number): Promise<string> {
  using wires = new DisposableStack();
  let answered = 0;
  const whoWaits = Promise.withResolvers<void>();
  const conversations = Array.from({ length: clients }, async () => {
    const wire = wires.use(await Wire.dial(server.port));
    await assertConverses(wire);
    answered++;
    await whoWaits.promise;
    wire[Symbol.dispose](); // makes room for one who waits
  });

  await server.untilError(/cannot accept for now: .*\n/);
  const before = await cpu(server.pid);
  await sleep(WATCH);
  const used = 100 * (await cpu(server.pid) - before) / (WATCH / 1000);
  const first = answered;
  whoWaits.resolve();
  await Promise.all(conversations);

  assert(first > 0 && first < clients, `${first} of ${clients} got in`);
  assertEquals(answered, clients);
  assert(used < 10, `it used ${used.toFixed()} % of a CPU while it could accept nobody`);
  return `${first} of ${clients} got in and were served, the rest as those left; ` +
    `${used.toFixed(1)} % of a CPU meanwhile`;
}
