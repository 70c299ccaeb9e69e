/**
 * The server's side of TLS, as a layer over TCP. A connection of `Deno.listenTls` that is closed
 * keeps its descriptor until its other end has taken the last words, or finished the handshake:
 * some clients that do neither would use up all descriptors. Here what is closed is the TCP
 * connection below, and its descriptor is free at once.
 */

import type { Addr } from "./addr.ts";
import type { TLSSocket } from "node:tls";
import { turn } from "../wait.ts";
import type { Listener, ServerConn } from "./listener.ts";
import { asDenoError } from "./node_errors.ts";
import { describeHandshakeError } from "./describe_error.ts";
import type { Identity } from "./pem.ts";

/** The first version of Deno whose layer tells the other end that no more will come. */
const SINCE = [2, 9, 2];
/** A read from the network has room for twice what the last one gave, in bytes: at rest it costs memory, */
const SMALLEST_READ = 512;
/** and more than a record of TLS holds is of no use. */
const LARGEST_READ = 16384;
/** What is written at once, in bytes: a client that takes it slowly shows life after each piece. */
const LARGEST_WRITE = 65536;
/** How long it may take to tell a client that this is the end, in ms. */
const LAST_WORDS = 1000;

/**
 * Listens for clients that speak TLS; before Deno 2.9.2, with what the runtime has.
 * @throws {Error} as Deno.listenTls does, also for a key that is not the certificate's
 */
export function listenTls(
  options: Deno.ListenOptions & Deno.TcpListenOptions,
  identity: Identity,
): Listener {
  const native = Deno.listenTls({ ...options, ...identity });
  if (isBefore(SINCE)) return native;
  native.close(); // the layer would find fault with an identity only when a client comes
  return new TlsListener(Deno.listen(options), identity);
}

/** Speaks TLS over what a listener gives. */
export function layTls(listener: Listener, identity: Identity): Listener {
  return new TlsListener(listener, identity);
}

class TlsListener implements Listener {
  readonly #listener: Listener;
  readonly #layOver: Promise<(conn: ServerConn) => Layer>;

  constructor(listener: Listener, identity: Identity) {
    this.#listener = listener;
    this.#layOver = loadLayer(identity);
  }

  get addr(): Addr {
    return this.#listener.addr;
  }

  get resets(): boolean {
    return this.#listener.resets ?? false;
  }

  async accept(): Promise<TlsConnection> {
    const conn = await this.#listener.accept();
    return new TlsConnection(conn, await this.#layOver);
  }

  close(): void {
    this.#listener.close();
  }
}

/** A connection to a client that speaks TLS; the handshake comes with the first use. */
class TlsConnection implements ServerConn {
  readonly #conn: ServerConn;
  readonly #layer: Layer;
  #handshake: Promise<void> | undefined;
  #isSecure = false;
  #received: Uint8Array[] = []; // and not yet read
  #hasEnded = false; // the client has said, in TLS, that no more will come
  #failure: Error | undefined;
  #isReceiving = false;
  #isClosed = false;
  #isCut = false;
  #room = SMALLEST_READ;
  #wake = () => {}; // who waits for the client
  readonly #giveUp = new Set<(failure: Error) => void>(); // what waits for the network

