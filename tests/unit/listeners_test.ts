/** Listeners: the path of a socket that is taken, and connections that nobody accepts. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { EventEmitter } from "node:events";
import type { Server, Socket } from "node:net";
import { SocketListener } from "../../lib/net/node_socket.ts";
import { listenAtPath, takePath } from "../../lib/net/unix.ts";
import { requires } from "../../lib/testing/requires.ts";

const { AddrInUse, BadResource, NotFound } = Deno.errors;

describe("a listener at a path", requires("unix sockets"), () => {
  it("takes no path that is taken, leaves no other file, and none at its end", async () => {
    const folder = await Deno.makeTempDir();
    try {
      const path = `${folder}/socket`;
      const names = () => [...Deno.readDirSync(folder)].map(({ name }) => name);
      const listener = listenAtPath(path);
      assertEquals([listener.addr, names()], [{ transport: "unix", path }, ["socket"]]);
      assertThrows(() => listenAtPath(path), AddrInUse, `${path} exists`);
      await assertRejects(() => takePath(path), AddrInUse, `${path} exists`);
      assertEquals(names(), ["socket"]);
      listener.close();
      assertEquals(names(), []);
      assertThrows(() => listener.close());
      assertThrows(() => listenAtPath(`${folder}/none/socket`), NotFound);
      const other = await takePath(path);
      Deno.removeSync(path);
      const next = listenAtPath(path);
      other.close(); // the file is another's by now
      assertEquals(names(), ["socket"]);
      next.close();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });

  it("gives connections with its path, and an address for each client, which has no path", async () => {
    const folder = await Deno.makeTempDir();
    const listener = listenAtPath(`${folder}/socket`);
    try {
      const path = `${folder}/socket`;
      using one = await Deno.connect({ transport: "unix", path });
      using other = await Deno.connect({ transport: "unix", path });
      const conns = [await listener.accept(), await listener.accept()];
      for (const conn of conns) {
        assertEquals(conn.localAddr, listener.addr);
        assertEquals(conn.remoteAddr, { transport: "unix", path: "" });
        conn.close();
      }
      assertEquals(conns[0]?.remoteAddr === conns[1]?.remoteAddr, false);
      void [one, other];
    } finally {
      listener.close();
      await Deno.remove(folder, { recursive: true });
    }
  });

  it("has a path of at most 107 bytes", async () => {
    const folder = await Deno.makeTempDir();
    try {
      const longest = `${folder}/${"x".repeat(106 - folder.length)}`;
      listenAtPath(longest).close();
      const why = "a socket's path has at most 107 bytes";
      assertThrows(() => listenAtPath(`${longest}x`), Error, why);
      assertThrows(() => listenAtPath(`${longest.slice(0, -1)}é`), Error, why);
      await Deno.writeTextFile(`${folder}/file`, "");
      const file = () => takePath(`${folder}/file`);
      await assertRejects(file, Error, "a file that is not a socket is there");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
});

/** A listener over a server of `node:net` in the test's hands, and connections to it. */
function open() {
  const destroyed: number[] = [];
  const close = () => void Object.assign(server, { listening: false });
  const open = Object.assign(new EventEmitter(), { listening: true, close });
  const server = open as unknown as Server;
  const addr = { transport: "tcp", hostname: "127.0.0.1", port: 1 } as const;
  const listener = new SocketListener(server, addr);
  const connect = (number: number, remoteAddress: string | undefined = "127.0.0.1") => {
    const destroy = () => void destroyed.push(number);
    const socket = Object.assign(new EventEmitter(), {
      remoteAddress,
      remotePort: number,
      destroy,
    });
    server.emit(
      "connection",
      Object.assign(socket, { resetAndDestroy: destroy }) as unknown as Socket,
    );
  };
  return { listener, server, connect, destroyed };
}

describe("a listener whose connections can be reset", () => {
  it("gives them in order, also to one that waits; those of a closed one are closed", async () => {
    const { listener, server, connect, destroyed } = open();
    connect(1);
    connect(2);
    const portOf = async () => {
      const { remoteAddr } = await listener.accept();
      return "port" in remoteAddr && remoteAddr.port;
    };
    assertEquals([await portOf(), await portOf(), listener.resets], [1, 2, true]);
    const waiting = portOf();
    connect(3);
    connect(4);
    assertEquals(await waiting, 3);
    assertEquals(await portOf(), 4);
    const failing = listener.accept();
    server.emit("error", new Error("too many open files"));
    await assertRejects(() => failing, Error, "too many open files");
    connect(5);
    listener.close();
    assertEquals(destroyed, [5]);
    connect(6);
    assertEquals(destroyed, [5, 6]);
    await assertRejects(() => listener.accept(), BadResource);
    listener.close(); // does nothing
  });

  it("adds no event listener for each write that is pending: many would be a warning", async () => {
    using listener = await SocketListener.open("127.0.0.1", 0);
    using peer = await Deno.connect(listener.addr as Deno.NetAddr & { transport: "tcp" });
    using conn = await listener.accept();
    const count = conn.socket.listenerCount("close");
    const writes = Array.from({ length: 20 }, () => conn.write(new Uint8Array(1)));
    assertEquals(conn.socket.listenerCount("close"), count);
    await Promise.all(writes);
    assertEquals(await peer.read(new Uint8Array(1)), 1);
  });

  it("rejects what waits when it is closed", async () => {
    const { listener } = open();
    const waiting = listener.accept();
    listener[Symbol.dispose]();
    await assertRejects(() => waiting, BadResource);
  });

  it("lets 4,096 wait, and none that is dead", () => {
    const { listener, connect, destroyed } = open();
    for (let number = 1; number <= 4096; number++) connect(number);
    assertEquals(destroyed, []);
    connect(4097);
    assertEquals(destroyed, [4097]);
    listener.close();
    assertEquals(destroyed.length, 4097);
  });
});
