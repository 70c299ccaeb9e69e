/** A server that does what a test says: what no good server does. */

import { acceptAll, close, type Conn, type ServerConn } from "../net/conn.ts";
import { text } from "./wire.ts";

/** Serves one connection. An error that it throws ends that connection and nothing else. */
export type ConnHandler = (conn: Pick<Conn, "read" | "write">) => Promise<void>;

/** Options of {@linkcode FakeServer.start}. */
export interface FakeServerOptions {
  /**
   * Leaves a connection open when its handler is done.
   * @default {false}
   */
  readonly keepOpen?: boolean;
  /**
   * The port, on 127.0.0.1. 0 takes a free one.
   * @default {0}
   */
  readonly port?: number;
}

/**
 * A server that calls a test's function for each connection, then closes it. It listens until the
 * end of its block. Needs `--allow-net`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { FakeServer, Wire } from "@readback/readback/testing";
 *
 * await using server = FakeServer.start(async (conn) => {
 *   await conn.read(new Uint8Array(100));
 *   await conn.write(new TextEncoder().encode("half a rep"));
 * });
 * using wire = await Wire.dial(server.port);
 * await wire.send("hello\n");
 * assertEquals(await wire.rest(), "half a rep");
 * assertEquals(server.received, "hello\n");
 * ```
 */
export class FakeServer implements AsyncDisposable {
  /** Everything that was read from clients, a character for each byte. */
  received = "";
  /** The port that it listens on. */
  readonly port: number;
  readonly #listener;
  readonly #conns = new Set<ServerConn>();
  readonly #done: Promise<void>;

  private constructor(readonly handler: ConnHandler, readonly keepOpen: boolean, port: number) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.port = this.#listener.addr.port;
    this.#done = acceptAll(this.#listener, (conn) => this.#serve(conn));
  }

  /**
   * Starts a server, which accepts connections at once.
   *
   * @param handler serves each connection
   */
  static start(handler: ConnHandler, options: FakeServerOptions = {}): FakeServer {
    return new FakeServer(handler, options.keepOpen ?? false, options.port ?? 0);
  }

  /** Stops listening and closes all connections. */
  async close(): Promise<void> {
    this.#listener[Symbol.dispose]();
    this.#conns.forEach(close);
    await this.#done;
  }

  /** Closes it. */
  readonly [Symbol.asyncDispose]: () => Promise<void> = this.close;

  async #serve(conn: ServerConn): Promise<void> {
    this.#conns.add(conn);
    const read = async (into: Uint8Array) => {
      const count = await conn.read(into);
      this.received += text(into.subarray(0, count ?? 0));
      return count;
    };
    await this.handler({ read, write: (bytes) => conn.write(bytes) }).catch(() => {});
    if (!this.keepOpen) close(conn);
  }
}
