/**
 * The server's side of TLS, as a layer over TCP. A closed connection of `Deno.listenTls` keeps its
 * descriptor until the peer has received everything, or finished the handshake. Some clients that do
 * neither would use up all descriptors. Here, the TCP connection below is closed, which frees it at once.
 */

import { isPending, turn } from "../wait.ts";
import { close, reader, wrapListener, WrappedConn } from "./conn.ts";
import type { Listener, ServerConn } from "./conn.ts";
import { SocketConn, untilEvent } from "./node_socket.ts";
import { describeHandshakeError } from "./errors.ts";
import type { Identity } from "./pem.ts";

/** The first read, in bytes: a silent client costs as much as a silent TCP client. */
const FIRST_READ = 64;
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
  #plain: SocketConn | undefined; // the layer's plain text, once the handshake is done
  #handshake: Promise<SocketConn> | undefined;
  #sending = Promise.resolve(); // the last of what the layer sends
  #isReceiving = false;
  #isClosed = false;
  readonly #next = reader(this.conn, FIRST_READ, LARGEST_READ);

  override handshake = (): Promise<SocketConn> => this.#handshake ??= this.#shakeHands();

  constructor(conn: ServerConn, readonly layOver: LayOver) {
    super(conn);
  }

  /** Makes the layer, which costs 1 ms, at the client's first byte. */
  async #shakeHands(): Promise<SocketConn> {
    try {
      const first = await this.#receive();
      const layer = this.layOver((bytes) => this.#sending = writeAll(this.conn, bytes));
      const { socket, wire } = layer;
      const plain = new SocketConn(socket);
      // The error of a later record: the event that node:tls itself uses.
      socket.on("_tlsError", (error) => socket.destroy(error));
      await turn(); // it must not be destroyed before it has started
      this.#layer = layer;
      if (this.#isClosed) this.#cut();
      await untilEvent(socket, "secure", () => {
        wire.push(first);
        void this.#pump(layer);
      });
      return this.#plain = plain;
    } catch (error) {
      await this.#flush(); // tells the client why
      throw new Error(describeHandshakeError(error), { cause: error });
    }
  }

  override async read(into: Uint8Array): Promise<number | null> {
    const plain = this.#plain ?? await this.handshake();
    if (this.#layer) void this.#pump(this.#layer);
    return plain.read(into);
  }

  override async write(bytes: Uint8Array): Promise<number> {
    const plain = this.#plain ?? await this.handshake();
    return plain.write(bytes.subarray(0, LARGEST_WRITE));
  }

  /** Half-closes the connection, in TLS and in TCP. */
  override async closeWrite(): Promise<void> {
    await this.#plain?.closeWrite();
    await this.#flush();
    await this.conn.closeWrite();
  }

  /** Closes the connection, in TLS too if the client has received everything. */
  override close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const socket = this.#plain?.socket;
    const isIdle = socket?.writable && socket.writableLength === 0;
    if (isIdle) void isPending(this.closeWrite(), END_LIMIT).then(() => this.#cut());
    else this.#cut();
  }

  /** Closes the connection with a reset. */
  override reset(): void {
    this.#isClosed = true;
    this.conn.reset?.();
    this.#cut();
  }

  /** Frees the descriptor. */
  #cut(): void {
    close(this.conn);
    this.#layer?.socket.destroy();
  }

  /** Resolves once all output of the layer has been sent, or can't be. */
  async #flush(): Promise<void> {
    await turn(); // it passes its output on a little later
    await this.#sending.catch(() => {});
  }

  /** Passes on what the client sends, until there is plain text to read: the network is read when needed. */
  async #pump({ wire, socket }: ReturnType<LayOver>): Promise<void> {
    if (this.#isReceiving) return;
    this.#isReceiving = true;
    try {
      while (socket.readableLength === 0 && socket.readable) wire.push(await this.#receive());
    } catch (error) {
      await turn(); // an alert of the client may say why
      // A client that has half-closed in TLS may do so in TCP too, and still be answered.
      const isEnd = error instanceof Deno.errors.UnexpectedEof;
      if (!isEnd || !socket.readableEnded) socket.destroy(error as Error);
    }
    this.#isReceiving = false;
  }

  async #receive(): Promise<Uint8Array> {
    const bytes = await this.#next();
    if (bytes === null) throw new Deno.errors.UnexpectedEof("the client hung up");
    return bytes;
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
