/** The client's side of a conversation: sends messages, and receives replies in order. */

import { connect, type ConnectOptions } from "../net/connect.ts";
import { checkOne, checkOptions, CONNECTING, timeRule } from "../checks.ts";
import { type Deadline, pause } from "../wait.ts";
import type { CustomFraming, Framing } from "../wire/framing.ts";
import { bytesOf, type Message, MessageView } from "../wire/message.ts";
import { frame } from "../wire/replies.ts";
import { BufferedConn, MAX_ADDED } from "../net/buffered_conn.ts";
import { Closed } from "../net/errors.ts";
import type { Conn } from "../net/conn.ts";
import { type Call, Calls, REPLY_TIMEOUT } from "./calls.ts";

/**
 * Options of {@linkcode Peer.connect}.
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
 * using peer = await Peer.connect({ port: server.port, matches });
 * assertEquals((await peer.request("hello")).text, "re: hello");
 * assertEquals((await peer.receive()).text, "news");
 * ```
 */
export interface PeerOptions<Value = unknown> extends ConnectOptions {
  /** The way to find the end of a message: the name of a framing, or a custom framing. @default {"auto"} */
  framing?: Framing | CustomFraming<Value> | undefined;
  /**
   * Milliseconds to connect, and then for each reply, counted from the reply before; 0 is no limit.
   * A reply that takes longer closes the connection. @default {10000}
   */
  timeout?: number | undefined;
  /**
   * Returns whether a reply answers a message. Anything that answers no pending request is unsolicited,
   * and returned by {@linkcode Peer.receive}. By default, the calls of `request` and `receive`
   * take what the server sends in the order of the calls.
   */
  matches?: ((message: Uint8Array, reply: Uint8Array) => boolean) | undefined;
}

const TOO_MUCH = `over ${MAX_ADDED} unsolicited bytes were received without a call of receive()`;
const isReceive = ({ message }: { message: unknown }) => message === undefined;

/**
 * A connection to a server, for messages and replies. The messages of its errors are sentences.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, readback, serve } from "@readback/readback";
 *
 * await using server = serve(readback());
 * using peer = await Peer.connect({ port: server.port });
 * await peer.request("hello");
 * assertEquals([peer.sent, peer.answered, peer.framing], [1, 1, "line"]);
 * ```
 */
export class Peer<Value = unknown> implements Disposable {
  /** Messages sent. */
  sent = 0;
  /** Requests that were answered. */
  answered = 0;

  readonly #conn: BufferedConn;
  readonly #matches: PeerOptions["matches"];
  readonly #calls: Calls<Value>;
  #framing: Framing | CustomFraming<Value>;
  #received: Message<Value>[] = []; // while no call waited for them
  #receivedBytes = 0;
  #lastSent: Uint8Array | undefined; // by `send`, and nothing received since
  #writing = Promise.resolve();
  #isReading = false;
  #isHalfClosed = false;
  #deadline: Deadline | undefined; // of the oldest request, while one is pending

  /**
   * Exchanges messages on a connection.
   *
   * @param conn the connection, which the peer closes
   * @param options those that are not about connecting
   */
  constructor(conn: Conn | BufferedConn, options: PeerOptions<Value> = {}) {
    checkOptions(options, CONNECTING);
    const { framing = "auto", timeout = REPLY_TIMEOUT, matches, signal } = options;
    this.#conn = conn instanceof BufferedConn ? conn : new BufferedConn(conn, timeout);
    this.#framing = framing;
    this.#matches = matches;
    this.#calls = new Calls(signal, (error) => this.#conn.close(error));
    this.#calls.onChange = (isAnswer) => this.#updateDeadline(isAnswer);
  }

  /**
   * Connects to a server.
   *
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Peer, serve } from "@readback/readback";
   *
   * await using server = serve((message, reply) => reply.write(message));
   * using peer = await Peer.connect({ port: server.port, framing: "line", timeout: 1000 });
   * const replies = await Promise.all(["one", "two"].map((text) => peer.request(text)));
   * assertEquals(replies.map(({ text }) => text), ["one", "two"]);
   * ```
   *
   * @throws {ConnectError} if there is no connection
   */
  static async connect<Value = unknown>(options: PeerOptions<Value> = {}): Promise<Peer<Value>> {
    checkOptions(options, CONNECTING);
    const { timeout = REPLY_TIMEOUT } = options;
    return new Peer(await connect({ ...options, timeout }), options);
  }

  /** The server's framing; `auto` until a reply has shown it. */
  get framing(): Framing | CustomFraming<Value> {
    return this.#framing;
  }

