/** A server of datagrams: each is a message, its reply is another. */

import type { NetAddr } from "../net/addr.ts";
import type { Socket } from "node:dgram";
import { describeListenError, formatEndpoint, resolve } from "../net/address.ts";
import { close } from "../net/close.ts";
import { LAST_MESSAGES_LIMIT } from "./conversation.ts";
import { ADMISSION_LIMIT } from "./admissions.ts";
import type { Client, Handler } from "./handler.ts";
import { errorMessage } from "../checks.ts";
import { catchRejection, errorReporter, type ReportError, safely } from "./callbacks.ts";
import { checkDatagramService, type DatagramOptions } from "./datagram_options.ts";
import { concat, endingOf } from "../wire/framing.ts";
import { Message, MessageTooLong } from "../wire/message.ts";
import { errorReply, isErrorReply } from "../wire/error_reply.ts";
import type { Reply } from "./reply.ts";
import { addrOf, bind, MOST_DATAGRAM, send } from "../net/udp.ts";
import {
  durationOf,
  type Fault,
  type FaultPlan,
  type Faults,
  faultsFor,
  type FaultSupport,
  find,
} from "../faults/faults.ts";
import { applyReplyFaults } from "../faults/reply_faults.ts";
import { inTime, onAbort, pause, Sleeps } from "../wait.ts";

/** This many messages may be handled at once, or their replies be sent; more are lost, as UDP may. */
const MOST_UNDER_WAY = 256;
/** A stopping server has heard all when nothing has come for this long, in ms. */
const LAST_LOOK = 20;

const WAYS: FaultSupport = { transport: "udp", resets: false };

const encoder = new TextEncoder();

/**
 * Serves datagrams until {@linkcode DatagramServer.shutdown} or `signal`. A datagram that begins
 * with `error: ` (another server's complaint) or comes from the server's own address gets no reply.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, serveDatagrams } from "@readback/readback";
 *
 * await using server = await serveDatagrams((message, reply) => reply.write(`heard ${message.text}`));
 * const matches = (message: Uint8Array, reply: Uint8Array) => reply.length === message.length + 6;
 * using peer = await DatagramPeer.connect({ port: server.addr.port, timeout: 1000, matches });
 * assertEquals(new TextDecoder().decode(await peer.request("hello")), "heard hello");
 * ```
 *
 * @throws {Error} when it can't listen
 */
export async function serveDatagrams(
  handler: Handler,
  options: DatagramOptions = {},
): Promise<DatagramServer> {
  checkDatagramService(handler, options);
  const { hostname = "127.0.0.1", port = 0 } = options;
  faultsFor(options, WAYS); // what is wrong with them is said before anything is opened
  const sockets = await resolve(hostname).then((hosts) => bindAll(hosts, port)).catch((error) => {
    const why = describeListenError(error);
    throw new Error(`cannot listen on ${formatEndpoint({ hostname, port })}: ${why}`, {
      cause: error,
    });
  });
  return new DatagramServer(handler, options, sockets);
}

/**
 * A running server of datagrams.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, serveDatagrams, stamper } from "@readback/readback";
 *
 * const server = await serveDatagrams(stamper("ctime"));
 * using peer = await DatagramPeer.connect({ port: server.addr.port, timeout: 1000 });
 * await peer.request("hello");
 * await server.shutdown();
 * assertEquals([server.messages, server.bytes], [1, 5]);
 * ```
 */
export class DatagramServer implements AsyncDisposable {
  /** Settles when it has stopped and what it had heard is answered. */
  readonly finished: Promise<void>;
  /** Where it listens. */
  readonly addrs: readonly NetAddr[];
  /** Messages heard. */
  messages = 0;
  /** Bytes heard. */
  bytes = 0;

  readonly #handler: Handler;
  readonly #options: DatagramOptions;
  readonly #sockets: readonly Socket[];
  readonly #complain: ReportError;
  readonly #faults: Faults | undefined;
  readonly #delays = new Sleeps();
  readonly #underWay = new Set<Promise<void>>(); // messages that are handled
  readonly #pushes = new Set<Promise<void>>(); // what is sent and no reply
  readonly #closed = Promise.withResolvers<void>();
  #came = 0; // datagrams, whatever became of them
  #deaf = false;
  #isClosed = false;
  #isTroubled = false;
  #stopping: Promise<void> | undefined;

