/** The client's side, in datagrams: a message is one, so is its reply, and any may be lost. */

import {
  checkOptions,
  connectPortRule,
  errorMessage,
  framingNameRule,
  functionRule,
  type Rules,
  signalRule,
  textRule,
  timeRule,
} from "../checks.ts";
import { onAbort } from "../wait.ts";
import { concat, endingOf, type Framing } from "../wire/framing.ts";
import { isErrorReply } from "../wire/error_reply.ts";
import { checkLength, DatagramSocket } from "../net/datagram_socket.ts";
import { ErrorReply } from "./peer.ts";
import { isReplyTo } from "../wire/replies.ts";

/**
 * How to reach a server of datagrams.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, type DatagramPeerOptions, serveDatagrams } from "@readback/readback";
 *
 * await using server = await serveDatagrams((message, reply) => reply.write(`${message.text}!`));
 * const options: DatagramPeerOptions = {
 *   port: server.addr.port,
 *   timeout: 1000,
 *   matches: (message, reply) => reply.length === message.length + 1,
 * };
 * using peer = await DatagramPeer.connect(options);
 * assertEquals(new TextDecoder().decode(await peer.request("hello")), "hello!");
 * ```
 */
export interface DatagramPeerOptions {
  /** Its address or name; of a name's addresses the first, IPv4 before IPv6. @default {"127.0.0.1"} */
  hostname?: string | undefined;
  /** Its port. @default {6969} */
  port?: number | undefined;
  /** With `line` each message is sent with LF; with `raw` what ends a reply's line is data. @default {"auto"} */
  framing?: Framing | undefined;
  /** How long a reply is waited for, in ms; 0: for ever. @default {10000} */
  timeout?: number | undefined;
  /** Calls the conversation off: whoever waits gets an error. */
  signal?: AbortSignal | undefined;
  /** Whether a datagram is the reply to a message. By default: begins with it, in brackets. */
  matches?: ((message: Uint8Array, reply: Uint8Array) => boolean) | undefined;
}

/**
 * No reply came in time: it, or the message, may be lost.
 *
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { DatagramPeer, TimeoutError, serveDatagrams } from "@readback/readback";
 *
 * await using server = await serveDatagrams(() => {}); // hears, and says nothing
 * using peer = await DatagramPeer.connect({ port: server.addr.port, timeout: 50 });
 * await assertRejects(() => peer.request("hello"), TimeoutError, "no reply within 0.05s");
 * ```
 */
export class TimeoutError extends Error {
  /**
   * Makes the error.
   * @param timeout how long it was waited for, in ms
   */
  constructor(timeout: number) {
    super(`no reply within ${timeout / 1000}s`);
  }
}

interface Waiting {
  readonly message: Uint8Array;
  resolve(reply: Uint8Array): void;
  reject(error: unknown): void;
}

const RULES: Rules<DatagramPeerOptions> = {
  hostname: textRule,
  port: connectPortRule,
  framing: framingNameRule,
  timeout: timeRule,
  signal: signalRule,
  matches: functionRule,
};
const LF = new Uint8Array([10]);
const encoder = new TextEncoder();

/**
 * The server at the other end. Its errors' messages are sentences.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, readback, serveDatagrams } from "@readback/readback";
 *
 * await using server = await serveDatagrams(readback());
 * using peer = await DatagramPeer.connect({ port: server.addr.port, timeout: 1000 });
 * await Promise.all([peer.request("one"), peer.request("two")]);
 * assertEquals([peer.sent, peer.answered], [2, 2]);
 * ```
 */
export class DatagramPeer implements Disposable {
  /** Messages sent. */
  sent = 0;
  /** Messages that got their reply in time. */
  answered = 0;

  readonly #waiting = new Set<Waiting>();
  readonly #gone = Promise.withResolvers<never>();
  readonly #socket: DatagramSocket;
  #failure: Error | undefined;

  private constructor(
    socket: DatagramSocket,
    /** How to talk to it. */
    readonly options: DatagramPeerOptions,
  ) {
    this.#socket = socket;
    socket.listen({
      heard: (datagram) => this.#hear(datagram),
      failed: (error) => this.close(error),
    });
    const stop = () => this.close(new Error("the conversation was called off"));
    const letGo = onAbort(options.signal, stop);
    this.#gone.promise.catch(letGo); // and so whoever waits hears of it, or nobody does
  }

  /**
   * Makes a socket for a server. That nobody is there can't be told: nobody replies then.
   * @throws {Error} whose message says why not
   */
  static async connect(options: DatagramPeerOptions = {}): Promise<DatagramPeer> {
    checkOptions<DatagramPeerOptions>(options, RULES);
    const { hostname = "127.0.0.1", port = 6969 } = options;
    return new DatagramPeer(await DatagramSocket.connect(hostname, port), options);
  }

  /**
   * Says a message and waits for its reply. Others may be said meanwhile.
   * @return the reply, without its ending
   * @throws {TimeoutError} when none came in time; the next message may be said
   * @throws {Error} when the message fits no datagram, or the server refused one
   */
  async request(message: string | Uint8Array): Promise<Uint8Array> {
    const { framing = "auto", timeout = 10_000 } = this.options;
    const bytes = typeof message === "string" ? encoder.encode(message) : message.slice();
    const datagram = framing === "line" ? concat([bytes, LF]) : bytes;
    checkLength(datagram, bytes);
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const waiting = { message: bytes, resolve, reject };
    const late = timeout > 0
      ? setTimeout(() => reject(new TimeoutError(timeout)), timeout)
      : undefined;
    this.#waiting.add(waiting);
    this.sent++;
    this.#socket.send(datagram);
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      this.#waiting.delete(waiting);
    }
  }

  /** Rejects when the conversation fails, and never resolves. */
  gone(): Promise<never> {
    return this.#gone.promise;
  }

  /** Ends the conversation; whoever waits gets `failure`. */
  close(failure: Error = new Error("the conversation is over")): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.#socket[Symbol.dispose]();
    for (const { reject } of this.#waiting) reject(failure);
    this.#gone.reject(failure);
  }

  /** Ends the conversation. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Finds whose reply it is. One that is late, or came twice, is nobody's. */
  #hear(datagram: Uint8Array): void {
    const { framing = "auto", matches = isReplyTo } = this.options;
    const reply = datagram.subarray(0, datagram.length - endingOf(datagram, framing).length);
    let waiting;
    try {
      waiting = this.#waiting.values().find(({ message }) => matches(message, reply));
    } catch (error) { // it is somebody else's function, and nobody here could catch that
      return this.close(
        new Error(`cannot tell whose reply it is: ${errorMessage(error)}`, { cause: error }),
      );
    }
    if (waiting !== undefined) {
      this.#waiting.delete(waiting);
      this.answered++;
      waiting.resolve(reply);
    } else if (isErrorReply(reply) && this.#waiting.size > 0) this.close(new ErrorReply(reply));
  }
}
