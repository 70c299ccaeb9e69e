/**
 * Carries the messages of a measurement to a server: as datagrams, or as attempts to connect.
 * `conn_transport.ts` carries them over connections.
 */

import { errorMessage } from "../checks.ts";
import { type Connected, connectTimed, type FamilyOptions } from "../net/connect.ts";
import type { DatagramSocket } from "../net/udp.ts";
import type { Probe } from "./reply_matcher.ts";

/** Carries messages. */
export interface Transport extends Disposable {
  /** Sends a message as soon as it may be sent; settles none meanwhile. */
  send(probe: Probe): void;
  /**
   * Messages were settled: others may now be sent.
   * @param timeout in ms, if they were given up because no reply came in time
   */
  settled?(timeout?: number): void;
}

/** Reports what a transport does. */
export interface TransportCallbacks {
  /** A connection was made that carries messages. */
  opened(): void;
  /** A message is being sent. */
  sent(probe: Probe): void;
  /**
   * The server sent this; a view that is valid during the call.
   * @returns settles once more may be read; undefined: at once
   */
  received(line: Uint8Array): Promise<void> | undefined;
  /** A connection was made, and closed again; connections are what is measured. */
  connected(probe: Probe, steps: Omit<Connected, "conn">): void;
  /**
   * The connection is lost. Its messages are then settled.
   * @param failure how, in a sentence; undefined where the transport gave up a healthy one
   * @param silence how long no byte had been transferred, in ms
   */
  disconnected(failure: string | undefined, silence: number): void;
  /** No connection could be made for a message. */
  unreachable(probe: Probe, failure: string): void;
  /** The server has taken no byte for so long that messages are held up. */
  blocked(): void;
  /** The measurement can't continue. */
  failed(failure: unknown): void;
}

/** Measures how long connecting takes: makes a connection for each message, and sends nothing. */
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

/**
 * Sends over UDP: each message is a datagram, and so is each reply.
 * @param socket closed with the transport
 */
export function datagrams(callbacks: TransportCallbacks, socket: DatagramSocket): Transport {
  socket.listen(callbacks);
  return {
    send(probe) {
      try {
        socket.send(probe.message);
        callbacks.sent(probe);
      } catch (error) {
        callbacks.failed(error);
      }
    },
    [Symbol.dispose]: () => socket[Symbol.dispose](),
  };
}
