/** Connections alone, for measuring how long they take: each is closed again, and nothing is said. */

import { reason } from "../checks.ts";
import { type ConnectOptions, connectTimed } from "../net/address.ts";
import type { Said } from "./reply_matcher.ts";
import type { Link, LinkListener } from "./transport.ts";

/** A way to a server whose messages are connections. */
export class DialLink implements Link {
  connects = 0;
  readonly blockedSince = undefined;
  #isClosed = false;

  constructor(readonly listener: LinkListener, readonly options: ConnectOptions) {}

  say(said: Said): void {
    connectTimed(this.options).then(
      ({ conn, connect, handshake }) => {
        conn.close();
        if (this.#isClosed) return;
        this.connects++;
        this.listener.connected(said, connect, handshake);
      },
      (error) => {
        if (!this.#isClosed) this.listener.unreachable([said], reason(error));
      },
    );
  }

  settled(): void {}

  lost(): void {}

  drop(): void {}

  [Symbol.dispose](): void {
    this.#isClosed = true;
  }
}
