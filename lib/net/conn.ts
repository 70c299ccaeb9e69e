/** Connections and listeners, as the library needs them, and a base for those that wrap another. */

import { sleep } from "../wait.ts";
import type { Addr } from "./address.ts";

/**
 * The least that a connection must be able to do; those of Deno can.
 *
 * ```ts
 * import { type Conn, Peer, serve } from "@readback/readback";
 *
 * // Sends each byte by itself.
 * const bytewise = (conn: Conn): Conn => ({
 *   read: (into) => conn.read(into),
 *   write: (bytes) => conn.write(bytes.subarray(0, 1)),
 *   closeWrite: () => conn.closeWrite(),
 *   close: () => conn.close(),
 * });
 * await using server = serve((message, reply) => reply.write(message), {
 *   onAccept: (conn) => Promise.resolve({ ...bytewise(conn), remoteAddr: conn.remoteAddr }),
 * });
 * using peer = await Peer.connect({ port: server.port });
 * await peer.request("hello");
 * ```
 */
export interface Conn {
  /**
   * Reads into a buffer.
   *
   * @returns the number of bytes read; null at end-of-file
   */
  read(into: Uint8Array): Promise<number | null>;
  /**
   * Writes some of these bytes, at least one.
   *
   * @returns the number of bytes written
   */
  write(bytes: Uint8Array): Promise<number>;
  /** Half-closes the connection: no more will be sent, the peer can still be read. */
  closeWrite(): Promise<void>;
  /** Closes the connection. */
  close(): void;
  /** Closes the connection with a reset. Only connections of a listener that `resets` can. */
  reset?(): void;
}

/**
 * A connection that was accepted.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Addr, Peer, serve, type ServerConn } from "@readback/readback";
 *
 * const seen: Addr[] = [];
 * const prepare = (conn: ServerConn) => {
 *   seen.push(conn.remoteAddr);
 *   return Promise.resolve(conn);
 * };
 * await using server = serve((message, reply) => reply.write(message), { onAccept: prepare });
 * using peer = await Peer.connect({ port: server.port });
 * await peer.request("hello");
 * assertEquals(seen.length, 1);
 * ```
 */
export interface ServerConn extends Conn {
  /** The client's address. */
  readonly remoteAddr: Addr;
  /** The address of this end. */
  readonly localAddr?: Addr | undefined;
  /** True for a proxy's health check: see {@linkcode Client}. A server that drains refuses it. */
  readonly isHealthCheck?: boolean | undefined;
  /** Completes the TLS handshake. Missing without TLS. */
  handshake?(): Promise<unknown>;
  /** Switches Nagle's algorithm off: with it, a small reply waits until the last is acknowledged. */
  setNoDelay?(): void;
  /** Switches TCP keep-alive on: the system detects clients that vanished. */
  setKeepAlive?(): void;
}

/**
 * Accepts connections for a server; listeners of Deno can.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { listen, type Listener, Peer, serve } from "@readback/readback";
 *
 * // Counts the connections that it accepts.
 * function counting(inner: Listener): Listener & { count: number } {
 *   return {
 *     addr: inner.addr,
 *     count: 0,
 *     async accept() {
 *       const conn = await inner.accept();
 *       this.count++;
 *       return conn;
 *     },
 *     close: () => inner.close(),
 *   };
 * }
 * const listeners = (await listen()).map(counting);
 * await using server = serve((message, reply) => reply.write(message), { listeners });
 * using peer = await Peer.connect({ port: server.port });
 * await peer.request("hello");
 * assertEquals(listeners.map(({ count }) => count), [1]);
 * ```
 */
export interface Listener {
  /** The address that it listens on. */
  readonly addr: Addr;
  /** True if its connections can be reset. @default {false} */
  readonly resets?: boolean;
  /**
   * Waits for the next connection.
   *
   * @throws {Deno.errors.BadResource} once the listener is closed
   */
  accept(): Promise<ServerConn>;
  /** Stops accepting. */
  close(): void;
}

/** Closes a connection or listener. Ignores errors: it may be closed, or be a caller's and faulty. */
export function close(one: { close(): void }): void {
  try {
    one.close();
  } catch {
    // It is closed.
  }
}

/** A read has room for twice what the last one gave, and at least for this, in bytes: at rest it costs memory. */
const SMALLEST_READ = 1024;

/**
 * Returns a function that reads whatever comes; null at end-of-file.
 * @param first the room of the first read, in bytes
 * @param largest the largest room
 */
export function reader(conn: Conn, first: number, largest: number) {
  let room = first;
  return async () => {
    const buffer = new Uint8Array(room);
    const count = await conn.read(buffer);
    room = Math.min(Math.max(2 * (count ?? 0), SMALLEST_READ), largest);
    return count === null ? null : buffer.subarray(0, count);
  };
}

/** The wait before accepting again after an error, in ms. */
const RETRY_PAUSE = 10;

/** Serves the next connection of a listener, and meanwhile those after it, until it is closed. */
export async function acceptAll(listener: Listener, serve: (conn: ServerConn) => Promise<void>) {
  let conn;
  while ((conn = await listener.accept().catch((error) => error)) instanceof Error) {
    if (conn instanceof Deno.errors.BadResource) return;
    await sleep(RETRY_PAUSE); // it was the error of one connection, or it passes
  }
  await Promise.all([acceptAll(listener, serve), serve(conn)]);
}

/** Returns a listener that changes each connection that another accepts. */
export function wrapListener(
  inner: Listener,
  wrap: (conn: ServerConn) => ServerConn | Promise<ServerConn>,
): Listener {
  return {
    addr: inner.addr,
    resets: inner.resets ?? false,
    accept: async () => wrap(await inner.accept()),
    close: () => inner.close(),
  };
}

/** Passes everything on to another connection. */
export class WrappedConn implements ServerConn, Disposable {
  remoteAddr: Addr;
  readonly localAddr: Addr | undefined;
  isHealthCheck: boolean | undefined;
  declare handshake?: () => Promise<unknown>; // only if the other connection has one

  /** @param conn owned from here on */
  constructor(readonly conn: ServerConn) {
    this.remoteAddr = conn.remoteAddr;
    this.localAddr = conn.localAddr;
    this.isHealthCheck = conn.isHealthCheck;
    if (conn.handshake) this.handshake = () => Promise.resolve(conn.handshake?.());
  }

  setNoDelay(): void {
    this.conn.setNoDelay?.();
  }

  setKeepAlive(): void {
    this.conn.setKeepAlive?.();
  }

  read(into: Uint8Array): Promise<number | null> {
    return this.conn.read(into);
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.conn.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.conn.closeWrite();
  }

  close(): void {
    this.conn.close();
  }

  reset(): void {
    (this.conn.reset ?? this.conn.close).call(this.conn);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
