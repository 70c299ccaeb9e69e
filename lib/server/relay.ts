/** A relay: connects each client to a server, and passes on what either of them sends. */

import { checkOptions, CONNECTING, mustBe } from "../checks.ts";
import type { RelayedConnection } from "../faults/relayed_connection.ts";
import { addressOrName, cutPort } from "../net/address.ts";
import { ConnectError } from "../net/errors.ts";
import { Callbacks } from "./handler.ts";
import { Server } from "./serve.ts";
import type { RelayOptions, RelayTarget } from "./serve_options.ts";

/**
 * Relays connections to a server until {@linkcode Server.shutdown} or `signal`. Half-closes pass, and
 * resets too, from listeners that {@linkcode listen} opened with `resets`. A stop ends connections
 * at rest, and gives those that wait for the server as long as `grace`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, relay, serve } from "@readback/readback";
 *
 * await using server = serve((message, reply) => reply.write(message));
 * await using slow = relay({ port: server.port }, { faults: "delay=50ms,up:slice=1" });
 * using peer = await Peer.connect({ port: slow.port, framing: "line" });
 * assertEquals((await peer.request("hello")).text, "hello");
 * ```
 *
 * @param target the server, which need not run yet
 * @throws {TypeError | RangeError} that names an option that is wrong
 * @throws {Error} if it can't listen
 */
export function relay<State = void>(
  target: RelayTarget,
  options: RelayOptions<State> = {},
): Server<State> {
  const { hostname, port, path } = target; // of whatever has them, such as a server
  checkOptions({ hostname, port, path }, CONNECTING);
  if ((port === undefined) === (path === undefined)) {
    throw new TypeError("a relay needs the port or the path of its server: give one of them");
  }
  const callbacks = new Callbacks(options);
  const own: RelayOptions<State> = {
    ...options,
    async onOpen(client) {
      try {
        await (client as RelayedConnection<State>).connect(target);
        callbacks.trouble(null);
      } catch (error) {
        if (error instanceof ConnectError) {
          callbacks.refused(client.addr, error);
          callbacks.trouble(error.message, error);
        }
        throw error;
      }
      return await options.onOpen?.(client) as State;
    },
    onError({ message, cause }) {
      if (cause instanceof ConnectError || cause instanceof DOMException) return; // is reported
      callbacks.report(message, cause);
    },
  };
  return new Server(() => {}, own, path === undefined ? "tcp" : "unix");
}

/** Reads a target as a command line has it: `HOST:PORT`, or a path, which has a `/`. */
export function readTarget(text: string): RelayTarget {
  if (text.includes("/") && !text.includes("://")) return { path: text };
  const [host = "", port = ""] = cutPort(text);
  const number = /^\d{1,5}$/.test(port) ? Number(port) : 0;
  if (number >= 1 && number <= 65535) return { hostname: addressOrName(host), port: number };
  return mustBe("HOST:PORT, such as 127.0.0.1:6379, or the path of a Unix socket");
}
