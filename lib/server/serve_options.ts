/** The options of servers. */

import type { Faults } from "../faults/faults.ts";
import type { Addr, NetAddr } from "../net/address.ts";
import type { Listener, ServerConn } from "../net/conn.ts";
import type { CustomFraming, Framing } from "../wire/framing.ts";
import type { Message } from "../wire/message.ts";
import type { Client, Ending } from "./handler.ts";

/**
 * The options that {@linkcode ServeOptions} and {@linkcode DatagramOptions} share. An option that is
 * undefined counts as not given. Errors of callbacks are reported to `onError`, and the server goes on.
 *
 * ```ts
 * import { readback, serve, serveDatagrams, type ServerOptions } from "@readback/readback";
 *
 * const common: Pick<ServerOptions, "maxMessage" | "grace"> = { maxMessage: 100, grace: 1000 };
 * await using _server = serve(readback(), { ...common, maxClients: 10 });
 * await using _datagrams = await serveDatagrams(readback(), common);
 * ```
 */
export interface ServerOptions<State = void, Value = unknown, At extends Addr = Addr> {
  /** The address or name to listen on. @default {"127.0.0.1"} */
  hostname?: string | undefined;
  /** The port to listen on; 0 chooses a free one. @default {0} */
  port?: number | undefined;
  /** The longest allowed message, in bytes. @default {65536} */
  maxMessage?: number | undefined;
  /** Milliseconds that an async handler may take; after that, it has failed. 0 disables. @default {0} */
  handlerTimeout?: number | undefined;
  /** Serve one conversation, and one message of it. @default {false} */
  once?: boolean | undefined;
  /** Milliseconds that a stopping server waits for conversations to end. @default {5000} */
  grace?: number | undefined;
  /**
   * Faults to inject, separated by commas, as `--fault` takes them. A reset needs listeners that
   * {@linkcode listen} opened with `resets`. @default {none}
   */
  faults?: string | Faults | undefined;
  /** Let messages request faults: `!delay=2s hello`. @default {false} */
  orders?: boolean | undefined;
  /** The seed of random faults: equal seeds make equal choices. By default, one is drawn. */
  seed?: number | undefined;
  /** Stops the server when aborted. */
  signal?: AbortSignal | undefined;
  /** Decides if a client may connect, or if a datagram is answered, before anything else. */
  verify?: ((addr: At) => boolean | Promise<boolean>) | undefined;
  /** Called for each address on which the server listens. Errors are thrown by the call that serves. */
  onListen?: ((addr: At) => void) | undefined;
  /**
   * Called if a client is not served. Either `verify` returned false or failed, or the client, its
   * handshake or its proxy's header failed or took too long.
   */
  onRefused?: ((addr: At, reason: string) => void) | undefined;
  /** Called with each message before its handler. The message is valid during the call. */
  onMessage?: ((message: Message<Value>, client: Client<State>) => void) | undefined;
  /**
   * Called if a handler or a callback failed, or if the network prevents serving. The message is a
   * sentence, and `cause` the thrown error. By default, errors are printed on standard error.
   */
  onError?: ((error: Error) => void) | undefined;
}

/**
 * The options of {@linkcode serve}.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, serve, type ServeOptions } from "@readback/readback";
 *
 * const modest: ServeOptions = { maxClients: 10, maxMessage: 100, idleTimeout: 60_000, ending: "\r\n" };
 * await using server = serve((message, reply) => reply.write(message), modest);
 * using peer = await Peer.connect({ port: server.port });
 * assertEquals((await peer.request("hello")).text, "hello");
 * ```
 */
