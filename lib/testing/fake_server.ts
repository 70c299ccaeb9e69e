/** A server of a test's own, that behaves as no good server does. */

import { text } from "./wire.ts";

type Behaviour = (conn: Pick<Deno.Conn, "read" | "write">) => Promise<void>;

/** Accepts connections, behaves, and closes them. */
export class FakeServer implements AsyncDisposable {
  /** All that clients said. */
  heard = "";
  readonly #listener;
  readonly #conns = new Set<Deno.Conn>();
  readonly #over: Promise<void>;

  private constructor(readonly behave: Behaviour, readonly keepOpen: boolean, port: number) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.#over = this.#serve();
  }

  /**
   * @param behave what is done with each connection
   * @param how.keepOpen does not close a connection after that
   * @param how.port where to listen; without, a free one
   */
  static start(behave: Behaviour, how: { keepOpen?: boolean; port?: number } = {}): FakeServer {
    return new FakeServer(behave, how.keepOpen ?? false, how.port ?? 0);
  }

  /** Where it listens. */
  get port(): number {
    return this.#listener.addr.port;
  }

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
    await this.behave({ read, write: (bytes) => conn.write(bytes) }).catch(() => {});
    if (!this.keepOpen) conn[Symbol.dispose]();
  }
}