  constructor(conn: ServerConn, layOver: (conn: ServerConn) => Layer) {
    this.#conn = conn;
    this.#layer = layOver(conn);
    const { socket } = this.#layer;
    const fail = (error: Error) => this.#fail(asDenoError(error) as Error);
    socket.on("data", (bytes: Uint8Array) => this.#received.push(bytes));
    socket.on("end", () => {
      this.#hasEnded = true;
      this.#wake();
    });
    socket.on("secure", () => this.#isSecure = true);
    socket.on("error", fail); // of the handshake
    socket.on("_tlsError", fail); // of a later record: the event that node:tls itself listens to
  }

  get remoteAddr(): Addr {
    return this.#conn.remoteAddr;
  }

  get localAddr(): Addr | undefined {
    return this.#conn.localAddr;
  }

  setNoDelay(): void {
    this.#conn.setNoDelay?.();
  }

  setKeepAlive(): void {
    this.#conn.setKeepAlive?.();
  }

  handshake(): Promise<void> {
    return this.#handshake ??= this.#shakeHands();
  }

  async #shakeHands(): Promise<void> {
    while (!this.#isSecure && this.#failure === undefined) await this.#more();
    if (this.#failure === undefined) return;
    await this.#layer.flush(); // the client is told why
    throw new Error(describeHandshakeError(this.#failure), { cause: this.#failure });
  }

  async read(into: Uint8Array): Promise<number | null> {
    if (!this.#isSecure) await this.handshake();
    for (;;) {
      const [bytes] = this.#received;
      if (bytes !== undefined) return this.#take(bytes, into);
      if (this.#hasEnded) return null;
      if (this.#failure !== undefined) throw this.#failure;
      await this.#more();
    }
  }

  async write(bytes: Uint8Array): Promise<number> {
    if (!this.#isSecure) await this.handshake();
    const piece = bytes.subarray(0, LARGEST_WRITE);
    await this.#unlessItFails((done) => this.#layer.socket.write(piece, done));
    return piece.length;
  }

  /** Says that no more will come, in TLS and in TCP. */
  async closeWrite(): Promise<void> {
    await this.#unlessItFails((done) => this.#layer.socket.end(done));
    await this.#layer.flush();
    await this.#conn.closeWrite();
  }

  /** Closes it. A client that takes what it is sent is told that this is the end; others are cut. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const isTaken = this.#isSecure && this.#failure === undefined && this.#giveUp.size === 0;
    this.#fail(new Deno.errors.Interrupted("the connection was closed"));
    if (isTaken && !this.#layer.socket.writableEnded) void this.#takeLeave();
    else this.#cut();
  }

  async #takeLeave(): Promise<void> {
    const late = setTimeout(() => this.#cut(), LAST_WORDS);
    await new Promise<void>((resolve) => this.#layer.socket.end(resolve));
    await this.#layer.flush();
    clearTimeout(late);
    this.#cut();
  }

  /** Closes it with a reset. */
  reset(): void {
    this.#isClosed = true;
    this.#fail(new Deno.errors.Interrupted("the connection was reset"));
    this.#conn.reset?.();
    this.#cut();
  }

  /** Frees its descriptor. */
  #cut(): void {
    if (this.#isCut) return;
    this.#isCut = true;
    this.#conn.close();
    this.#layer.socket.destroy();
  }

  #take(bytes: Uint8Array, into: Uint8Array): number {
    const count = Math.min(bytes.length, into.length);
    into.set(bytes.subarray(0, count));
    if (count < bytes.length) this.#received[0] = bytes.subarray(count);
    else this.#received.shift();
    return count;
  }

  /** Waits for news of the client. Nothing is taken from the network but here, when it is asked for. */
  #more(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    if (!this.#isReceiving) void this.#receive();
    return promise;
  }

  async #receive(): Promise<void> {
    this.#isReceiving = true;
    try {
      const buffer = new Uint8Array(this.#room);
      const count = await this.#conn.read(buffer);
      if (count === null) throw new Deno.errors.UnexpectedEof("the client hung up");
      this.#room = Math.min(Math.max(2 * count, SMALLEST_READ), LARGEST_READ);
      this.#layer.push(buffer.subarray(0, count));
    } catch (error) {
      await untilTold(); // the client's last words may have said why
      // One who has ended it in TLS may end it in TCP too, and still be answered.
      if (!this.#hasEnded || !(error instanceof Deno.errors.UnexpectedEof)) {
        this.#fail(error as Error);
      }
    }
    this.#isReceiving = false;
    this.#wake();
  }

  /** Waits until something is done, or the connection fails. */
  async #unlessItFails(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#giveUp.add(reject);
    start((error) => error ? reject(error) : resolve());
    await promise.finally(() => this.#giveUp.delete(reject));
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const giveUp of this.#giveUp) giveUp(error);
    this.#wake();
  }
}

/** TLS over a connection. */
interface Layer {
  /** What is said and heard. */
  readonly socket: TLSSocket;
  /** Takes what came from the network. */
  push(bytes: Uint8Array): void;
  /** Waits until all that it had to say is sent, or can't be. */
  flush(): Promise<void>;
}

/** Loads node:tls: that takes long, and only those who speak TLS need it. */
async function loadLayer({ cert, key }: Identity): Promise<(conn: ServerConn) => Layer> {
  const [tls, { Duplex }] = await Promise.all([import("node:tls"), import("node:stream")]);
  const secureContext = tls.createSecureContext({ cert, key });
  return (conn) => {
    let sending: Promise<unknown> = Promise.resolve();
    const wire = new Duplex({
      autoDestroy: false,
      read() {}, // bytes are pushed, whether it asks for them or not
      write(bytes: Uint8Array, _, done) {
        sending = writeAll(conn, bytes).then(() => done(), done);
      },
    });
    wire.destroy = () => wire; // said before the last words: why a client is refused
    return {
      socket: new tls.TLSSocket(wire, { isServer: true, secureContext }),
      push: (bytes) => void wire.push(bytes),
      async flush() {
        await untilTold();
        await sending;
      },
    };
  };
}

/** Waits until the layer has handed over what it has to say: it does so a little later. */
function untilTold(): Promise<void> {
  return turn();
}

async function writeAll(conn: ServerConn, bytes: Uint8Array): Promise<void> {
  while (bytes.length > 0) bytes = bytes.subarray(await conn.write(bytes));
}

/** Whether this is an older Deno. */
function isBefore(version: readonly number[]): boolean {
  const own = Deno.version.deno.split(/\D/).map(Number);
  const at = version.findIndex((part, at) => part !== own[at]);
  return at >= 0 && (own[at] ?? 0) < (version[at] ?? 0);
}
