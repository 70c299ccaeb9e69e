/**
 * The library leaves no timer, socket or operation behind: the sanitizers fail a test that does.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { ConnTransport } from "../../lib/ping/conn_transport.ts";
import { Measurement } from "../../lib/ping/measurement.ts";
import { DatagramPeer, listen, Peer, serve, serveDatagrams, TimeoutError } from "../../lib/mod.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";

const MINUTE = 60_000;

Deno.test("a server and its clients, let in or not", async () => {
  const answers = [false, true, true];
  await using server = serve((message, reply) => reply.write(message), {
    framing: "line",
    idleTimeout: MINUTE,
    grace: MINUTE,
    handlerTimeout: MINUTE,
    verify: () => Promise.resolve(answers.shift() ?? true),
    onOpen: async () => await Promise.resolve(),
  });
  const { port } = server.addr as Deno.NetAddr;
  const stop = new AbortController();
  const options = { port, framing: "line", timeout: MINUTE, signal: stop.signal } as const;
  using refused = await Peer.connect(options);
  await assertRejects(() => refused.request("one"), Error, "has closed the connection");
  using peer = await Peer.connect(options);
  assertEquals((await peer.request("two")).length, 3);
  using wire = await Wire.dial(port);
  await wire.send("three\nfour\n");
  await wire.until("four\n");
});

Deno.test("a server that drains, and a client whose reply comes too late", async () => {
  const late = Promise.withResolvers<void>();
  await using server = serve(() => late.promise, { framing: "line", drain: 10, grace: MINUTE });
  const { port } = server.addr as Deno.NetAddr;
  using peer = await Peer.connect({ port, framing: "line", timeout: 20 });
  await assertRejects(() => peer.request("one"), Error, "no reply within 0.02s");
  late.resolve();
});

Deno.test("nobody is there", async () => {
  const nobody = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = nobody.addr;
  nobody.close();
  const connecting = () => Peer.connect({ port, timeout: MINUTE, wait: 20 });
  await assertRejects(connecting, Error, "connection refused");
});

Deno.test("a listener on a Unix socket", requires("unix sockets"), async () => {
  const folder = await Deno.makeTempDir({ prefix: "readback-leaks-" });
  try {
    for (const listener of await listen({ path: `${folder}/s` })) listener.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("datagrams, answered or not", async () => {
  await using server = await serveDatagrams((message, reply) => {
    if (message.text !== "nothing") reply.write(message);
  }, { grace: MINUTE, handlerTimeout: MINUTE });
  const { port } = server.addr;
  const matches = () => true;
  using peer = await DatagramPeer.connect({ port, matches, timeout: MINUTE });
  await peer.request("one");
  using hasty = await DatagramPeer.connect({ port, matches, timeout: 10 });
  await assertRejects(() => hasty.request("nothing"), TimeoutError);
});

Deno.test("a measurement: done, or called off while it waits", async () => {
  await using server = serve((message, reply) => reply.write(message), { framing: "line" });
  const { port } = server.addr as Deno.NetAddr;
  const how = { framing: "line", any: false, messages: [], greeting: false } as const;
  const silent = { report: () => Promise.resolve(), complain: () => {} };
  for (const [interval, count] of [[0, 3], [MINUTE, 2]] as const) {
    const measurement = new Measurement(
      { ...how, interval, count, timeout: MINUTE, connections: 1 },
      silent,
    );
    measurement.add((callbacks) => new ConnTransport(callbacks, () => Deno.connect({ port }), how));
    const stop = new AbortController();
    const run = measurement.run(stop.signal);
    if (interval > 0) {
      while (measurement.tally.answered === 0) await sleep(1);
      stop.abort();
    }
    await run;
  }
});
