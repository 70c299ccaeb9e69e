/** Datagrams whose replies are measured: each message is one, and so is each reply. */

import { checkLength, type DatagramSocket } from "../net/udp.ts";
import { concat, endingOf, type Framing } from "../wire/framing.ts";
import type { Transport, TransportCallbacks } from "./transport.ts";

const LF = Uint8Array.of(10);

/**
 * A transport over UDP.
 * @param socket closed with the transport
 */
export function datagrams(
  callbacks: TransportCallbacks,
  socket: DatagramSocket,
  framing: Framing,
): Transport {
  socket.listen({
    received(datagram) {
      const { length } = endingOf(datagram, framing);
      void callbacks.received(datagram.subarray(0, datagram.length - length));
    },
    failed: (error) => callbacks.failed(error),
  });
  return {
    send(probe) {
      const { message } = probe;
      const datagram = framing === "line" ? concat([message, LF]) : message;
      try {
        checkLength(datagram, message);
      } catch (error) {
        return callbacks.failed(error);
      }
      callbacks.sent(probe);
      socket.send(datagram);
    },
    [Symbol.dispose]: () => socket[Symbol.dispose](),
  };
}
