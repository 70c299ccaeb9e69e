/** Connections alone, for measuring how long they take: each is closed again, and nothing is said. */

import { errorMessage } from "../checks.ts";
import { type ConnectOptions, connectTimed } from "../net/address.ts";
import type { Probe } from "./reply_matcher.ts";
import type { Transport, TransportCallbacks } from "./transport.ts";

/** A way to a server whose messages are connections. */
export class ConnectTransport implements Transport {
  connects = 0;
  readonly blockedSince = undefined;
  #isClosed = false;

  constructor(readonly listener: TransportCallbacks, readonly options: ConnectOptions) {}

  say(said: Probe): void {
    connectTimed(this.options).then(
      ({ conn, connect, handshake }) => {
        conn.close();
        if (this.#isClosed) return;
        this.connects++;
        this.listener.connected(said, connect, handshake);
      },
      (error) => {
        if (!this.#isClosed) this.listener.unreachable([said], errorMessage(error));
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
