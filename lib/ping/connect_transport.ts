/** Connections whose making is measured: each is closed again, and nothing is sent. */

import { errorMessage } from "../checks.ts";
import { connectTimed, type FamilyOptions } from "../net/connect.ts";
import type { Transport, TransportCallbacks } from "./transport.ts";

/** A transport that makes a connection for each message. */
export function connectAttempts(callbacks: TransportCallbacks, options: FamilyOptions): Transport {
  let isClosed = false;
  return {
    async send(probe) {
      callbacks.sent(probe);
      try {
        const { conn, ...steps } = await connectTimed(options);
        conn.close();
        if (!isClosed) callbacks.connected(probe, steps);
      } catch (error) {
        if (!isClosed) callbacks.unreachable(probe, errorMessage(error));
      }
    },
    [Symbol.dispose]: () => void (isClosed = true),
  };
}
