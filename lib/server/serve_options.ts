/** What a server of conversations is told: its options, and what it needs of listeners and connections. */

import type { Addr } from "../net/addr.ts";
import {
  booleanRule,
  checkOne,
  checkOptions,
  countRule,
  framingRule,
  functionRule,
  portRule,
  type Rule,
  type Rules,
  seedRule,
  signalRule,
  textRule,
  timeRule,
} from "../checks.ts";
import type { Listener, ServerConn } from "../net/listener.ts";
import type { CustomFraming } from "../wire/custom_framing.ts";
import type { Framing } from "../wire/framing.ts";
import type { Message } from "../wire/message.ts";
import type { Client, Ending, Handler } from "./handler.ts";

/**
 * How to serve. One that is undefined is not given; what the functions throw, or reject with, is
 * told to `onError`, and the server goes on.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, serve, type ServeOptions } from "@readback/readback";
 *
 * const modest: ServeOptions = { maxClients: 10, maxMessage: 100, idleTimeout: 60_000, ending: "\r\n" };
 * await using server = serve((message, reply) => reply.write(message), modest);
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * assertEquals(new TextDecoder().decode(await peer.request("hello")), "hello");
 * ```
 */
export interface ServeOptions<State = void> {
  /** Listeners that are open; owned from here on: closed when the server stops. Without: one is opened. */
  listeners?: readonly Listener[] | undefined;
  /** The address to listen on; of a name the first one. @default {"127.0.0.1"} */
  hostname?: string | undefined;
  /** The port to listen on; 0 takes a free one. @default {0} */
  port?: number | undefined;
  /** A Unix socket to listen on instead. */
  path?: string | undefined;
  /** TLS: the certificate, PEM. */
  cert?: string | undefined;
  /** TLS: its key, PEM. */
  key?: string | undefined;
  /** How a message's end is told: by name, or by a framing of one's own. @default {"auto"} */
  framing?: Framing | CustomFraming | undefined;
  /**
   * What ends each reply, where the protocol says so, such as CRLF; in raw framing nothing does.
   * By default a reply ends as its message did.
   */
  ending?: string | undefined;
  /** The longest message, in bytes. @default {65536} */
  maxMessage?: number | undefined;
  /** How many messages of one conversation may be handled at once, where handlers are async. @default {1} */
  concurrency?: number | undefined;
  /** End a conversation of which an async handler takes longer than this, in ms, as one that failed; 0: never. @default {0} */
  handlerTimeout?: number | undefined;
  /** Serve one conversation, and of it one message. @default {false} */
  once?: boolean | undefined;
  /** Conversations at a time; the next ones wait in the listen queue. @default {1000} */
  maxClients?: number | undefined;
  /** Cut a conversation after this time without a whole message, or a byte of a reply that was taken, in ms, and a client that takes as long to begin one; 0: never. @default {0} */
  idleTimeout?: number | undefined;
  /** How long a stopping server lets conversations finish, in ms. @default {5000} */
  grace?: number | undefined;
  /** How long a stopping server first goes on as before, but refuses health checks, so that proxies send nobody more, in ms. @default {0} */
  drain?: number | undefined;
  /**
   * What to do wrong: faults with commas between, as `--fault` has them. A reset needs listeners that
   * {@linkcode listen} opens with `resets`. @default {none}
   */
  faults?: string | undefined;
  /** Let messages ask for faults of their own: `!delay=2s hello`. @default {false} */
  orders?: boolean | undefined;
  /** For faults that are chosen at random: the same seed makes the same choices. Without it, one is drawn. */
  seed?: number | undefined;
  /** Stops the server when aborted. */
  signal?: AbortSignal | undefined;
  /** Called with each connection before its conversation. Gives the one to serve, as {@linkcode proxyProtocol} does with its client's own address; null: close it without a word. */
  onAccept?: ((conn: ServerConn) => Promise<ServerConn | null>) | undefined;
  /** Whether a client is let in; asked before anything is heard of it. */
  verify?: ((addr: Addr) => boolean | Promise<boolean>) | undefined;
  /**
   * A conversation begins: gives its state, may greet the client, which is not heard before an
   * async one has settled. That may take 10 s, or `idleTimeout` where that is less; one that takes
   * longer, or fails, ends it unheard.
   */
  onOpen?: ((client: Client<State>) => State | Promise<State>) | undefined;
  /** A whole message came, and is handled next; it holds during the call. */
  onMessage?: ((message: Message, client: Client<State>) => void) | undefined;
  /** A client has said that no more will come from it. */
  onEof?: ((client: Client<State>) => void) | undefined;
  /**
   * A fault happens: as it was asked for, to whom, and to which message, if to one. A client that is
   * refused has no state.
   */
  onFault?:
    | ((
      fault: string,
      client: Pick<Client<State | undefined>, "addr" | "isHealthCheck" | "state">,
      message?: number,
    ) => void)
    | undefined;
  /** A conversation is over. */
  onClose?: ((client: Client<State>, ending: Ending) => void) | undefined;
  /** The server accepts connections there; said of each listener. What it throws, {@linkcode serve} does. */
  onListen?: ((addr: Addr) => void) | undefined;
  /** A client was not let in: `verify` said so, or it failed, or took too long, before the conversation. */
  onRefused?: ((addr: Addr, reason: string) => void) | undefined;
  /** A connection was reset before it was accepted, where the system tells; it does not tell whose. */
  onVanished?: (() => void) | undefined;
  /**
   * A handler failed, or no connection can be accepted for now. Its message is a sentence; what was
   * thrown is its `cause`. What this throws is dropped. By default it is printed to standard error.
   */
  onError?: ((error: Error) => void) | undefined;
}

const listeners: Rule = {
  right: "a list of one listener or more, each with addr, accept and close",
  type: "object",
  fits: (list: unknown) => Array.isArray(list) && list.length > 0 && list.every(isListener),
};

function isListener(one: Partial<Listener> | null | undefined): boolean {
  return typeof one?.addr === "object" && one.addr !== null && typeof one.accept === "function" &&
    typeof one.close === "function";
}

const RULES: Rules<ServeOptions> = {
  listeners,
  hostname: textRule,
  port: portRule,
  path: textRule,
  cert: textRule,
  key: textRule,
  framing: framingRule,
  ending: textRule,
  maxMessage: countRule,
  concurrency: countRule,
  once: booleanRule,
  handlerTimeout: timeRule,
  maxClients: countRule,
  idleTimeout: timeRule,
  grace: timeRule,
  drain: timeRule,
  faults: textRule,
  orders: booleanRule,
  seed: seedRule,
  signal: signalRule,
  onAccept: functionRule,
  verify: functionRule,
  onOpen: functionRule,
  onMessage: functionRule,
  onEof: functionRule,
  onFault: functionRule,
  onClose: functionRule,
  onListen: functionRule,
  onRefused: functionRule,
  onVanished: functionRule,
  onError: functionRule,
};

/**
 * Checks what {@linkcode serve} was given, before anything is opened.
 * @throws {TypeError | RangeError} which names the first that is wrong
 */
export function checkService<State>(handler: Handler<State>, options: ServeOptions<State>): void {
  checkOne("handler", handler, functionRule);
  checkOptions<ServeOptions<State>>(options, RULES);
  if ((options.cert === undefined) !== (options.key === undefined)) {
    throw new TypeError("cert and key go together: one is missing");
  }
}
