/** Carries the messages of a measurement to a server, over one connection at a time. */

import type { Connected } from "../net/connect.ts";
import type { Probe } from "./reply_matcher.ts";

/** Carries messages. */
export interface Transport extends Disposable {
  /** Sends a message as soon as it may be sent. */
  send(probe: Probe): void;
  /** Messages were settled: others may now be sent. */
  settled?(): void;
  /**
   * Messages were given up, since no reply came in time.
   * @param timeout in ms
   */
  expired?(timeout: number): void;
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
   * The connection is lost.
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
