/** The client's side of a conversation: says a message, gets its reply, in order. */

import type { Conn } from "../net/listener.ts";
import { connect, type ConnectOptions } from "../net/address.ts";
import {
  checkOne,
  checkOptions,
  connectPortRule,
  framingRule,
  functionRule,
  type Rules,
  signalRule,
  textRule,
  timeRule,
  tlsRule,
} from "../checks.ts";
import { onAbort } from "../wait.ts";
import { type CustomFraming, findFrame, framed } from "../wire/custom_framing.ts";
import { concat, type Framing } from "../wire/framing.ts";
import { errorReplyReason, isErrorReply } from "../wire/error_reply.ts";
import { type Found, replyTo } from "../wire/replies.ts";
import { BufferedConn } from "../net/buffered_conn.ts";

/** A reply may be longer than its message by this much, in bytes. */
export const MOST_ADDED = 1 << 20;

const encoder = new TextEncoder();
const LF = 10;
const BY_LF = Uint8Array.of(LF);

/**
 * How to reach a server, and talk to it.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, type PeerOptions, serve } from "@readback/readback";
 *
 * await using server = serve((message, reply, client) => {
 *   client.write("news\n");
 *   reply.write(`re: ${message.text}`);
 * });
 * const matches: PeerOptions["matches"] = (message, reply) => reply.length === message.length + 4;
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port, matches });
 * assertEquals(new TextDecoder().decode(await peer.request("hello")), "re: hello");
 * assertEquals(new TextDecoder().decode(await peer.receive()), "news");
 * ```
 */
export interface PeerOptions extends ConnectOptions {
  /** How a message's end is told: by name, or by a framing of one's own. @default {"auto"} */
  framing?: Framing | CustomFraming | undefined;
  /** How long it may take to connect, and then each reply, in ms. @default {0} for ever */
  timeout?: number | undefined;
  /**
   * Whether what the server says is the reply to a message; what is none is for {@linkcode Peer.receive}.
   * By default what comes is taken in order, by whoever has asked first.
   */
  matches?: ((message: Uint8Array, reply: Uint8Array) => boolean) | undefined;
}

const RULES: Rules<PeerOptions> = {
  hostname: textRule,
  port: connectPortRule,
  path: textRule,
  framing: framingRule,
  timeout: timeRule,
  wait: timeRule,
  tls: tlsRule,
  signal: signalRule,
  matches: functionRule,
};

/** Somebody waits for what the server says. */
interface Awaited {
  /** What it is to be the reply to; undefined: to nothing. */
  readonly message: Uint8Array | undefined;
  words?: Uint8Array;
}

/**
 * The server at the other end. Its errors' messages are sentences.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, serve } from "@readback/readback";
 *
 * await using server = serve((message, reply) => reply.write(message));
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * await peer.request("hello");
 * assertEquals([peer.sent, peer.answered, peer.framing], [1, 1, "line"]);
 * ```
 */
export class Peer implements Disposable {
  /** Messages sent. */
  sent = 0;
  /** Messages that got their reply. */
  answered = 0;

  readonly #stream: BufferedConn;
  readonly #matches: PeerOptions["matches"];
  #framing: Framing | CustomFraming;
  #sending = Promise.resolve();
  #turn = Promise.resolve(); // settles once what was asked for before has come
  readonly #awaited: Awaited[] = [];
  #unasked: Uint8Array[] = []; // what nobody has asked for yet
  #unaskedBytes = 0;
  #letGo = () => {}; // of the signal

