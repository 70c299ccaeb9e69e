/** A server of a test's own, that behaves as no good server does. */

import type { Conn } from "../net/listener.ts";
import { text } from "./wire.ts";

/** What a server does with a connection. What it throws ends the connection, and nothing else. */
export type Talk = (conn: Pick<Conn, "read" | "write">) => Promise<void>;

/** How a server of a test's own is started. */
export interface FakeServerOptions {
  /**
   * Leaves connections open when all is done with them.
   * @default {false}
   */
  readonly keepOpen?: boolean;
  /** Where to listen, on 127.0.0.1. Without, on a free port. */
  readonly port?: number;
}

/**
 * A server that does with each connection what a test says, then closes it. It listens until the
 * end of the block that it is used in. It takes `--allow-net`.
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
 * assertEquals(server.heard, "hello\n");
 * ```
 */
export class FakeServer implements AsyncDisposable {
  /** All that was read from clients, a character a byte. */
  heard = "";
  readonly #listener;
  readonly #conns = new Set<Deno.Conn>();
  readonly #over: Promise<void>;

  private constructor(readonly talk: Talk, readonly keepOpen: boolean, port: number) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.#over = this.#serve();
  }

  /**
   * Starts one; it accepts from here on.
   * @param talk what is done with each connection
   */
  static start(talk: Talk, options: FakeServerOptions = {}): FakeServer {
    return new FakeServer(talk, options.keepOpen ?? false, options.port ?? 0);
  }

  /** Where it listens. */
  get port(): number {
    return this.#listener.addr.port;
  }

  /** Closes all connections, and listens no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#conns) conn[Symbol.dispose]();
    await this.#over;
  }

  async #serve(): Promise<void> {
    const conversations = [];
    for (;;) {
      const conn = await this.#listener.accept().catch(() => null);
      if (conn === null) break;
      this.#conns.add(conn);
      conversations.push(this.#host(conn));
    }
    await Promise.all(conversations);
  }

  async #host(conn: Deno.Conn): Promise<void> {
    const read = async (into: Uint8Array) => {
      const count = await conn.read(into);
      this.heard += text(into.subarray(0, count ?? 0));
      return count;
    };
    await this.talk({ read, write: (bytes) => conn.write(bytes) }).catch(() => {});
    if (!this.keepOpen) conn[Symbol.dispose]();
  }
}
