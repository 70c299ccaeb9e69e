/**
 * The server's side of TLS, as a layer over TCP. A closed connection of `Deno.listenTls` keeps its
 * descriptor until the peer has received everything, or finished the handshake. Some clients that do
 * neither would use up all descriptors. Here, the TCP connection below is closed, which frees it at once.
 */

import { turn } from "../wait.ts";
import { close, type Listener, type ServerConn, wrapListener, WrappedConn } from "./conn.ts";
import { asDenoError } from "./node_socket.ts";
import { describeHandshakeError } from "./errors.ts";
import type { Identity } from "./pem.ts";

/** The first read, in bytes: a silent client costs as much as a silent TCP client. */
const FIRST_READ = 64;
/** A read has room for twice as many bytes as the last one returned: at rest, a buffer costs memory. */
const SMALLEST_READ = 512;
/** The largest read, in bytes: more than a record of TLS holds is of no use. */
const LARGEST_READ = 16384;
/** The largest write, in bytes: a client that reads slowly is not idle after each. */
const LARGEST_WRITE = 65536;
/** Milliseconds that a client may take to receive the end. */
const END_LIMIT = 1000;

/** Returns a listener whose connections are TLS over those of another. */
export function layTls(listener: Listener, identity: Identity): Listener {
  const loaded = loadLayer(identity);
  return wrapListener(listener, async (conn) => new TlsConnection(conn, await loaded));
}

/** A connection to a TLS client. The handshake begins with the first use, the layer with the first byte. */
class TlsConnection extends WrappedConn {
  #layer: ReturnType<LayOver> | undefined;
  #handshake: Promise<void> | undefined;
  #sending = Promise.resolve(); // the last of what the layer sends
  #isSecure = false;
  #received: Uint8Array[] = []; // not yet read
  #hasEnded = false; // the client has half-closed, in TLS
  #failure: Error | undefined;
  #isReceiving = false;
  #isClosed = false;
  #room = FIRST_READ;
  #wake = () => {}; // resolves the wait for the client
  readonly #giveUp = new Set<(failure: Error) => void>(); // reject the waits for the network

  override handshake = (): Promise<void> => this.#handshake ??= this.#shakeHands();

  constructor(conn: ServerConn, readonly layOver: LayOver) {
    super(conn);
  }

  async #shakeHands(): Promise<void> {
    while (!this.#isSecure && this.#failure === undefined) await this.#more();
    if (this.#failure === undefined) return;
    await this.#flush(); // tells the client why
    throw new Error(describeHandshakeError(this.#failure), { cause: this.#failure });
  }

  override async read(into: Uint8Array): Promise<number | null> {
    if (!this.#isSecure) await this.handshake();
    for (;;) {
      if (this.#received.length > 0) return this.#take(into);
      if (this.#hasEnded) return null;
      if (this.#failure !== undefined) throw this.#failure;
      await this.#more();
    }
  }

  override async write(bytes: Uint8Array): Promise<number> {
    if (!this.#isSecure) await this.handshake();
    const piece = bytes.subarray(0, LARGEST_WRITE);
    await this.#unlessItFails((done) => this.#layer?.socket.write(piece, done));
    return piece.length;
  }

  /** Half-closes the connection, in TLS and in TCP. */
  override async closeWrite(): Promise<void> {
    const socket = this.#layer?.socket;
    if (socket) await this.#unlessItFails((done) => socket.end(done));
    await this.#flush();
    await this.conn.closeWrite();
  }

  /** Closes the connection, in TLS too if the client has received everything. */
  override close(): void {
    if (this.#isClosed) return;
    const isTaken = this.#isSecure && this.#failure === undefined && this.#giveUp.size === 0;
    this.#over("closed");
    if (isTaken && this.#layer?.socket.writableEnded === false) void this.#sendEnd();
    else this.#cut();
  }

  async #sendEnd(): Promise<void> {
    const late = setTimeout(() => this.#cut(), END_LIMIT);
    await new Promise<void>((resolve) => this.#layer?.socket.end(resolve));
    await this.#flush();
    clearTimeout(late);
    this.#cut();
  }

  /** Closes the connection with a reset. */
  override reset(): void {
    this.#over("reset");
    this.conn.reset?.();
    this.#cut();
  }

  #over(how: string): void {
    this.#isClosed = true;
    this.#fail(new Deno.errors.Interrupted(`the connection was ${how}`));
  }

  /** Frees the descriptor. */
  #cut(): void {
    close(this.conn);
    this.#layer?.socket.destroy();
    this.#layer = undefined;
  }

  /** Makes the layer, which costs 1 ms, at the client's first byte. */
  async #begin(): Promise<void> {
    const layer = this.layOver((bytes) => this.#sending = writeAll(this.conn, bytes));
    const { socket } = layer;
    const fail = (error: Error) => this.#fail(asDenoError(error) as Error);
    socket.on("data", (bytes: Uint8Array) => this.#received.push(bytes));
    socket.on("end", () => {
      this.#hasEnded = true;
      this.#wake();
    });
    socket.on("secure", () => this.#isSecure = true);
    socket.on("error", fail); // of the handshake
    socket.on("_tlsError", fail); // of a later record: the event that node:tls itself uses
    await turn(); // it must not be destroyed before it has started
    if (this.#isClosed) socket.destroy();
    else this.#layer = layer;
  }

  /** Resolves once all output of the layer has been sent, or can't be. */
  async #flush(): Promise<void> {
    if (this.#layer === undefined) return;
    await turn(); // it passes its output on a little later
    await this.#sending.catch(() => {});
  }

  /** Moves as many received bytes as fit. */
  #take(into: Uint8Array): number {
    let at = 0;
    for (let bytes; at < into.length && (bytes = this.#received[0]) !== undefined;) {
      const piece = bytes.subarray(0, into.length - at);
      into.set(piece, at);
      at += piece.length;
      if (piece.length < bytes.length) this.#received[0] = bytes.subarray(piece.length);
      else this.#received.shift();
    }
    return at;
  }

  /** Waits for bytes, the end or a failure. The network is read only here, when it is needed. */
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
      const count = await this.conn.read(buffer);
      if (count === null) throw new Deno.errors.UnexpectedEof("the client hung up");
      this.#room = Math.min(Math.max(2 * count, SMALLEST_READ), LARGEST_READ);
      if (this.#layer === undefined && !this.#isClosed) await this.#begin();
      this.#layer?.wire.push(buffer.subarray(0, count));
    } catch (error) {
      await turn(); // an alert of the client may say why
      // A client that has half-closed in TLS may do so in TCP too, and still be answered.
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

/** Lays TLS over what sends bytes to a client: a socket of plain text, and a wire that takes what is received. */
type LayOver = Awaited<ReturnType<typeof loadLayer>>;

/** Loads node:tls, which takes long, and only servers with TLS need. */
async function loadLayer({ cert, key }: Identity) {
  const [tls, { Duplex }] = await Promise.all([import("node:tls"), import("node:stream")]);
  const secureContext = tls.createSecureContext({ cert, key });
  return (send: (bytes: Uint8Array) => Promise<void>) => {
    const wire = new Duplex({
      autoDestroy: false,
      read() {}, // bytes are pushed, requested or not
      write: (bytes, _, done) => void send(bytes).then(() => done(), done),
    });
    wire.destroy = () => wire; // called before the alert that tells a client why it is refused
    return { wire, socket: new tls.TLSSocket(wire, { isServer: true, secureContext }) };
  };
}

async function writeAll(conn: ServerConn, bytes: Uint8Array): Promise<void> {
  while (bytes.length > 0) bytes = bytes.subarray(await conn.write(bytes));
}
