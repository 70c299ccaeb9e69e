/**
 * A TCP listener by `node:net`, whose connections can be reset as those of Deno's own can't. Limits:
 * they are accepted before there is a place for them, and in Deno 2.9 a listener that was out of
 * descriptors accepts nobody any more, and nobody is told.
 */

import type { Server, Socket } from "node:net";
import type { Listener, ServerConn } from "./listener.ts";
import { asDenoError } from "./node_errors.ts";

/** The most connections that wait to be accepted; one more is closed. */
const BACKLOG = 4096;

/** What is written at once, in bytes: a client that takes it slowly shows life after each piece. */
const LARGEST_WRITE = 65536;

const CLOSED = new Deno.errors.Interrupted("the connection was closed");

/** A listener. */
export class ResettingListener implements Listener {
  readonly resets = true;
  readonly addr: Deno.NetAddr;
  readonly #server: Server;
  readonly #waiting: Socket[] = [];
  #accepting: PromiseWithResolvers<ResettableConn> | undefined;
  #isClosed = false;

  private constructor(server: Server) {
    this.#server = server;
    const { address: hostname, port } = server.address() as { address: string; port: number };
    this.addr = { transport: "tcp", hostname, port };
    server.on("connection", (socket) => this.#take(socket));
    server.on("error", (error) => this.#accepting?.reject(error)); // it can't accept for now
  }

  /**
   * Listens at an address, no name.
   * @throws {Error} as Deno.listen does
   */
  static async open(host: string, port: number): Promise<ResettingListener> {
    const { createServer } = await import("node:net");
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    await new Promise<void>((done, fail) => {
      server.once("error", (error) => fail(asDenoError(error)));
      server.listen({ host, port, backlog: BACKLOG }, done);
    });
    server.removeAllListeners("error");
    return new ResettingListener(server);
  }

  /** The next connection. */
  accept(): Promise<ResettableConn> {
    const socket = this.#waiting.shift();
    if (socket !== undefined) return Promise.resolve(new ResettableConn(socket));
    if (this.#isClosed) return Promise.reject(new Deno.errors.BadResource("listener closed"));
    this.#accepting = Promise.withResolvers();
    return this.#accepting.promise;
  }

  /** Accepts no more. */
  close(): void {
    this.#isClosed = true;
    this.#server.close();
    for (const socket of this.#waiting.splice(0)) socket.resetAndDestroy();
    this.#accepting?.reject(new Deno.errors.BadResource("listener closed"));
  }

  #take(socket: Socket): void {
    socket.on("error", () => {}); // whoever reads or writes is told
    if (socket.remoteAddress === undefined) return void socket.destroy(); // it has died in the queue
    const accepting = this.#accepting;
    this.#accepting = undefined;
    if (accepting !== undefined) accepting.resolve(new ResettableConn(socket));
    else if (this.#isClosed || this.#waiting.length === BACKLOG) socket.destroy();
    else this.#waiting.push(socket);
  }
}

/** One of its connections. */
class ResettableConn implements ServerConn {
  readonly remoteAddr: Deno.NetAddr;
  readonly localAddr: Deno.NetAddr;
  readonly #socket: Socket;
  #wake: (() => void) | undefined; // there is something to be read, or an end

  constructor(socket: Socket) {
    this.#socket = socket;
    const { remoteAddress = "", remotePort = 0, localAddress = "", localPort = 0 } = socket;
    this.remoteAddr = { transport: "tcp", hostname: remoteAddress, port: remotePort };
    this.localAddr = { transport: "tcp", hostname: localAddress, port: localPort };
    for (const event of ["readable", "end", "close"]) socket.on(event, () => this.#wake?.());
  }

  async read(into: Uint8Array): Promise<number | null> {
    const socket = this.#socket;
    for (;;) {
      const chunk = socket.read(Math.min(into.length, socket.readableLength) || undefined);
      if (chunk !== null) {
        into.set(chunk);
        return chunk.length;
      }
      if (socket.readableEnded) return null;
      if (socket.destroyed) throw socket.errored ?? CLOSED;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async write(bytes: Uint8Array): Promise<number> {
    const piece = bytes.subarray(0, LARGEST_WRITE);
    await this.#unlessClosed((done) => this.#socket.write(piece, done));
    return piece.length;
  }

  async closeWrite(): Promise<void> {
    await this.#unlessClosed((done) => this.#socket.end(done));
  }

  setNoDelay(): void {
    this.#socket.setNoDelay(true);
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Waits until something is done. Once the socket is closed, that may never be. */
  async #unlessClosed(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    const socket = this.#socket;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const closed = () => reject(socket.errored ?? CLOSED);
    if (socket.destroyed) return closed(), promise;
    socket.once("close", closed);
    start((error) => error ? reject(error) : resolve());
    await promise.finally(() => socket.off("close", closed));
  }
}
