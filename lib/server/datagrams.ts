/** A server of datagrams: each is a message, and its reply is another. */

import type { Socket } from "node:dgram";
import { checkOptions } from "../checks.ts";
import type { ConnectionFaults } from "../faults/faults.ts";
import { applyReplyFaults, drawDelay, Faults, find } from "../faults/faults.ts";
import type { Fault, FaultSupport } from "../faults/grammar.ts";
import type { NetAddr } from "../net/address.ts";
import { close } from "../net/conn.ts";
import { openAll } from "../net/listen.ts";
import { addrOf, bind, GROUP, MAX_DATAGRAM, send } from "../net/udp.ts";
import { inTime, onAbort, sleep, timeLimit, untilQuiet } from "../wait.ts";
import { concat, endingOf } from "../wire/framing.ts";
import { bytesOf, errorReply, isErrorReply, MessageTooLong, MessageView } from "../wire/message.ts";
import { ADMISSION_LIMIT, tooSlow } from "./accept.ts";
import { LAST_MESSAGES_LIMIT } from "./conversation.ts";
import { Callbacks, catchRejection, type Client, type Handler } from "./handler.ts";
import { handlerTooSlow } from "./outbox.ts";
import { ReplyBuffer } from "./reply.ts";
import type { DatagramOptions } from "./serve_options.ts";

/** The most messages in progress, and the most pushes; further ones are dropped, as UDP may. */
const MAX_IN_PROGRESS = 256;
/** A stopping server has received the last message after so many milliseconds without one. */
const LAST_LOOK = 20;

/** Aborts the signals that are accessed after their message was handled. */
const HANDLED = new AbortController();

const SUPPORT: FaultSupport = { transport: "udp", resets: false };

/**
 * Serves datagrams until {@linkcode DatagramServer.shutdown}, or until `signal` is aborted.
 *
 * A datagram gets no reply if it begins with `error: ` (another server's error reply), or if it comes
 * from the server's own address. On `0.0.0.0` or `::`, every sender with the server's port counts as
 * that. Senders can be forged, and the server would send to itself for ever.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, serveDatagrams } from "@readback/readback";
 *
 * await using server = await serveDatagrams((message, reply) => reply.write(`got ${message.text}`));
 * const matches = () => true;
 * using peer = await DatagramPeer.connect({ port: server.port, timeout: 1000, matches });
 * assertEquals((await peer.request("hello")).text, "got hello");
 * ```
 *
 * @throws {TypeError | RangeError} if an option is wrong
 * @throws {Error} if the server can't listen
 */
export async function serveDatagrams(
  handler: Handler<void>,
  options: DatagramOptions = {},
): Promise<DatagramServer> {
  checkOptions(options);
  Faults.from(options, SUPPORT); // throws before anything is opened
  const open = (address: string, port: number) => {
    if (!GROUP.test(address)) return bind(address, port);
    throw new Error("that is the address of a group: use an address of this machine");
  };
  const sockets = await openAll(options, open, (socket) => socket.address().port);
  return new DatagramServer(handler, options, sockets, options.hostname);
}

/**
 * A running server of datagrams.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, readback, serveDatagrams } from "@readback/readback";
 *
 * const server = await serveDatagrams(readback());
 * using peer = await DatagramPeer.connect({ port: server.port, timeout: 1000 });
 * await peer.request("hello");
 * await server.shutdown();
 * assertEquals([server.messages, server.bytes], [1, 5]);
 * ```
 */
export class DatagramServer implements AsyncDisposable {
  readonly #closed = Promise.withResolvers<void>();
  /** Resolves when the server has stopped and answered what it had received. */
  readonly finished: Promise<void> = this.#closed.promise;
  /** The addresses on which the server listens. */
  readonly addrs: readonly NetAddr[];
  /** The address on which the server listens; the first of several. */
  readonly addr: NetAddr;
  /** The port on which the server listens. */
  readonly port: number;
  /** The IP address on which the server listens; the first of several. */
  readonly hostname: string;
  /** The number of messages received. */
  messages = 0;
  /** The number of bytes received. */
  bytes = 0;

