/** What a server counts, and what it tells of its clients. */

import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Socket } from "node:dgram";
import { EventEmitter } from "node:events";
import { DatagramServer } from "../../lib/server/datagrams.ts";
import type { Client, Handler } from "../../lib/server/handler.ts";
import { serve } from "../../lib/server/serve.ts";
import { latin1, Wire } from "../../lib/testing/wire.ts";
import { pause, sleep } from "../../lib/wait.ts";

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

it("a server of datagrams answers none of its own addresses, of which there may be several", async () => {
  const sent: string[] = [];
  const open = (address: string) =>
    Object.assign(new EventEmitter(), {
      address: () => ({ address, port: 7, family: "" }),
      close: () => {},
      send: (_: Uint8Array, port: number, to: string, done: (error: null) => void) => {
        sent.push(`${to} ${port}`);
        done(null);
      },
    });
  const sockets = [open("127.0.0.1"), open("::1")];
  const handler: Handler<void> = (message, reply) => reply.write(message);
  await using server = new DatagramServer(handler, {}, sockets as unknown as Socket[]);
  const from = [["127.0.0.1", 7], ["::1", 7], ["127.0.0.2", 7], ["::1", 8]] as const;
  for (const [address, port] of from) {
    sockets[0]?.emit("message", latin1("x"), { address, port });
  }
  await server.shutdown();
  assertEquals([sent, server.messages, server.bytes], [["127.0.0.2 7", "::1 8"], 4, 4]);
  assertEquals(server.addrs.map(({ hostname, port }) => `${hostname} ${port}`), [
    "127.0.0.1 7",
    "::1 7",
  ]);
  assertEquals([server.hostname, server.port], ["127.0.0.1", 7]);
});

it("a server of datagrams sends nothing once it is closed", async () => {
  const sent: string[] = [];
  const socket = Object.assign(new EventEmitter(), {
    address: () => ({ address: "127.0.0.1", port: 7, family: "" }),
    close: () => void sent.push("closed"),
    send: (_: Uint8Array, port: number, to: string, done: (error: null) => void) => {
      sent.push(`${to} ${port}`);
      done(null);
    },
  });
  const slow = Promise.withResolvers<void>();
  const handler: Handler<void> = async (message, reply) => {
    await slow.promise;
    reply.write(message);
  };
  const server = new DatagramServer(handler, { grace: 0 }, [socket] as unknown as Socket[]);
  socket.emit("message", latin1("x"), { address: "127.0.0.1", port: 8 });
  await server.shutdown();
  slow.resolve();
  for (let time = 0; time < 2; time++) await pause(30); // its own look for messages ends in this time
  assertEquals(sent, ["closed"]);
});