export interface ServeOptions<State = void, Value = unknown>
  extends ServerOptions<State, Value, Addr> {
  /** Open listeners, closed when the server stops. By default, the server opens one. */
  listeners?: readonly Listener[] | undefined;
  /** The path of a Unix socket to listen on, instead of an address. */
  path?: string | undefined;
  /** The certificate for TLS, in PEM form. */
  cert?: string | undefined;
  /** The private key for TLS, in PEM form. */
  key?: string | undefined;
  /** The way to find the end of a message. @default {"auto"} */
  framing?: Framing | CustomFraming<Value> | undefined;
  /**
   * The text after each reply, such as CRLF; in raw framing there is none. By default, a reply ends
   * as its message did.
   */
  ending?: string | undefined;
  /** The number of messages of one conversation that async handlers may handle at once. @default {1} */
  concurrency?: number | undefined;
  /** The number of conversations at a time; further clients wait in the listen queue. @default {1000} */
  maxClients?: number | undefined;
  /**
   * Milliseconds without a whole message received, or a reply byte sent, before the client is
   * disconnected. A client also has as long, but at most 10 s, to begin a conversation. 0 disables.
   * @default {0}
   */
  idleTimeout?: number | undefined;
  /**
   * Milliseconds for which a stopping server goes on, but refuses health checks, so that proxies
   * choose another server. @default {0}
   */
  drain?: number | undefined;
  /**
   * Called with each accepted connection. Returns the connection to serve, as
   * {@linkcode proxyProtocol} does with the real client's address, or null to close it silently.
   */
  onAccept?: ((conn: ServerConn) => Promise<ServerConn | null>) | undefined;
  /**
   * Called when a conversation begins; returns its state, and may greet the client. Nothing is read
   * before an async one has settled, for which it has 10 s, or `idleTimeout` if that is less. One
   * that takes longer, or fails, ends the conversation.
   */
  onOpen?: ((client: Client<State>) => State | Promise<State>) | undefined;
  /** Called when `auto` has chosen a framing, with the reason in words. */
  onFraming?: ((framing: Framing, why: string, client: Client<State>) => void) | undefined;
  /** Called when a client has half-closed: no more will be received from it. */
  onEof?: ((client: Client<State>) => void) | undefined;
  /**
   * Called for each injected fault, as requested, with the number of its message, if it has one, and
   * the milliseconds of a delay. A refused client has no state.
   */
  onFault?:
    | ((
      fault: string,
      client: Pick<Client<State | undefined>, "addr" | "isHealthCheck" | "state">,
      message?: number,
      value?: number,
    ) => void)
    | undefined;
  /** Called when a conversation is over. */
  onClose?: ((client: Client<State>, ending: Ending) => void) | undefined;
  /** Called if a connection was reset before it was accepted, if the system reports that. */
  onVanished?: (() => void) | undefined;
}

/**
 * The options of {@linkcode relay}: those of {@linkcode serve} that need no messages. So there are no
 * `concurrency`, `drain`, `ending`, `framing`, `handlerTimeout`, `maxMessage`, `once`, `onFraming`,
 * `onMessage` and `orders`.
 *
 * ```ts
 * import { relay, type RelayOptions } from "@readback/readback";
 *
 * const options: RelayOptions = { faults: "rate=10k,up:delay=50ms", maxClients: 10, grace: 0 };
 * await using _network = relay({ port: 6379 }, options);
 * ```
 */
export type RelayOptions<State = void> = Omit<ServeOptions<State>, MessageOption>;

/**
 * The options that need messages.
 *
 * @internal
 */
export type MessageOption =
  | ("concurrency" | "drain" | "ending" | "framing" | "handlerTimeout")
  | ("maxMessage" | "once" | "onFraming" | "onMessage" | "orders");

/**
 * The server that a relay connects its clients to.
 *
 * ```ts
 * import { relay, type RelayTarget } from "@readback/readback";
 *
 * const database: RelayTarget = { path: "/run/postgresql/.s.PGSQL.5432" };
 * await using _network = relay(database);
 * ```
 */
export interface RelayTarget {
  /** The address or name. @default {"127.0.0.1"} */
  hostname?: string | undefined;
  /** The port. */
  port?: number | undefined;
  /** The path of a Unix socket, instead. */
  path?: string | undefined;
}

/**
 * The options of {@linkcode serveDatagrams}.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, type DatagramOptions, serveDatagrams } from "@readback/readback";
 *
 * const local: DatagramOptions = { verify: ({ hostname }) => hostname === "127.0.0.1" };
 * await using server = await serveDatagrams((message, reply) => reply.write(message), local);
 * const matches = () => true;
 * using peer = await DatagramPeer.connect({ port: server.port, timeout: 1000, matches });
 * assertEquals((await peer.request("hello")).text, "hello");
 * ```
 */
export interface DatagramOptions extends ServerOptions<void, unknown, NetAddr> {
  /** With `raw`, a line ending at the end of a datagram is data. @default {"auto"} */
  framing?: Framing | undefined;
  /**
   * Decides if a message gets no reply. A service's own replies should get none: senders can be
   * forged, and two servers that answer each other's replies never stop.
   */
  ignore?: ((message: Message) => boolean) | undefined;
  /** Called for each injected fault, as requested, with its message's number and a delay's milliseconds. */
  onFault?:
    | ((fault: string, client: Client<void>, message: number, value?: number) => void)
    | undefined;
}
