/**
 * Connections and listeners over `node:net`: in Deno those that can be reset, in Node all. Limits:
 * connections are accepted before the server has a slot for them. In Deno 2.9, a listener that ran
 * out of descriptors stops accepting, without an error.
 */

import type { EventEmitter } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { unlessAborted } from "../wait.ts";
import type { Addr, Endpoint } from "./address.ts";
import type { Listener, ServerConn } from "./conn.ts";

/** Connections that may wait to be accepted: with Deno's default, 511, a burst of 1,000 waits 1 s. */
export const BACKLOG = 4096;

/** The most bytes of one write: a slow reader shows activity after each. */
const LARGEST_WRITE = 262_144;

const closed = () => new Deno.errors.Interrupted("the connection was closed");

/** A listener whose connections can be reset. */
export class SocketListener implements Listener {
  readonly resets = true;
  readonly #waiting: Socket[] = [];
  #change: PromiseWithResolvers<void> | undefined; // for which accept() waits

  /**
   * @param server listens already, with `allowHalfOpen` and `pauseOnConnect`
   * @param addr the address it listens on
   */
  constructor(readonly server: Server, readonly addr: Addr) {
    server.on("connection", (socket) => this.#enqueue(socket));
    server.on("error", (error) => this.#change?.reject(error)); // it can't accept for now
  }

  /**
   * Listens on an IP address.
   * @throws {Error} as Deno.listen does
   */
  static async open(host: string, port: number): Promise<SocketListener> {
    const { createServer } = await import("node:net");
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    await untilEvent(server, "listening", () => server.listen({ host, port, backlog: BACKLOG }));
    const own = server.address() as AddressInfo;
    return new SocketListener(server, { transport: "tcp", hostname: own.address, port: own.port });
  }

  /** Returns the next connection. */
  async accept(): Promise<SocketConn> {
    while (this.server.listening && this.#waiting.length === 0) {
      this.#change = Promise.withResolvers();
      await this.#change.promise;
    }
    const socket = this.#waiting.shift();
    if (socket === undefined) throw new Deno.errors.BadResource("listener closed");
    return new SocketConn(socket, this.addr);
  }

  /** Stops accepting, and resets the connections that wait. */
  close(): void {
    this.server.close();
    for (const socket of this.#waiting.splice(0)) new SocketConn(socket, this.addr).reset();
    this.#change?.resolve();
  }

  readonly [Symbol.dispose]: () => void = this.close;

  #enqueue(socket: Socket): void {
    socket.on("error", () => {}); // reads and writes report it
    const isDead = this.addr.transport === "tcp" && socket.remoteAddress === undefined;
    const hasRoom = this.server.listening && this.#waiting.length < BACKLOG;
    if (isDead || !hasRoom) return void socket.destroy();
    this.#waiting.push(socket);
    this.#change?.resolve();
  }
}

/**
 * Connects so that the connection can be reset.
 * @throws {Error} as Deno.connect does
 */
export async function connectSocket(
  { hostname: host = "127.0.0.1", port = 0, path }: Endpoint,
  signal?: AbortSignal,
): Promise<SocketConn> {
  const { Socket } = await import("node:net");
  const socket = new Socket({ allowHalfOpen: true });
  const where = path ? { path } : { host, port };
  await untilEvent(socket, "connect", () => socket.connect(where), signal);
  return new SocketConn(socket, path ? { transport: "unix", path: "" } : undefined);
}

/**
 * Starts to open a socket, and waits for the event that it is open. If that fails, closes it.
 * @throws {Error} as Deno does
 */
export async function untilEvent(
  socket: EventEmitter & { destroy?(): void; close?(): void },
  event: string,
  start: () => unknown,
  signal?: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once(event, resolve).once("close", () => reject(closed()));
  socket.on("error", reject); // later errors are reported elsewhere
  try {
    start();
    await unlessAborted(promise, signal);
  } catch (error) {
    (socket.destroy ?? socket.close)?.call(socket);
    throw asDenoError(error instanceof AggregateError ? error.errors[0] : error);
  }
}

/** A connection over a socket of `node:net` or `node:tls`. */
export class SocketConn implements ServerConn {
  readonly remoteAddr: Addr;
  readonly localAddr: Addr;
  #wake: (() => void) | undefined; // called when there is input, or an end
  readonly #pending = new Set<(error: unknown) => void>();

  /** @param own the address of a Unix socket, which the kernel does not give */
  constructor(readonly socket: Socket, own?: Addr) {
    const tcp = (hostname = "", port = 0): Addr => ({ transport: "tcp", hostname, port });
    const isUnix = own?.transport === "unix";
    this.localAddr = isUnix ? own : tcp(socket.localAddress, socket.localPort);
    this.remoteAddr = isUnix ? { ...own, path: "" } : tcp(socket.remoteAddress, socket.remotePort);
    socket.on("error", () => {}); // reads and writes report it
    socket.on("close", () => this.#pending.forEach((giveUp) => giveUp(this.#failure)));
  }

  /** Reads what has arrived; null at end-of-file. */
  async read(into: Uint8Array): Promise<number | null> {
    const chunk = await this.take(into.length);
    if (chunk !== null) into.set(chunk);
    return chunk && chunk.length;
  }

  /** Returns at most `most` bytes that have arrived, without a copy; null at end-of-file. */
  async take(most = Infinity): Promise<Uint8Array | null> {
    const { socket } = this;
    for (;;) {
      const chunk = socket.read(Math.min(most, socket.readableLength) || undefined);
      if (chunk !== null) return chunk;
      if (socket.readableEnded) return null;
      if (socket.destroyed) throw this.#failure;
      if (this.#wake === undefined) { // only now: before the first read, TLS may take the socket
        for (const event of ["readable", "end", "close"]) socket.on(event, () => this.#wake?.());
      }
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** Writes at most 256 KiB; returns how many bytes. */
  async write(bytes: Uint8Array): Promise<number> {
    const piece = bytes.subarray(0, LARGEST_WRITE);
    await this.#unlessClosed((done) => this.socket.write(piece, done));
    return piece.length;
  }

  /** Half-closes: sends end-of-file. */
  async closeWrite(): Promise<void> {
    await this.#unlessClosed((done) => this.socket.end(done));
  }

  /** Switches Nagle's algorithm off, or on. */
  setNoDelay(noDelay = true): void {
    this.socket.setNoDelay(noDelay);
  }

  setKeepAlive(): void {
    this.socket.setKeepAlive(true);
  }

  /** Closes the connection, with a reset where there can be one: a Unix socket has none. */
  reset(): void {
    const { socket } = this;
    // During a half-close the system resets nothing, and in Node the descriptor would stay open.
    const isEnding = socket.writableEnded && !socket.writableFinished;
    if (isEnding || this.localAddr.transport === "unix") socket.destroy();
    else socket.resetAndDestroy();
  }

  /** Closes the connection. */
  close(): void {
    this.socket.destroy();
  }

  readonly [Symbol.dispose]: () => void = this.close;

  get #failure(): unknown {
    return asDenoError(this.socket.errored ?? closed());
  }

  /** Waits for a callback, or for the socket's close: after that, it may never be called. */
  async #unlessClosed(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    const { socket } = this;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (socket.errored) throw new Deno.errors.BrokenPipe("the connection is broken");
    if (socket.destroyed) throw closed();
    this.#pending.add(reject);
    start((error) => error ? reject(asDenoError(error)) : resolve());
    await promise.finally(() => this.#pending.delete(reject));
  }
}

const errors = Deno.errors;

/** Classes by the code of a system call's error. */
const SYSTEM: Readonly<Record<string, new (message: string) => Error>> = {
  EACCES: errors.PermissionDenied,
  EADDRINUSE: errors.AddrInUse,
  EADDRNOTAVAIL: errors.AddrNotAvailable,
  EAGAIN: errors.WouldBlock,
  ECONNABORTED: errors.ConnectionAborted,
  ECONNREFUSED: errors.ConnectionRefused,
  ECONNRESET: errors.ConnectionReset,
  EEXIST: errors.AlreadyExists,
  ENOENT: errors.NotFound,
  ENOTCONN: errors.NotConnected,
  EPERM: errors.PermissionDenied,
  EPIPE: errors.BrokenPipe,
};

/** Returns one of Node's errors as Deno's if its code is known, otherwise as it is. */
export function asDenoError(error: unknown): unknown {
  const { message, code } = Object(error);
  if (/before secure TLS/.test(message)) return new errors.UnexpectedEof("tls handshake eof");
  const Known = SYSTEM[code];
  return Known ? Object.assign(new Known(message), { code }) : error;
}