  /**
   * Talks on a connection.
   * @param conn owned from here on
   * @param timeout for each reply, in ms; 0 is for ever
   * @param matches as in {@linkcode PeerOptions}
   */
  constructor(
    conn: Conn,
    framing: Framing | CustomFraming,
    timeout: number,
    matches?: PeerOptions["matches"],
  ) {
    checkOptions<PeerOptions>({ framing, timeout, matches }, RULES);
    this.#stream = new BufferedConn(conn, timeout);
    this.#framing = framing;
    this.#matches = matches;
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
   * const replies = await Promise.all(["one", "two"].map((text) => peer.request(text)));
   * assertEquals(replies.map((reply) => new TextDecoder().decode(reply)), ["one", "two"]);
   * ```
   *
   * @throws {Error} whose message says why not
   */
  static async connect(options: PeerOptions = {}): Promise<Peer> {
    checkOptions<PeerOptions>(options, RULES);
    const { framing = "auto", timeout = 0, matches, signal } = options;
    const peer = new Peer(await connect(options), framing, timeout, matches);
    const stop = () => peer.close(new Error("the conversation was called off"));
    peer.#letGo = onAbort(signal, stop);
    return peer;
  }

  /** What the server speaks; `auto` until its first reply. */
  get framing(): Framing | CustomFraming {
    return this.#framing;
  }

  /**
   * Says a message and waits for its reply. The next may be said at once: they are
   * sent without waiting, unless the server speaks raw, or it is not known yet what it speaks.
   * @param message where lines are messages, without a line end
   * @return the reply, without its ending
   * @throws {ErrorReply} when the reply begins with `error: `; the next message may be said
   * @throws {Error} when none came in time, or the server went away
   */
  request(message: string | Uint8Array): Promise<Uint8Array> {
    const bytes = typeof message === "string" ? encoder.encode(message) : message.slice();
    return this.#next(this.#say(this.#await(bytes), bytes, this.#turn));
  }

  /**
   * Waits for what the server says by itself: a greeting, the next line of a reply of several
   * lines, what others said. Without `matches`, {@linkcode request} and this take what comes in the order of the calls.
   *
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Peer, serve } from "@readback/readback";
   *
   * await using server = serve((_message, reply) => reply.write("one\ntwo\n."), {
   *   onOpen: (client) => void client.write("welcome\n"),
   * });
   * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
   * const heard = [await peer.receive(), await peer.request("list"), await peer.receive(), await peer.receive()];
   * const texts = heard.map((words) => new TextDecoder().decode(words));
   * assertEquals(texts, ["welcome", "one", "two", "."]);
   * ```
   *
   * @param timeout how long it may take, in ms; 0 is for ever; by default, what a reply may take
   * @return a line without its ending, or a message by the framing; in raw framing, what has come
   * @throws {Error} when nothing came in time, or the server went away
   */
  receive(timeout: number = this.#stream.timeout): Promise<Uint8Array> {
    checkOne("timeout", timeout, timeRule);
    const words = this.#unasked.shift();
    if (words !== undefined) {
      this.#unaskedBytes -= words.length;
      return Promise.resolve(words);
    }
    const awaited = this.#await(undefined);
    if (this.#matches !== undefined) return this.#come(awaited, timeout);
    const turn = this.#turn;
    return this.#next(turn.then(() => this.#come(awaited, timeout)));
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

  async #say(awaited: Awaited, message: Uint8Array, before: Promise<void>): Promise<Uint8Array> {
    if (this.#framing === "auto" || this.#framing === "raw") await before;
    let framed;
    try {
      framed = frame(message, this.#framing);
    } catch (error) {
      this.#forget(awaited);
      throw error;
    }
    this.sent++;
    const sending = this.#sending.then(() => this.#stream.send(framed));
    this.#sending = sending.catch(() => {});
    await before;
    const reply = await this.#come(awaited, this.#stream.timeout, sending);
    if (isErrorReply(reply)) throw new ErrorReply(reply);
    this.answered++;
    return reply;
  }

  /** What is asked for next comes after this. */
  #next(words: Promise<Uint8Array>): Promise<Uint8Array> {
    this.#turn = words.then(() => {}, () => {});
    return words;
  }

  #await(message: Uint8Array | undefined): Awaited {
    const awaited = { message };
    this.#awaited.push(awaited);
    return awaited;
  }

  #forget(awaited: Awaited): void {
    this.#awaited.splice(this.#awaited.indexOf(awaited), 1);
  }

  /** Waits for somebody's words, for whom all that comes is sorted. */
  async #come(awaited: Awaited, timeout: number, sending?: Promise<void>): Promise<Uint8Array> {
    try {
      using _deadline = this.#stream.deadline(undefined, timeout);
      await sending;
      for (;;) {
        this.#sort();
        if (awaited.words !== undefined) return awaited.words;
        if (!await this.#stream.more()) throw this.#stream.over();
      }
    } finally {
      this.#forget(awaited);
    }
  }

  /** Gives what has come to those who wait for it, as long as somebody does. */
  #sort(): void {
    const waits = ({ words }: Awaited) => words === undefined;
    for (let first; (first = this.#awaited.find(waits)) !== undefined;) {
      // What a server speaks is seen by its reply to a message, should somebody wait for one.
      const says = ({ words, message }: Awaited) => words === undefined && message !== undefined;
      if (this.#matches !== undefined) first = this.#awaited.find(says) ?? first;
      const { message } = first;
      this.#stream.mostHeld = (message?.length ?? 0) + MOST_ADDED;
      const found = nextWords(this.#stream, message, this.#framing);
      if (found === null) return;
      this.#framing = found.framing;
      const words = found.reply.slice();
      this.#stream.drop(found.length);
      const taker = this.#matches === undefined ? first : this.#takerOf(words);
      if (taker !== undefined) taker.words = words;
      else this.#keep(words);
    }
  }

  /** Whose reply it is; a refusal is the oldest message's; what is nobody's is for one who hears. */
  #takerOf(words: Uint8Array): Awaited | undefined {
    const waiting = this.#awaited.filter(({ words }) => words === undefined);
    const says = waiting.filter(({ message }) => message !== undefined);
    return says.find(({ message }) => this.#matches?.(message as Uint8Array, words)) ??
      (isErrorReply(words) ? says[0] : undefined) ??
      waiting.find(({ message }) => message === undefined);
  }

  #keep(words: Uint8Array): void {
    this.#unasked.push(words);
    this.#unaskedBytes += words.length;
    if (this.#unaskedBytes <= MOST_ADDED) return;
    throw new Error(`the server said over ${MOST_ADDED} bytes that nobody has heard`);
  }
}

/**
 * A message as it is sent; until it is known what the server speaks, as a line.
 * @throws {Error} where it can't be said
 */
export function frame(message: Uint8Array, framing: Framing | CustomFraming): Uint8Array {
  if (typeof framing !== "string") {
    const [before, after] = framed(framing, message);
    return concat([before, message, after]);
  }
  if (framing === "raw") {
    if (message.length > 0) return message;
    throw new Error("a server that speaks raw can't be told an empty message");
  }
  if (!message.includes(LF)) return concat([message, BY_LF]);
  throw new Error(
    "a message with a line end would be two where lines are messages: say each line by itself",
  );
}

/**
 * Waits for what a server says before anything was said to it, and takes it from the stream.
 * @throws {Error} when it says nothing in time, or goes away
 */
export async function hearGreeting(stream: BufferedConn, framing: Framing): Promise<Uint8Array> {
  using _deadline = stream.deadline(undefined, stream.timeout, "no greeting");
  for (;;) {
    const found = nextWords(stream, undefined, framing);
    if (found !== null) {
      const words = found.reply.slice();
      stream.drop(found.length);
      return words;
    }
    if (!await stream.more()) throw stream.over();
  }
}

/** What the server says next, if all of it is here: the reply to a message, or words of its own. */
function nextWords(
  { held, mostHeld }: BufferedConn,
  message: Uint8Array | undefined,
  framing: Framing | CustomFraming,
): { reply: Uint8Array; length: number; framing: Framing | CustomFraming } | null {
  if (typeof framing !== "string") {
    const frame = held.length > 0 ? findFrame(framing, held, 0, false, mostHeld) : 0;
    if (typeof frame === "number" || held.length < frame.next) return null;
    return { reply: held.subarray(frame.start, frame.end), length: frame.next, framing };
  }
  if (message !== undefined) return replyTo(message, held, framing);
  if (framing !== "raw") {
    const line = replyTo(held, held, "line");
    return line && { ...line, framing };
  }
  return held.length > 0 ? { reply: held, length: held.length, framing } : null;
}

/**
 * Waits for the reply to a message that was sent, and takes it from the stream.
 * @throws {Error} when the server goes away
 */
export async function hearReply(
  stream: BufferedConn,
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
 * import { Peer, ErrorReply, serve } from "@readback/readback";
 *
 * await using server = serve((_, reply) => reply.write("error: not today"));
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * await assertRejects(() => peer.request("hello"), ErrorReply, "the server refused: not today");
 * ```
 */
export class ErrorReply extends Error {
  /**
   * Makes the error.
   * @param line what it said
   */
  constructor(line: Uint8Array) {
    super(`the server refused: ${errorReplyReason(line)}`);
  }
}
