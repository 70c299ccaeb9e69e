/** The client's UDP socket: which server it talks to, and what it makes of what the system reports. */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { DatagramPeer } from "../../lib/client/datagram_peer.ts";
import { DatagramSocket } from "../../lib/net/udp.ts";
import { ConnectError } from "../../lib/net/errors.ts";
import { serveDatagrams } from "../../lib/server/datagrams.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";

/** A socket, and what its callbacks got. */
async function open(hostname: string, port = 7) {
  const socket = await DatagramSocket.connect(hostname, port);
  const got: string[] = [];
  socket.listen({
    received: (datagram) => got.push(text(datagram)),
    refused: (error) => got.push(`refused: ${error.message}`),
    failed: (error) => got.push(`failed: ${error.message}`),
  });
  return { socket, got, [Symbol.dispose]: () => socket[Symbol.dispose]() };
}

describe("DatagramSocket", () => {
  it("receives from its server alone, with or without the zone of a link-local address", async () => {
    using both = await open("fe80::1%lo");
    const senders = [
      ...[["fe80::1", 7], ["fe80::1%lo", 7], ["fe80:0:0::1", 7]],
      ...[["fe80::2", 7], ["fe80::1", 8], ["::1", 7]],
    ];
    for (const [address, port] of senders) {
      both.socket.socket.emit("message", latin1(`${address} ${port}`), { address, port });
    }
    assertEquals(both.got, ["fe80::1 7", "fe80::1%lo 7", "fe80:0:0::1 7"]);
  });

  it("is still usable after the system reported that no program receives at the port", async () => {
    await using server = await serveDatagrams((message, reply) => reply.write(message));
    using both = await open("127.0.0.1", server.port);
    const refused = Object.assign(new Error("recvmsg ECONNREFUSED"), { code: "ECONNREFUSED" });
    both.socket.socket.emit("error", refused);
    assertEquals(both.got.length, 1);
    assertMatch(
      both.got[0] ?? "",
      /^refused: cannot connect to 127.0.0.1:\d+: no program receives/,
    );
    const replied = new Promise((resolve) => both.socket.socket.once("message", resolve));
    both.socket.send(latin1("hello"));
    await replied;
    assertEquals(both.got[1], "hello");
  });

  it("reports an error before there were callbacks, and sends nothing after it", async () => {
    const socket = await DatagramSocket.connect("127.0.0.1", 7);
    socket.socket.emit("error", new Error("no buffers"));
    const failures: string[] = [];
    socket.listen({ received: () => {}, failed: ({ message }) => failures.push(message) });
    socket.send(latin1("hello"));
    assertEquals(failures, ["cannot send to 127.0.0.1:7: no buffers"]);
    socket[Symbol.dispose]();
    socket[Symbol.dispose]();
  });

  it("sends at most 65,507 bytes, the LF of a line included", async () => {
    await using server = await serveDatagrams(() => {});
    for (const [framing, most] of [["auto", 65507], ["line", 65506]] as const) {
      using socket = await DatagramSocket.connect("127.0.0.1", server.port, framing);
      socket.send(new Uint8Array(most));
      const why = `a message of ${most + 1} bytes is too long for a datagram: at most 65507 fit`;
      assertThrows(() => socket.send(new Uint8Array(most + 1)), Error, why);
      const bytes = server.bytes + 65507;
      while (server.bytes < bytes) await sleep(1);
      assertEquals(server.bytes, bytes);
    }
  });

  it("is not opened to a group of servers", async () => {
    for (const hostname of ["255.255.255.255", "224.0.0.1", "239.1.2.3", "ff02::1"]) {
      const opening = DatagramSocket.connect(hostname, 7);
      await assertRejects(() => opening, ConnectError, "the address of a group");
    }
  });
});

describe("DatagramPeer", () => {
  it("rejects a request to a closed port, and stays open", async () => {
    const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = free.addr as Deno.NetAddr;
    free.close();
    using peer = await DatagramPeer.connect({ port, timeout: 100 });
    for (let time = 0; time < 2; time++) {
      const error = await peer.request("hello").catch((error) => error);
      assert(error instanceof Error);
      // Node reports the closed port; Deno 2.9 does not.
      assertMatch(error.message, /no program receives there|no reply within 0.1s/);
    }
  });

  it("sends a message that ends with a line ending, which is no part of its reply", async () => {
    await using server = await serveDatagrams((message, reply) => reply.write(`[${message.text}]`));
    using peer = await DatagramPeer.connect({ port: server.port, timeout: 5000 });
    assertEquals((await peer.request("a\r\n")).text, "[a]");
    using lines = await DatagramPeer.connect({ port: server.port, timeout: 5000, framing: "line" });
    await assertRejects(() => lines.request("a\r"), Error, "ends with CR");
    assertEquals((await lines.request("a\rb")).text, "[a\rb]");
  });
});
