/** Connections in memory: what a server does with thousands costs a test no sockets. */

import type { Listener, ServerConn } from "../../lib/mod.ts";
import { latin1, text } from "../../lib/testing/wire.ts";

const ADDR = { transport: "tcp", hostname: "127.0.0.1", port: 1 } as const;

/** A listener of connections that were never on a network. They end at once, unless they say otherwise. */
export function listenerOf(...conns: Partial<ServerConn>[]): Listener {
  const closed = Promise.withResolvers<never>();
  const whole = conns.map((conn): ServerConn => ({
    remoteAddr: ADDR,
    read: () => Promise.resolve(null),
    write: (bytes) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
    ...conn,
  }));
  return {
    addr: ADDR,
    accept: () => {
      const conn = whole.shift();
      return conn === undefined ? closed.promise : Promise.resolve(conn);
    },
    close: () => closed.reject(new Deno.errors.BadResource()),
  };
}

/** A client that sends this, half-closes, and keeps what it receives until it is disconnected. */
export function clientOf(sent: string): Partial<ServerConn> & { received: Promise<string> } {
  const { promise: received, resolve } = Promise.withResolvers<string>();
  let [left, all] = [latin1(sent), ""];
  return {
    received,
    read(room) {
      const piece = left.subarray(0, room.length);
      left = left.subarray(piece.length);
      room.set(piece);
      return Promise.resolve(piece.length || null);
    },
    write(bytes) {
      all += text(bytes);
      return Promise.resolve(bytes.length);
    },
    close: () => resolve(all),
  };
}
