/** The client's side of a conversation over UDP: a datagram is a message or a reply, and any may be lost. */

import { checkOptions, CONNECTING } from "../checks.ts";
import { CR, endingOf, type Framing } from "../wire/framing.ts";
import { bytesOf, type Message, MessageView } from "../wire/message.ts";
import { ENDS_WITH_CR, isReplyTo } from "../wire/replies.ts";
import { DatagramSocket } from "../net/udp.ts";
import { Closed } from "../net/errors.ts";
import { Calls, REPLY_TIMEOUT } from "./calls.ts";

/**
 * Options of {@linkcode DatagramPeer.connect}.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, type DatagramPeerOptions, serveDatagrams } from "@readback/readback";
 *
 * await using server = await serveDatagrams((message, reply) => reply.write(`${message.text}!`));
 * const options: DatagramPeerOptions = {
 *   port: server.port,
 *   timeout: 1000,
 *   matches: (message, reply) => reply.length === message.length + 1,
 * };
 * using peer = await DatagramPeer.connect(options);
 * assertEquals((await peer.request("hello")).text, "hello!");
 * ```
 */
export interface DatagramPeerOptions {
  /** The server's address or name; of a name's addresses, the first, IPv4 before IPv6. @default {"127.0.0.1"} */
  hostname?: string | undefined;
  /** The server's port. @default {6969} */
  port?: number | undefined;
  /**
   * With `line`, each message is sent with LF. With `raw`, a line ending at the end of a reply is
   * part of it. @default {"auto"}
   */
  framing?: Framing | undefined;
  /** Milliseconds to wait for a reply; 0 is no limit. @default {10000} */
  timeout?: number | undefined;
  /** Closes the peer when aborted. */
  signal?: AbortSignal | undefined;
  /** Returns whether a reply answers a message. By default, a reply begins with its message in brackets. */
  matches?: ((message: Uint8Array, reply: Uint8Array) => boolean) | undefined;
}

/**
 * A server that is reached over UDP. The messages of its errors are sentences.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, readback, serveDatagrams } from "@readback/readback";
 *
 * await using server = await serveDatagrams(readback());
 * using peer = await DatagramPeer.connect({ port: server.port, timeout: 1000 });
 * await Promise.all([peer.request("one"), peer.request("two")]);
 * assertEquals([peer.sent, peer.answered], [2, 2]);
 * ```
 */
export class DatagramPeer implements Disposable {
  /** Messages sent. */
  sent = 0;
  /** Messages that were answered in time. */
  answered = 0;

  readonly #calls: Calls<unknown>;
  readonly #socket: DatagramSocket;

  private constructor(
    socket: DatagramSocket,
    /** The options that were given. */
    readonly options: DatagramPeerOptions,
  ) {
    this.#socket = socket;
    this.#calls = new Calls(options.signal, () => socket[Symbol.dispose]());
    socket.listen({
      received: (datagram) => this.#receive(datagram),
      refused: (error) => this.#calls.rejectAll(error),
      failed: this.#calls.fail,
    });
  }

  /**
   * Opens a socket for a server. Nothing is sent yet, so a server that does not exist is not
   * noticed here.
   *
   * @throws {ConnectError} if the name is unknown, or there is no permission
   */
  static async connect(options: DatagramPeerOptions = {}): Promise<DatagramPeer> {
    checkOptions(options, CONNECTING);
    const { hostname = "127.0.0.1", port = 6969, framing } = options;
    return new DatagramPeer(await DatagramSocket.connect(hostname, port, framing), options);
  }

  /**
   * Sends a message and waits for its reply. Several requests may be pending.
   *
   * @param message copied; except in raw framing, a line ending at its end is not part of it
   * @returns the reply without its ending
   * @throws {TimeoutError} if there was no reply in time; the peer stays open
   * @throws {ErrorReply} if an error reply came; it settles the oldest request
   * @throws {ConnectError} if the system reports that no program receives at the port. Node does
   *   so, and Deno 2.9 does not: there, the request times out
   * @throws {Error} if the message is too long for a datagram, or could not be sent
   * @throws {Closed} if the peer was closed
   */
  async request(message: string | Uint8Array | Message): Promise<Message> {
    const { framing, timeout = REPLY_TIMEOUT } = this.options;
    const bytes = bytesOf(message);
    if (framing === "line" && bytes.at(-1) === CR) throw new Error(ENDS_WITH_CR);
    if (this.#calls.failure !== undefined) throw this.#calls.failure;
    this.#socket.send(bytes);
    this.sent++;
    return await this.#calls.inTime(this.#calls.add(bytes, true), timeout, "no reply");
  }

  /** Closes the socket. Pending requests reject with {@linkcode Closed}. */
  close(): void {
    this.#calls.fail(new Closed("the socket is closed"));
  }

  /** Closes the socket. */
  readonly [Symbol.dispose]: () => void = this.close;

  /** Settles the request that a datagram answers. A late or duplicate reply is ignored. */
  #receive(bytes: Uint8Array): void {
    const { framing = "auto" } = this.options;
    // The server, too, takes a line ending at the end of a message for its ending.
    const content = (message: Uint8Array) =>
      message.subarray(0, message.length - endingOf(message, framing).length);
    const { matches = (message, reply) => isReplyTo(content(message), reply) } = this.options;
    const reply = new MessageView(bytes);
    reply.receivedAt = Date.now();
    if (this.#calls.settle(this.#calls.answeredBy(bytes, matches), reply)) this.answered++;
  }
}