  /**
   * Serves at once. See {@linkcode serveDatagrams}.
   * @param sockets bound; owned from here on
   */
  constructor(handler: Handler, options: DatagramOptions, sockets: readonly Socket[]) {
    this.#handler = handler;
    this.#options = options;
    this.#sockets = sockets;
    this.#complain = errorReporter(options.onError?.bind(options));
    this.#faults = faultsFor(options, WAYS);
    this.finished = this.#closed.promise;
    this.addrs = sockets.map((socket) => addrOf(socket.address()));
    for (const socket of sockets) {
      socket.on("message", (bytes, from) => this.#take(socket, bytes, addrOf(from)));
      socket.on("error", ({ message }) => this.#troubled(`cannot hear: ${message}`));
    }
    try {
      for (const addr of this.addrs) {
        catchRejection(options.onListen?.(addr), (error) => this.#failed(error));
      }
    } catch (error) { // nobody would have the server, to stop it
      for (const socket of sockets) close(socket);
      throw error;
    }
    const letGo = onAbort(options.signal, () => void this.shutdown());
    void this.finished.then(letGo);
  }

  /** Where it listens; the first place of several. */
  get addr(): NetAddr {
    return this.addrs[0] as NetAddr;
  }

  /**
   * Answers what has arrived and stops; after the grace, without what is not answered yet.
   * A second call waits for the first.
   */
  shutdown(): Promise<void> {
    return this.#stopping ??= this.#stop();
  }

  /** Shuts it down. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  #take(socket: Socket, datagram: Uint8Array, addr: NetAddr): void {
    this.#came++;
    if (this.#deaf || this.#underWay.size >= MOST_UNDER_WAY) return;
    // A copy: it comes in a buffer of 64 KiB, which a handler would hold.
    track(this.#hear(socket, new Uint8Array(datagram), addr), this.#underWay);
  }

  async #hear(socket: Socket, datagram: Uint8Array, addr: NetAddr): Promise<void> {
    const { framing = "auto", maxMessage = 65536, once, ignore, onMessage } = this.#options;
    if (this.#options.verify !== undefined && !await this.#isLetIn(addr)) return;
    if (this.#isClosed) return;
    const ending = endingOf(datagram, framing);
    const message = new Message(datagram, datagram.length - ending.length);
    message.receivedAt = Date.now();
    this.bytes += datagram.length;
    const reply = (bytes: Uint8Array) => this.#send(socket, bytes, addr);
    const write = (part: string | Uint8Array) => this.#push(() => reply(bytesOf(part)));
    const client = new Sender(
      addr,
      addrOf(socket.address()),
      this.messages + 1,
      write,
      () => this.#drained(),
    );
    try {
      const isTooLong = message.length > maxMessage;
      if (!isTooLong) {
        this.messages++;
        catchRejection(onMessage?.(message, client), (error) => this.#failed(error));
      }
      if (this.#isOurs(addr) || isErrorReply(datagram) || ignore?.(message)) return;
      if (once) this.#deaf = true;
      const parts = new Parts();
      if (isTooLong) parts.write(errorReply(new MessageTooLong(maxMessage).message));
      else await this.#inTime(this.#handler(message, parts, client));
      const lot = isTooLong ? undefined : this.#faults?.lot(1, this.messages, message.bytes, WAYS);
      if (lot !== undefined) await this.#misbehave(parts, ending, lot, client, reply);
      else if (parts.written) await reply(parts.end(ending));
    } catch (error) {
      this.#failed(error);
    } finally {
      client.over();
    }
    if (once) this.#close();
  }

  /** Sends what is sent instead of a reply, once its time has come. */
  async #misbehave(
    parts: Parts,
    ending: Uint8Array,
    lot: FaultPlan,
    client: Client<void>,
    send: (datagram: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const tell = ({ asked }: Fault) =>
      safely(
        () => this.#options.onFault?.(asked, client, lot.number),
        (error) => this.#failed(error),
      );
    const seal = (bytes: Uint8Array) => fitting(concat([bytes, ending]));
    const datagrams = applyReplyFaults(parts.written ? parts.whole : undefined, seal, lot, tell);
    const delay = find(lot.faults, "delay");
    if (delay !== undefined && datagrams.length > 0) {
      tell(delay);
      await this.#delays.sleep(durationOf(delay, lot));
    }
    await Promise.all(datagrams.map(send));
  }

  async #isLetIn(addr: NetAddr): Promise<boolean> {
    const { verify, onRefused } = this.#options;
    try {
      const why = `did not begin within ${ADMISSION_LIMIT / 1000}s`;
      if (await inTime(verify?.(addr), ADMISSION_LIMIT, why, this.finished) !== false) return true;
      throw new Error("not let in");
    } catch (error) {
      safely(() => onRefused?.(addr, errorMessage(error)), (error) => this.#failed(error));
      return false;
    }
  }

  /** Waits for what a handler gives, but not beyond its time. */
  #inTime(done: void | Promise<void>): void | Promise<void> {
    const { handlerTimeout = 0 } = this.#options;
    if (done === undefined || handlerTimeout === 0) return done;
    const why = `the handler took longer than ${handlerTimeout / 1000}s`;
    return inTime(done, handlerTimeout, why, this.finished);
  }

  /** Sends what is no reply, unless too much is under way. */
  #push(send: () => Promise<void>): boolean {
    if (this.#isClosed || this.#pushes.size >= MOST_UNDER_WAY) return false;
    track(send(), this.#pushes);
    return true;
  }

  async #drained(): Promise<boolean> {
    await Promise.all(this.#pushes);
    return !this.#isClosed;
  }

  /** A sender without a port can't be answered; one with our own address is this server. */
  #isOurs({ hostname, port }: NetAddr): boolean {
    return port === 0 || this.addrs.some((own) => own.port === port && own.hostname === hostname);
  }

  /** A reply may be lost. */
  async #send(socket: Socket, datagram: Uint8Array, addr: NetAddr): Promise<void> {
    if (this.#isClosed) return;
    const why = await send(socket, datagram, addr);
    if (why === null) this.#isTroubled = false;
    else this.#troubled(why);
  }

  async #stop(): Promise<void> {
    const late = setTimeout(() => this.#close(), this.#options.grace ?? 5000);
    const latest = performance.now() + LAST_MESSAGES_LIMIT;
    for (let before = -1; before !== this.#came && !this.#isClosed && performance.now() < latest;) {
      before = this.#came;
      await pause(LAST_LOOK);
    }
    this.#deaf = true;
    void Promise.all(this.#underWay).then(() => this.#drained()).then(() => this.#close());
    await this.finished;
    clearTimeout(late);
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = this.#deaf = true;
    this.#delays.end();
    for (const socket of this.#sockets) close(socket);
    // By then the ports are free. Not its event "close": Deno tells that only where node:process is loaded.
    setTimeout(() => this.#closed.resolve(), 0);
  }

  /** The network's trouble is told once, until a reply can be sent. */
  #troubled(sentence: string): void {
    if (!this.#isTroubled) this.#complain(sentence);
    this.#isTroubled = true;
  }

  #failed(error: unknown): void {
    this.#complain(`cannot answer: ${errorMessage(error)}`, error);
  }
}

/** Keeps what is under way in a set. */
function track(doing: Promise<void>, underWay: Set<Promise<void>>): void {
  underWay.add(doing);
  void doing.then(() => underWay.delete(doing));
}

/** The sender of a datagram, while that is handled. */
class Sender implements Client<void> {
  readonly idle = 0;
  readonly isHealthCheck = false;
  readonly state = undefined;
  #abort: AbortController | undefined;
  #isOver = false;

  constructor(
    readonly addr: NetAddr,
    readonly localAddr: NetAddr,
    readonly messages: number,
    readonly write: Client["write"],
    readonly drained: Client["drained"],
  ) {}

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#isOver) this.#abort.abort();
    return this.#abort.signal;
  }

  end(): void {}

  /** It is handled, or nobody waits for that any more. */
  over(): void {
    this.#isOver = true;
    this.#abort?.abort();
  }
}

/** A reply in the making. */
class Parts implements Reply {
  readonly #parts: Uint8Array[] = [];

  /** Whether anything was, be it empty. */
  get written(): boolean {
    return this.#parts.length > 0;
  }

  write(part: string | Uint8Array | Message): void {
    this.#parts.push(bytesOf(part instanceof Message ? part.bytes : part));
  }

  /** What was written. */
  get whole(): Uint8Array {
    return concat(this.#parts);
  }

  /** The datagram. */
  end(ending: Uint8Array): Uint8Array {
    return fitting(concat([...this.#parts, ending]));
  }
}

/** A datagram, or the error that it is too long. */
function fitting(datagram: Uint8Array): Uint8Array {
  if (datagram.length <= MOST_DATAGRAM) return datagram;
  return errorReply(`reply longer than ${MOST_DATAGRAM} bytes`);
}

/** Binds to each address, all on one port. */
async function bindAll(addresses: readonly string[], port: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  try {
    for (const address of addresses) {
      const socket = await bind(address, port);
      sockets.push(socket);
      port = socket.address().port;
    }
    return sockets;
  } catch (error) {
    for (const socket of sockets) close(socket);
    throw error;
  }
}

function bytesOf(part: string | Uint8Array): Uint8Array {
  return typeof part === "string" ? encoder.encode(part) : part.slice();
}