  readonly #handler: Handler<void>;
  readonly #options: DatagramOptions;
  readonly #sockets: readonly Socket[];
  readonly #callbacks: Callbacks<NetAddr>;
  readonly #faults: ConnectionFaults | undefined;
  readonly #over = new AbortController();
  readonly #inProgress = new Set<Promise<void>>(); // messages that are handled
  readonly #pushes = new Set<Promise<void>>();
  #received = 0; // datagrams, answered or not
  #stage: "serving" | "deaf" | "closed" = "serving";
  #stopping: Promise<void> | undefined;

  /**
   * Serves at once. See {@linkcode serveDatagrams}.
   * @param sockets bound; owned from here on
   * @param hostname the name or address to which they are bound
   */
  constructor(handler: Handler<void>, options: DatagramOptions, sockets: Socket[], hostname = "") {
    this.#handler = handler;
    this.#options = options;
    this.#sockets = sockets;
    this.#callbacks = new Callbacks(options);
    this.#faults = Faults.from(options, SUPPORT)?.(1);
    this.addrs = sockets.map((socket) => {
      const { address, port } = socket.address(); // without the zone
      return addrOf({ address: hostname.includes("%") ? hostname : address, port });
    });
    this.addr = this.addrs[0] as NetAddr;
    ({ port: this.port, hostname: this.hostname } = this.addr);
    for (const socket of sockets) {
      socket.on("message", (datagram, from) => {
        this.#received++;
        if (this.#stage !== "serving" || this.#inProgress.size >= MAX_IN_PROGRESS) return;
        // A copy: the datagram is in a buffer of 64 KiB, which a handler would hold.
        track(this.#handle(socket, new Uint8Array(datagram), addrOf(from)), this.#inProgress);
      });
      socket.on("error", ({ message }) => this.#callbacks.trouble(`cannot receive: ${message}`));
    }
    this.#callbacks.announce(this.addrs, sockets);
    void this.finished.then(onAbort(options.signal, () => void this.shutdown()));
  }

  /**
   * Stops the server: answers the messages that have arrived, but after `grace` only those that are
   * answered by then. Repeated calls wait for the first.
   */
  shutdown(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.finished;
  }

  /** Stops the server, see {@linkcode DatagramServer.shutdown}. */
  close(): Promise<void> {
    return this.shutdown();
  }

  /** Stops the server, see {@linkcode DatagramServer.shutdown}. */
  readonly [Symbol.asyncDispose]: () => Promise<void> = this.shutdown;

  async #handle(socket: Socket, datagram: Uint8Array, addr: NetAddr): Promise<void> {
    const { framing = "auto", maxMessage = 65536, once, ignore, onMessage } = this.#options;
    if (this.#options.verify && !await this.#mayEnter(addr)) return;
    const ending = endingOf(datagram, framing);
    const message = new MessageView(datagram, datagram.length - ending.length);
    message.receivedAt = Date.now();
    this.bytes += datagram.length;
    const isTooLong = message.length > maxMessage;
    if (!isTooLong) this.messages++;
    let abort: AbortController | undefined; // once the signal was accessed, or the message was handled
    const client: Client<void> = {
      addr,
      localAddr: addrOf(socket.address()),
      messages: this.messages,
      idle: 0,
      isHealthCheck: false,
      state: undefined,
      get signal() {
        return (abort ??= new AbortController()).signal;
      },
      write: (part) => {
        if (this.#stage === "closed" || this.#pushes.size >= MAX_IN_PROGRESS) return false;
        track(this.#send(socket, bytesOf(part), addr), this.#pushes);
        return true;
      },
      drained: () => Promise.all(this.#pushes).then(() => this.#stage !== "closed"),
      end: () => {},
    };
    try {
      if (!isTooLong) catchRejection(onMessage?.(message, client), this.#callbacks.failed);
      if (this.#isOwn(addr) || isErrorReply(datagram) || ignore?.(message)) return;
      if (once) this.#stage = "deaf";
      const replies = isTooLong
        ? [errorReply(new MessageTooLong(maxMessage).message)]
        : await this.#answer(message, client);
      await Promise.all(replies.map((reply) => this.#send(socket, fitting(reply, ending), addr)));
    } catch (error) {
      this.#callbacks.failed(error);
    } finally {
      (abort ??= HANDLED).abort();
    }
    if (once) this.#close();
  }

  /** Calls the handler; returns its reply, if it wrote one, or what the message's faults make of it. */
  async #answer(message: MessageView, client: Client<void>): Promise<Uint8Array[]> {
    const { handlerTimeout: limit = 0 } = this.#options;
    const out = ReplyBuffer.take();
    const done = this.#handler(message, out, client);
    await (done && limit > 0 ? inTime(done, limit, handlerTooSlow(limit), this.finished) : done);
    const written = out.withdraw();
    ReplyBuffer.give(out);
    const plan = this.#faults?.plan(client.messages, message.bytes);
    if (plan === undefined) return written ? [written] : [];
    const report = ({ request }: Fault, value?: number) =>
      this.#callbacks.call(() => this.#options.onFault?.(request, client, client.messages, value));
    const replies = applyReplyFaults(written, plan, report);
    const delay = find(plan.faults, "delay");
    if (delay !== undefined && replies.length > 0) {
      const value = drawDelay(delay, plan);
      report(delay, value);
      await sleep(value, this.#over.signal);
    }
    return replies;
  }

  async #mayEnter(addr: NetAddr): Promise<boolean> {
    try {
      const answer = this.#options.verify?.(addr);
      const isIn = await inTime(answer, ADMISSION_LIMIT, tooSlow(), this.finished);
      if (isIn === false) throw new Error("not let in");
      return this.#stage !== "closed";
    } catch (error) {
      this.#callbacks.refused(addr, error);
      return false;
    }
  }

  /** Returns true for senders that can't be answered, or whose reply might come back to this server. */
  #isOwn({ hostname, port }: NetAddr): boolean {
    const hosts = [hostname, "0.0.0.0", "::"]; // the last two stand for all addresses of this machine
    return port === 0 ||
      this.addrs.some((own) => own.port === port && hosts.includes(own.hostname));
  }

  async #send(socket: Socket, datagram: Uint8Array, addr: NetAddr): Promise<void> {
    if (this.#stage !== "closed") this.#callbacks.trouble(await send(socket, datagram, addr));
  }

  async #stop(): Promise<void> {
    void this.finished.then(timeLimit(this.#options.grace ?? 5000, () => this.#close()));
    await untilQuiet(() => this.#received, LAST_LOOK, LAST_MESSAGES_LIMIT);
    if (this.#stage === "serving") this.#stage = "deaf";
    await Promise.all(this.#inProgress);
    await Promise.all(this.#pushes);
    this.#close();
  }

  #close(): void {
    if (this.#stage === "closed") return;
    this.#stage = "closed";
    this.#over.abort();
    this.#sockets.forEach(close);
    // Then the ports are free. Deno emits the event "close" only where node:process is loaded.
    setTimeout(() => this.#closed.resolve(), 0);
  }
}

/** Keeps a promise in a set until it settles. */
function track(promise: Promise<void>, inProgress: Set<Promise<void>>): void {
  inProgress.add(promise);
  void promise.then(() => inProgress.delete(promise));
}

/** Returns a reply as a datagram, or in its place the error that it is too long. */
function fitting(reply: Uint8Array, ending: Uint8Array): Uint8Array {
  if (reply.length + ending.length <= MAX_DATAGRAM) return concat([reply, ending]);
  return errorReply(`reply longer than ${MAX_DATAGRAM} bytes`);
}
