/** What a server counts, and what it tells of its clients. */

import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Client } from "../../lib/server/handler.ts";
import { serve } from "../../lib/server/serve.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";

it("a server counts the messages and bytes of conversations in progress, and of those that are over", async () => {
  const clients: Client<void>[] = [];
  const closed: number[] = [];
  const { promise: over, resolve } = Promise.withResolvers<void>();
  await using server = serve((message, reply) => reply.write(message), {
    framing: "line",
    grace: 0,
    onOpen: (client) => void clients.push(client),
    onClose: ({ messages }) => closed.push(messages) === 2 && resolve(),
  });
  const figures = () => [server.clients, server.messages, server.bytes, server.conversations.size];
  assertEquals(figures(), [0, 0, 0, 0]);
  using one = await Wire.dial(server.port);
  using other = await Wire.dial(server.port);
  await one.send("a\nb\n");
  await one.until("b\n");
  await other.send("c");
  while (server.bytes < 5) await sleep(1);
  assertEquals(figures(), [2, 2, 5, 2]);
  const [client] = clients;
  assert(client !== undefined && server.conversations.has(client));
  assertEquals([client.localAddr, client.messages, client.isHealthCheck], [server.addr, 2, false]);
  await sleep(20);
  assert(client.idle >= 15 && client.idle < 5000, `${client.idle} ms`);
  assertEquals(server.hostname, "127.0.0.1");
  await one.end();
  await other.end();
  await over;
  assertEquals([figures(), closed.toSorted()], [[0, 3, 5, 0], [1, 2]]);
});
