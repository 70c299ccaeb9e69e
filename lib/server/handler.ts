/** What a service is made of: a handler, who it talks with, and how that ends. */

import type { Addr } from "../net/addr.ts";
import type { Message } from "../wire/message.ts";
import type { Reply } from "./reply.ts";

/**
 * The other end of a conversation, as handlers see it.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { listen, serve } from "@readback/readback";
 *
 * const listeners = await listen({ hostname: "127.0.0.1", port: 0 });
 * await using server = serve((_message, reply, client) => {
 *   reply.write("bye");
 *   client.end();
 * }, { listeners, onOpen: (client) => void client.write("hello\n") });
 * using conn = await Deno.connect({ port: (server.addr as Deno.NetAddr).port });
 * await conn.write(new TextEncoder().encode("anything\n"));
 * assertEquals(await new Response(conn.readable).text(), "hello\nbye\n");
 * ```
 */
export interface Client<State = unknown> {
  /** Its address. */
  readonly addr: Addr;
  /** The server's own address, where the client reached it; undefined if the connection does not tell. */
  readonly localAddr: Addr | undefined;
  /** How many messages it has said, the one that is handled counted; over UDP, how many all have. */
  readonly messages: number;
  /** How long no byte has passed either way, in ms, by the clock on the wall; over UDP 0. */
  readonly idle: number;
  /** It is a proxy's health check: answered like any client, but not worth telling anybody. */
  readonly isHealthCheck: boolean;
  /** What `onOpen` gave for this conversation; undefined before it has. */
  readonly state: State;
  /**
   * Aborts when the conversation ends, for what a handler awaits; over UDP, when the message's
   * time is over. A client that closes its connection can't be told from one that only says no
   * more, so that it is a reset that ends a conversation at once.
   */
  readonly signal: AbortSignal;
  /**
   * Sends it something that is no reply: a greeting, or what others said. Never splits a reply.
   * @return false, and nothing is sent, while 64 KiB of earlier writes have not been taken, or once the conversation ends
   */
  write(part: string | Uint8Array): boolean;
  /**
   * Waits until what was written has been taken, by the network or by nobody any more.
   * @return whether more may be written: the conversation goes on
   */
  drained(): Promise<boolean>;
  /** Ends the conversation, once the replies that are due and what was written have been sent. */
  end(): void;
}

/**
 * Answers a message. The message and the reply are valid until the handler returns or, where it
 * is async, its promise settles; `message.copy()` may be kept. What is written to a reply after that
 * throws, or ends up in the reply to a later message of the same read. Replies are sent in the order of their messages, whichever is done first.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Handler, Peer, serve } from "@readback/readback";
 *
 * const add: Handler<{ sum: number }> = (message, reply, { state }) => {
 *   state.sum += Number(message.text);
 *   reply.write(String(state.sum));
 * };
 * await using server = serve(add, { onOpen: () => ({ sum: 0 }) });
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * await peer.request("2");
 * assertEquals(new TextDecoder().decode(await peer.request("3")), "5");
 * ```
 */
export type Handler<State = unknown> = (
  message: Message,
  reply: Reply,
  client: Client<State>,
) => void | Promise<void>;

/**
 * How a conversation ended: the client `left` or vanished (`reset`), sent a message
 * `message too long`, was `idle`; the handler `failed`; the server was `stopped`, and if the
 * client did not leave, `cut`; the server had said all: `done`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Ending, Peer, serve } from "@readback/readback";
 *
 * const endings: Ending[] = [];
 * const server = serve((message, reply) => reply.write(message), {
 *   onClose: (_client, ending) => void endings.push(ending),
 * });
 * const peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * await peer.request("hello");
 * peer.close();
 * await server.shutdown();
 * assertEquals(endings, ["left"]);
 * ```
 */
export type Ending =
  | "left"
  | "reset"
  | "message too long"
  | "idle"
  | "failed"
  | "stopped"
  | "cut"
  | "done";
