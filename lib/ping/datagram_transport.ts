/** A way to a server over datagrams, for measuring. */

import { endingOf, type Framing, join } from "../wire/framing.ts";
import { checkLength, type DatagramSocket } from "../net/datagram_socket.ts";
import type { Said } from "./reply_matcher.ts";
import type { Link, LinkListener } from "./transport.ts";

const LF = Uint8Array.of(10);

/** A way to a server over datagrams: a message is one, so is what stands for a line. */
export class DatagramLink implements Link {
  readonly connects = 0;
  readonly blockedSince = undefined;

  constructor(
    readonly listener: LinkListener,
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

  say(said: Said): void {
    const { message } = said;
    const datagram = this.framing === "line" ? join([message, LF]) : message;
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
