/** Errors of conversations, distinguished by class. */

/**
 * A connection was closed, by either end. The message is a sentence that says how.
 *
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { Closed, Peer, serve } from "@readback/readback";
 *
 * await using server = serve((_message, _reply, client) => client.end());
 * using peer = await Peer.connect({ port: server.port });
 * await assertRejects(() => peer.request("hello"), Closed, "the server has closed the connection");
 * ```
 */
export class Closed extends Error {
  /** The name of the class. */
  override readonly name = "Closed";
}

/**
 * Something did not happen in time. The message is a sentence that says what.
 *
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { DatagramPeer, serveDatagrams, TimeoutError } from "@readback/readback";
 *
 * await using server = await serveDatagrams(() => {}); // receives, and sends nothing
 * using peer = await DatagramPeer.connect({ port: server.port, timeout: 50 });
 * await assertRejects(() => peer.request("hello"), TimeoutError, "no reply within 0.05s");
 * ```
 */
export class TimeoutError extends Error {
  /** The name of the class. */
  override readonly name = "TimeoutError";

  /**
   * Makes the error.
   *
   * @param missing what did not happen, such as `no reply`
   * @param timeout the time limit, in milliseconds
   */
  constructor(missing: string, readonly timeout: number) {
    super(`${missing} within ${timeout / 1000}s`);
  }
}
