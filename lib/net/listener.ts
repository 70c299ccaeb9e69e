/** What a server accepts connections from, and what it gets. */

/**
 * A connection that was accepted.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type ServerConn, Peer, serve } from "@readback/readback";
 *
 * const seen: Deno.Addr[] = [];
 * const prepare = (conn: ServerConn) => {
 *   seen.push(conn.remoteAddr);
 *   return Promise.resolve(conn);
 * };
 * await using server = serve((message, reply) => reply.write(message), { onAccept: prepare });
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * await peer.request("hello");
 * assertEquals(seen.length, 1);
 * ```
 */
export interface ServerConn extends Pick<Deno.Conn, "read" | "write" | "closeWrite" | "close"> {
  /** Where it comes from. */
  readonly remoteAddr: Deno.Addr;
  /** Where it came to. */
  readonly localAddr?: Deno.Addr | undefined;
  /** It is a proxy's health check: see {@linkcode Client}. A server that drains refuses it. */
  readonly isHealthCheck?: boolean | undefined;
  /** Completes the TLS handshake; without TLS there is none. */
  handshake?(): Promise<unknown>;
  /** Turns Nagle's algorithm off: with it, a small reply waits until the one before is acknowledged. */
  setNoDelay?(): void;
  /** Closes it with a reset; only a listener that `resets` has such connections. */
  reset?(): void;
}

/**
 * What the server needs of a listener.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Listener, Peer, serve } from "@readback/readback";
 *
 * // Counts whom it accepts.
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
 * const listener = counting(Deno.listen({ hostname: "127.0.0.1", port: 0 }));
 * await using _server = serve((message, reply) => reply.write(message), { listeners: [listener] });
 * using peer = await Peer.connect({ port: (listener.addr as Deno.NetAddr).port });
 * await peer.request("hello");
 * assertEquals(listener.count, 1);
 * ```
 */
export interface Listener {
  /** Where it listens. */
  readonly addr: Deno.Addr;
  /** Its connections can be reset. @default {false} */
  readonly resets?: boolean;
  /** The next connection; rejects with `BadResource` once closed. */
  accept(): Promise<ServerConn>;
  /** Accepts no more. */
  close(): void;
}
