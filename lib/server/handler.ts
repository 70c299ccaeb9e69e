/** Functions of the user: their types, and how they are called so that their errors are reported. */

import { errorMessage } from "../checks.ts";
import { Log } from "../log.ts";
import type { Addr } from "../net/address.ts";
import { close } from "../net/conn.ts";
import { type Message, utf8 } from "../wire/message.ts";
import { escape } from "../wire/quote.ts";
import type { Reply } from "./reply.ts";

/**
 * The other end of a conversation, as handlers and callbacks see it.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { serve } from "@readback/readback";
 * import { Wire } from "@readback/readback/testing";
 *
 * await using server = serve((_message, reply, client) => {
 *   reply.write("bye");
 *   client.end();
 * }, { onOpen: (client) => void client.write("hello\n") });
 * using wire = await Wire.dial(server.port);
 * await wire.send("anything\n");
 * assertEquals(await wire.rest(), "hello\nbye\n");
 * ```
 */
export interface Client<State = unknown> {
  /** The client's address. */
  readonly addr: Addr;
  /** The server's address that the client connected to; undefined if the connection has none. */
  readonly localAddr: Addr | undefined;
  /** The number of messages received from the client, with the current one; over UDP, from all clients. */
  readonly messages: number;
  /** Milliseconds since bytes last passed in either direction, by the system's clock; over UDP, 0. */
  readonly idle: number;
  /** True for a proxy's health check, which is answered like a client, but not worth reporting. */
  readonly isHealthCheck: boolean;
  /** The result of `onOpen`; undefined before that has settled. */
  readonly state: State;
  /**
   * Aborts when the conversation ends; over UDP, when the message is done. A reset ends it at once.
   * A close looks like a half-close, after which replies are still sent, so it does not.
   */
  readonly signal: AbortSignal;
  /**
   * Sends data that answers no message: a greeting, or another client's message. Never splits a reply.
   *
   * @returns false, and nothing is sent, while 64 KiB of earlier calls are unsent, or once the
   *   conversation ends
   */
  write(part: string | Uint8Array): boolean;
  /**
   * Waits until the data of all calls of {@linkcode Client.write} is sent or dropped.
   *
   * @returns true if more may be written: the conversation goes on
   */
  drained(): Promise<boolean>;
  /** Ends the conversation, once the replies that are due and the written data are sent. */
  end(): void;
}

/**
 * Answers a message. The message and the reply are valid until the handler returns or, if it is
 * async, until its promise settles. Replies are sent in the order of their messages, whichever is
 * done first.
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
 * using peer = await Peer.connect({ port: server.port });
 * await peer.request("2");
 * assertEquals((await peer.request("3")).text, "5");
 * ```
 */
export type Handler<State = unknown, Value = unknown> = (
  message: Message<Value>,
  reply: Reply,
  client: Client<State>,
) => void | Promise<void>;

/**
 * How a conversation ended.
 *
 * - `left`: the client disconnected
 * - `reset`: the connection was lost
 * - `message too long`, `framing error`: the client sent bytes that can't be a message
 * - `idle`: the client was silent for `idleTimeout`
 * - `failed`: the handler failed
 * - `stopped`: the server stopped
 * - `cut`: the server stopped, and the client did not disconnect within `grace`
 * - `done`: the server ended it
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Ending, Peer, serve } from "@readback/readback";
 *
 * const endings: Ending[] = [];
 * const server = serve((message, reply) => reply.write(message), {
 *   onClose: (_client, ending) => void endings.push(ending),
 * });
 * const peer = await Peer.connect({ port: server.port });
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
  | "framing error"
  | "idle"
  | "failed"
  | "stopped"
  | "cut"
  | "done";

/** Calls the callbacks of a server, and reports their errors and its own. */
export class Callbacks<At extends Addr = Addr> {
  #isTroubled = false;

  /** @param options without an `onError`, errors are printed */
  constructor(
    readonly options: {
      onListen?: ((addr: At) => void) | undefined;
      onRefused?: ((addr: At, reason: string) => void) | undefined;
      onError?: ((error: Error) => void) | undefined;
    },
  ) {}

  /** Reports an error in a sentence. Never throws: errors of `onError` are dropped. */
  report(sentence: string, cause?: unknown): void {
    const error = new Error(sentence, { cause });
    safely(() => (this.options.onError ?? printError).call(this.options, error), () => {});
  }

  /** Reports why the network fails; once, until it is null: the network works again. */
  trouble(sentence: string | null, cause?: unknown): void {
    if (sentence !== null && !this.#isTroubled) this.report(sentence, cause);
    this.#isTroubled = sentence !== null;
  }

  /** Reports that a handler or a callback failed. */
  failed = (error: unknown): void => this.report(`cannot answer: ${errorMessage(error)}`, error);

  /** Calls a callback, whose errors are reported. */
  call = (callback: () => unknown): void => safely(callback, this.failed);

  /** Calls `onRefused` with the reason, a thrown value. */
  refused(addr: At, why: unknown): void {
    this.call(() => this.options.onRefused?.(addr, errorMessage(why)));
  }

  /** Calls `onListen` with each address. If it throws, closes what was opened. */
  announce(addrs: readonly At[], opened: readonly { close(): void }[]): void {
    try {
      for (const addr of addrs) catchRejection(this.options.onListen?.(addr), this.failed);
    } catch (error) {
      opened.forEach(close);
      throw error;
    }
  }
}

/**
 * Calls a function.
 * @param failed called with the error that it throws, or with which it rejects
 */
function safely(call: () => unknown, failed: (error: unknown) => void): void {
  void (async () => await call())().catch(failed);
}

/** Reports the rejection of a callback's result, which may be a promise even if none is expected. */
export function catchRejection(result: unknown, failed: (error: unknown) => void): void {
  if (result !== undefined) safely(() => result, failed);
}

/** Never delays the server; drops what can't be written to standard error. */
const printed = new Log(
  { write: (bytes) => Deno.stderr.write(bytes).catch(() => bytes.length) },
  (lines) => `(${lines} errors were dropped)`,
);

/** Prints an error's message, and the places that the stack of its cause names. */
function printError({ message, cause }: Error): void {
  let places = "";
  try {
    if (cause instanceof Error) places = cause.stack?.match(/\n +at .*/g)?.join("") ?? "";
  } catch {
    // The stack is a getter that throws.
  }
  printed.line(escape(utf8(message)) + places);
}
