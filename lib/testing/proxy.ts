/**
 * A network that has its faults: a TCP proxy for a test to put between a client and
 * a server. Each direction has a list of faults that its bytes pass through in turn.
 *
 * ```ts
 * import { startClient, startServer } from "./program.ts";
 * import { latency, slices, startProxy } from "./proxy.ts";
 *
 * await using server = await startServer();
 * await using proxy = await startProxy(server.port, { up: [slices(1)], down: [latency(50)] });
 * await using client = startClient(["--port", proxy.port, "--message", "hello"]);
 * await client.ends(0);
 * ```
 */

import { once } from "node:events";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** The bytes of one direction. */
type Stream = AsyncIterable<Uint8Array>;

/** What befalls a stream; `over` aborts when the connection does. */
export type Fault = (stream: Stream, over: AbortSignal) => Stream;

/** The faults of each direction: `up` to the server, `down` to the client. */
export interface Faults {
  up?: readonly Fault[];
  down?: readonly Fault[];
}

/** The connection is to be closed here and now. */
class Cut extends Error {}

/** Both ends of the connection are to be reset. */
class Reset extends Error {}

/** All comes so many milliseconds late, the end too. */
export function latency(milliseconds: number): Fault {
  return async function* (stream, over) {
    for await (const { chunk, due } of dated(stream, milliseconds)) {
      await delay(Math.max(0, due - performance.now()), undefined, { signal: over });
      yield chunk;
    }
  };
}

/** So many bytes a second. */
export function bandwidth(bytesPerSecond: number): Fault {
  return async function* (stream, over) {
    for await (const chunk of stream) {
      await delay(1000 * chunk.length / bytesPerSecond, undefined, { signal: over });
      yield chunk;
    }
  };
}

/** Pieces of so many bytes, each sent by itself. */
export function slices(size: number): Fault {
  return async function* (stream, over) {
    for await (const chunk of stream) {
      for (let at = 0; at < chunk.length; at += size) {
        yield chunk.subarray(at, at + size);
        await delay(0, undefined, { signal: over });
      }
    }
  };
}

/** After so many bytes, the connection is closed. */
export function limit(bytes: number): Fault {
  return async function* (stream) {
    yield* first(bytes, stream);
    throw new Cut();
  };
}

/** After so many bytes, both ends are reset. */
export function resetAfter(bytes: number): Fault {
  return async function* (stream) {
    yield* first(bytes, stream);
    throw new Reset();
  };
}

/** After so many bytes, nothing comes any more, not even the end. */
export function stall(bytes: number): Fault {
  return async function* (stream, over) {
    yield* first(bytes, stream);
    await once(over, "abort");
  };
}

/** The end comes so many milliseconds late. */
export function slowClose(milliseconds: number): Fault {
  return async function* (stream, over) {
    yield* stream;
    await delay(milliseconds, undefined, { signal: over });
  };
}

/** A running proxy. */
export class Proxy implements AsyncDisposable {
  readonly #listener = net.createServer({ allowHalfOpen: true });
  readonly #sockets = new Set<net.Socket>();
  readonly #pipes = new Set<Promise<void>>();

  /** @param port the server's */
  constructor(readonly target: number, readonly faults: Faults) {
    this.#listener.on("connection", (client) => this.#host(client));
  }

  /** Its own port. */
  get port(): number {
    const address = this.#listener.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  /** Accepts from here on. */
  async listen(): Promise<void> {
    this.#listener.listen(0, "127.0.0.1");
    await once(this.#listener, "listening");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#listener, "close");
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#pipes);
    await closed;
  }

  #host(client: net.Socket): void {
    const server = net.connect({ port: this.target, host: "127.0.0.1", allowHalfOpen: true });
    const over = new AbortController();
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {}); // the pipe that uses it is told as well
      socket.on("close", () => {
        this.#sockets.delete(socket);
        if (client.destroyed && server.destroyed) over.abort();
      });
    }
    this.#pipe(client, server, this.faults.up ?? [], over.signal);
    this.#pipe(server, client, this.faults.down ?? [], over.signal);
  }

  #pipe(from: net.Socket, to: net.Socket, faults: readonly Fault[], over: AbortSignal): void {
    // A fault that stops listening must not close the socket by that.
    const bytes: Stream = from.iterator({ destroyOnReturn: false });
    const stream = faults.reduce((stream, fault) => fault(stream, over), bytes);
    const pipe = pump(stream, to).catch((error) => {
      for (const socket of [from, to]) {
        if (error instanceof Reset) socket.resetAndDestroy();
        else socket.destroy();
      }
    });
    this.#pipes.add(pipe);
    pipe.then(() => this.#pipes.delete(pipe));
  }
}

/** Starts a proxy to a port of this machine. */
export async function startProxy(port: number, faults: Faults): Promise<Proxy> {
  const proxy = new Proxy(port, faults);
  await proxy.listen();
  return proxy;
}

/** Writes all of a stream, then half-closes. */
async function pump(stream: Stream, to: net.Socket): Promise<void> {
  for await (const chunk of stream) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    to.write(chunk, (error) => error ? reject(error) : resolve());
    await promise; // else a reset would throw it away
  }
  to.end();
}

/** The first bytes of a stream. */
async function* first(bytes: number, stream: Stream): Stream {
  let left = bytes;
  for await (const chunk of stream) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

/** A stream and its end, read ahead, each chunk with the time that it is due. */
function dated(stream: Stream, late: number): ReadableStream<{ chunk: Uint8Array; due: number }> {
  const dated = (chunk: Uint8Array) => ({ chunk, due: performance.now() + late });
  return new ReadableStream({
    async start(ahead) {
      for await (const chunk of stream) ahead.enqueue(dated(chunk));
      ahead.enqueue(dated(new Uint8Array()));
      ahead.close();
    },
  });
}
