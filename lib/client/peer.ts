/** The client's side of a conversation: says a message, gets its reply, in order. */

import { connect, type Connection, type ConnectOptions } from "../net/address.ts";
import {
  aFramingsName,
  aServersPort,
  aSignal,
  aText,
  aTime,
  aTrust,
  checkOptions,
  type Rules,
} from "../checks.ts";
import { onAbort } from "../wait.ts";
import { type Framing, join } from "../wire/framing.ts";
import { isRefusal, refusalReason } from "../wire/refusal.ts";
import { type Found, replyTo } from "./replies.ts";
import { Stream } from "./stream.ts";

/** A reply may be longer than its message by this much, in bytes. */
export const MOST_ADDED = 1 << 20;

const encoder = new TextEncoder();
const LF = new Uint8Array([10]);

/** How to reach a server, and talk to it. */
export interface PeerOptions extends ConnectOptions {
  /** How a message's end is told. @default {"auto"} */
  framing?: Framing | undefined;
  /** How long it may take to connect, and then each reply, in ms. @default {0} for ever */
  timeout?: number | undefined;
}

const RULES: Rules<PeerOptions> = {
  hostname: aText,
  port: aServersPort,
  path: aText,
  framing: aFramingsName,
  timeout: aTime,
  wait: aTime,
  tls: aTrust,
  signal: aSignal,
};

/**
 * The server at the other end: one that says a line for each message, and nothing else, for
 * whatever comes is taken for the next reply. Its errors' messages are sentences.
 */
export class Peer implements Disposable {
  /** Messages sent. */
  sent = 0;
  /** Messages that got their reply. */
  answered = 0;

  readonly #stream: Stream;
  #framing: Framing;
  #sending = Promise.resolve();
  #hearing = Promise.resolve(); // the reply before the next one
  #letGo = () => {}; // of the signal

  /**
   * Talks on a connection.
   * @param conn owned from here on
   * @param timeout for each reply, in ms; 0 is for ever
   */
  constructor(conn: Connection, framing: Framing, timeout: number) {
    this.#stream = new Stream(conn, timeout);
    this.#framing = framing;
  }

  /**
   * Connects to a server.
   *
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Peer, serve } from "@readback/readback";
   *
   * await using server = serve((message, reply) => reply.write(message));
   * const { port } = server.addr as Deno.NetAddr;
   * using peer = await Peer.connect({ port, framing: "line", timeout: 1000 });
   * const replies = await Promise.all(["one", "two"].map((text) => peer.say(text)));
   * assertEquals(replies.map((reply) => new TextDecoder().decode(reply)), ["one", "two"]);
   * ```
   *
   * @throws {Error} whose message says why not
   */
  static async connect(options: PeerOptions = {}): Promise<Peer> {
    checkOptions<PeerOptions>(options, RULES);
    const conn = await connect(options);
    const peer = new Peer(conn, options.framing ?? "auto", options.timeout ?? 0);
    const stop = () => peer.close(new Error("the conversation was called off"));
    peer.#letGo = onAbort(options.signal, stop);
    return peer;
  }

  /** What the server speaks; `auto` until its first reply. */
  get framing(): Framing {
    return this.#framing;
  }

  /**
   * Says a message and waits for its reply. The next may be said at once: they are
   * sent without waiting where the server is known to speak lines.
   * @return the reply, without its ending
   * @throws {Refused} when the reply begins with `error: `; the next message may be said
   * @throws {Error} when none came in time, or the server went away
   */
  say(message: string | Uint8Array): Promise<Uint8Array> {
    const bytes = typeof message === "string" ? encoder.encode(message) : message.slice();
    const reply = this.#say(bytes, this.#hearing);
    this.#hearing = reply.then(() => {}, () => {});
    return reply;
  }

  async #say(message: Uint8Array, before: Promise<void>): Promise<Uint8Array> {
    if (this.#framing !== "line") await before;
    const framed = frame(message, this.#framing);
    this.sent++;
    const sending = this.#sending.then(() => this.#stream.send(framed));
    this.#sending = sending.catch(() => {});
    await before;
    using _deadline = this.#stream.deadline();
    await sending;
    const { reply, framing } = await hearReply(this.#stream, message, this.#framing);
    this.#framing = framing;
    if (isRefusal(reply)) throw new Refused(reply);
    this.answered++;
    return reply;
  }

  /** Rejects when the server goes away, and never resolves. */
  gone(): Promise<never> {
    return this.#stream.gone();
  }

  /** Ends the conversation; whoever waits gets `failure`. */
  close(failure?: Error): void {
    this.#letGo();
    this.#stream.close(failure);
  }

  /** Ends the conversation. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * A message as it is sent; until it is known what the server speaks, as a line.
 * @throws {Error} where it can't be said
 */
export function frame(message: Uint8Array, framing: Framing): Uint8Array {
  if (framing !== "raw") return join([message, LF]);
  if (message.length > 0) return message;
  throw new Error("a server that speaks raw can't be told an empty message");
}

/**
 * Waits for the reply to a message that was sent, and takes it from the stream.
 * @throws {Error} when the server goes away
 */
export async function hearReply(
  stream: Stream,
  message: Uint8Array,
  framing: Framing,
): Promise<Found> {
  stream.mostHeld = message.length + MOST_ADDED;
  for (;;) {
    const found = replyTo(message, stream.held, framing);
    if (found !== null) {
      const reply = found.reply.slice();
      stream.drop(found.length);
      return { ...found, reply };
    }
    if (!await stream.more()) throw stream.over();
  }
}

/**
 * The server would not have a message, and said why.
 *
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { Peer, Refused, serve } from "@readback/readback";
 *
 * await using server = serve((_, reply) => reply.write("error: not today"));
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * await assertRejects(() => peer.say("hello"), Refused, "the server refused: not today");
 * ```
 */
export class Refused extends Error {
  /**
   * Makes the error.
   * @param line what it said
   */
  constructor(line: Uint8Array) {
    super(`the server refused: ${refusalReason(line)}`);
  }
}