  /**
   * Sends a message and waits for its reply. Several requests may be pending: with lines or a
   * custom framing, each message is sent at once. In raw framing, and before the first reply has
   * shown the framing, a message is sent after the reply before.
   *
   * @param message copied; with lines, it has no line end
   * @returns the reply without its ending
   * @throws {ErrorReply} if the reply begins with `error: `; the connection stays open
   * @throws {TimeoutError} if there was no reply in time; the connection is closed, since a late
   *   reply would be taken for the next
   * @throws {FramingError} if a custom framing finds no reply in the data; the connection is closed
   * @throws {Closed} if the connection was closed
   */
  request(message: string | Uint8Array | Message): Promise<Message<Value>> {
    const bytes = bytesOf(message);
    const call = this.#calls.add(bytes);
    this.#write(bytes, call).catch((error) => {
      this.#calls.settle(call, error);
      this.#advance(); // a call behind this one may take what was received
    });
    return call.promise;
  }

  /**
   * Sends a message. Anything that the server answers is returned by {@linkcode receive}.
   *
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Peer, serve } from "@readback/readback";
   *
   * await using server = serve((message, reply) => reply.write(message));
   * using peer = await Peer.connect({ port: server.port });
   * await peer.send("one");
   * assertEquals((await peer.receive()).text, "one");
   * ```
   *
   * @param message as in {@linkcode request}
   * @returns resolves once the message is written
   * @throws {TimeoutError} if the server does not read; the connection is closed
   * @throws {Closed} if the connection was closed
   */
  send(message: string | Uint8Array | Message): Promise<void> {
    return this.#write(bytesOf(message));
  }

  /**
   * Waits for data that the server sends unprompted: a greeting, the next line of a reply of
   * several lines, the answer to {@linkcode send}.
   *
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Peer, serve } from "@readback/readback";
   *
   * await using server = serve((_message, reply) => reply.write("one\ntwo\n."), {
   *   onOpen: (client) => void client.write("welcome\n"),
   * });
   * using peer = await Peer.connect({ port: server.port });
   * const messages = [
   *   ...[await peer.receive(), await peer.request("list")],
   *   ...[await peer.receive(), await peer.receive()],
   * ];
   * assertEquals(messages.map(({ text }) => text), ["welcome", "one", "two", "."]);
   * ```
   *
   * @param timeout milliseconds to wait; 0 is no limit
   * @returns a line without its ending, or a message by the custom framing; in raw framing, all
   *   that has been received
   * @throws {TimeoutError} if nothing was received in time; the connection stays open
   * @throws {Closed} if the connection was closed
   */
  receive(timeout = 0): Promise<Message<Value>> {
    checkOne("timeout", timeout, timeRule);
    const message = this.#received.shift();
    if (message !== undefined) {
      this.#receivedBytes -= message.length;
      return Promise.resolve(message);
    }
    const call = this.#calls.add();
    this.#advance();
    return this.#calls.inTime(call, timeout, "nothing was received");
  }

  /** Half-closes the connection, after the messages before: the server sees end-of-file. */
  async closeWrite(): Promise<void> {
    this.#isHalfClosed = true;
    await this.#writing;
    await this.#conn.closeWrite();
  }

  /** Closes the connection. Pending calls reject with {@linkcode Closed}. */
  close(): void {
    this.#received = [];
    this.#calls.fail(new Closed("the connection is closed"));
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Starts the time limit with the first pending request, and anew with each answer. */
  #updateDeadline(isAnswer: boolean): void {
    const { fail } = this.#calls;
    const isPending = this.#calls.find((call) => !isReceive(call)) !== undefined;
    if (isPending && this.#deadline) return isAnswer ? this.#deadline.restart() : undefined;
    this.#deadline?.[Symbol.dispose]();
    const isWaiting = () => this.#matches !== undefined || this.#calls.first?.message !== undefined;
    this.#deadline = isPending ? this.#conn.deadline(isWaiting, "no reply", fail) : undefined;
  }

  /** Writes a message after those before it; that of a request only when its reply can be recognized. */
  async #write(message: Uint8Array, request?: Call<Value>): Promise<void> {
    if (this.#isHalfClosed) throw new Closed("no message can be sent after closeWrite()");
    const { fail } = this.#calls;
    const writing = this.#writing.then(async () => {
      const takesTurns = this.#framing === "auto" || this.#framing === "raw";
      if (request && takesTurns) await this.#calls.findSent()?.promise.catch(() => {});
      if (this.#calls.failure !== undefined) throw this.#calls.failure;
      if (request?.isSettled) return;
      const bytes = frame(message, this.#framing);
      this.sent++;
      if (request) request.isSent = true;
      else this.#lastSent = message;
      this.#advance();
      const missing = "the server read nothing";
      using _deadline = request ? undefined : this.#conn.deadline(undefined, missing, fail);
      await this.#conn.send(bytes).catch(async (error) => {
        await pause(0); // what the server sent before it closed the connection explains more
        fail(error);
        throw this.#calls.failure;
      });
    });
    this.#writing = writing.catch(() => {});
    await writing;
  }

  /** Gives what was received to the calls that wait, and reads while one does. */
  async #advance(): Promise<void> {
    try {
      this.#dispatch();
      while (!this.#isReading && this.#calls.first !== undefined) {
        this.#isReading = true;
        const more = await this.#conn.more();
        this.#isReading = false;
        this.#dispatch();
        if (!more) this.#calls.rejectAll(this.#conn.endError());
      }
    } catch (error) {
      this.#calls.fail(error as Error);
    }
  }

  #dispatch(): void {
    for (let call; (call = this.#next) !== undefined;) {
      const message = call.message ?? this.#lastSent;
      const found = this.#conn.take({ message, framing: this.#framing });
      if (found === null) return;
      this.#framing = found.framing as Framing | CustomFraming<Value>;
      this.#lastSent = undefined;
      const reply = new MessageView<Value>(found.reply);
      reply.receivedAt = this.#conn.receivedAt;
      reply.value = found.value as Value;
      const taker = this.#matches === undefined
        ? call
        : this.#calls.answeredBy(found.reply, this.#matches) ?? this.#calls.find(isReceive);
      if (this.#calls.settle(taker, reply)) this.answered++;
      if (taker !== undefined) continue;
      if (this.#calls.failure !== undefined) return; // matches() threw an error
      this.#received.push(reply);
      this.#receivedBytes += reply.length;
      if (this.#receivedBytes > MAX_ADDED) throw new Error(TOO_MUCH);
    }
  }

  /** The call for which to look at what was received. A reply shows the server's framing, so requests are first. */
  get #next(): Call<Value> | undefined {
    const { first } = this.#calls;
    if (this.#matches === undefined) return first?.isSent ? first : undefined;
    return this.#calls.findSent() ?? this.#calls.find(isReceive);
  }
}
