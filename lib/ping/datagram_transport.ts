/** A way to a server over datagrams, for measuring. */

import { concat, endingOf, type Framing } from "../wire/framing.ts";
import { checkLength, type DatagramSocket } from "../net/datagram_socket.ts";
import type { Probe } from "./reply_matcher.ts";
import type { Transport, TransportCallbacks } from "./transport.ts";

const LF = Uint8Array.of(10);

/** A way to a server over datagrams: a message is one, so is what stands for a line. */
export class DatagramTransport implements Transport {
  readonly connects = 0;
  readonly blockedSince = undefined;

  constructor(
    readonly listener: TransportCallbacks,
    readonly socket: DatagramSocket,
    readonly framing: Framing,
  ) {
    socket.listen({
      heard: (datagram) => {
        const { length } = endingOf(datagram, framing);
        void listener.heard(datagram.subarray(0, datagram.length - length));
      },
      failed: (error) => listener.failed(error),
    });
  }

  say(said: Probe): void {
    const { message } = said;
    const datagram = this.framing === "line" ? concat([message, LF]) : message;
    try {
      checkLength(datagram, message);
    } catch (error) {
      return this.listener.failed(error);
    }
    said.isSent = true;
    this.socket.send(datagram);
  }

  settled(): void {}

  lost(): void {}

  drop(): void {}

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }
}
