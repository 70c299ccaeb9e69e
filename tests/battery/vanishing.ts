/** Clients that reset or leave when it suits nobody, or don't leave. Each throws when it fails, else tells figures. */

import { assert } from "@std/assert";
import net from "node:net";
import { once } from "node:events";
import type { ServerProgram } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { nextSeen, runPeers, startPeers } from "./peers.ts";
import { assertSockets, sockets } from "./proc.ts";
import { assertConverses, assertWell, type Subject } from "./subject.ts";

/** Long enough that its reply is still on its way when the first bytes are here. */
const LONG = "x".repeat(200_000);

/** Connections that are reset before they are accepted. */
export async function resetInTheQueue(server: Subject, times: number): Promise<string> {
  const before = await sockets(server.pid);
  await assertWell(server);
  await runPeers("resets", server.port, 1);
  await assertWell(server, 1000);
  await runPeers("resets", server.port, times);
  const took = await assertWell(server, 1000);
  await assertSockets(server.pid, before);
  return `${times} resets; the next client was answered in ${took.toFixed()} ms`;
}

/** Resets in a conversation: while idle, right after a message, in mid-reply. */
export async function resetInConversation(server: Subject, times: number): Promise<string> {
  const before = await sockets(server.pid);
  await assertWell(server);
  {
    using other = await Wire.dial(server.port);
    await assertConverses(other);
    for (let time = 0; time < times; time++) {
      await resetAfter(server.port, "hello\n", 1);
      await resetAfter(server.port, "hello\n", 0);
      await resetAfter(server.port, `${LONG}\n`, 1);
      await assertConverses(other);
    }
  }
  await assertWell(server, 1000);
  await assertSockets(server.pid, before);
  return `3 × ${times} resets; the other conversation went on`;
}

/** A client that closes while its reply lies unread. */
export async function closeUnread(server: Subject, times: number): Promise<string> {
  const before = await sockets(server.pid);
  await assertWell(server);
  {
    using other = await Wire.dial(server.port);
    await assertConverses(other);
    for (let time = 0; time < times; time++) {
      using wire = await Wire.dial(server.port);
      await wire.send("hello\n");
      await wire.conn.read(new Uint8Array(1)); // the rest of the reply is there, unread
    }
    await assertConverses(other);
  }
  await assertWell(server, 1000);
  await assertSockets(server.pid, before);
  return `${times} replies were left unread; the other conversation went on`;
}

/** Resets connections while a server can accept none. */
export async function resetUnaccepted(server: ServerProgram, times: number): Promise<void> {
  server.signal("SIGSTOP");
  for (let time = 0; time < times; time++) await resetAfter(server.port, "", 0);
  server.signal("SIGCONT");
}

/** Says something, reads so many times and resets. */
export async function resetAfter(port: number, said: string, reads: number): Promise<void> {
  const socket = net.connect(port, "127.0.0.1");
  socket.on("error", () => {}); // what is awaited reports it
  const closed = new Promise((resolve) => socket.once("close", resolve));
  try {
    await once(socket, "connect");
    await new Promise((sent) => socket.write(said, sent));
    if (reads > 0) {
      await once(socket, "readable");
      assert(socket.read(1) !== null, "nothing came");
    }
  } finally {
    socket.resetAndDestroy();
    await closed;
  }
}

/** Over TLS, clients that never read, and clients that never finish the handshake, are cut though they stay. */
export async function staysInTls(server: Subject, size: number): Promise<string> {
  const before = await sockets(server.pid);
  await using peers = startPeers("tls", server.port, size);
  const { held = 0 } = await nextSeen(peers);
  await assertSockets(server.pid, before);
  await peers.endInput();
  await peers.ends(0);
  return `${held} clients stayed; none of their descriptors did`;
}
