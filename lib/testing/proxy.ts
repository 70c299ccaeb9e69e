/** A network that has its faults: a TCP proxy for a test to put between a client and a server. */

import { once } from "node:events";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** The bytes of one direction of a connection, in pieces as they come. */
export type Bytes = AsyncIterable<Uint8Array>;

/**
 * What befalls the bytes of one direction; `over` aborts when the connection is. One of your own is
 * an `async function*`.
 */
export type Fault = (bytes: Bytes, over: AbortSignal) => Bytes;

/** The faults of each direction, which its bytes pass through in turn. */
export interface Faults {
  /** On the way to the server. */
  readonly up?: readonly Fault[];
  /** On the way to the client. */
  readonly down?: readonly Fault[];
}

/** The connection is to be closed here and now. */
class Cut extends Error {}

/** Both ends of the connection are to be reset. */
class Reset extends Error {}

/** Everything comes this many milliseconds late, end-of-file too. */
export function latency(milliseconds: number): Fault {
  return async function* (stream, over) {
    for await (const { chunk, due } of dated(stream, milliseconds)) {
      await delay(Math.max(0, due - performance.now()), undefined, { signal: over });
      yield chunk;
    }
  };
}

/** No more than this many bytes pass in a second. */
export function bandwidth(bytesPerSecond: number): Fault {
  return async function* (stream, over) {
    for await (const chunk of stream) {
      await delay(1000 * chunk.length / bytesPerSecond, undefined, { signal: over });
      yield chunk;
    }
  };
}

/** The bytes come in pieces of this size, each sent by itself. */
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

/** After this many bytes, both ends of the connection are closed. */
export function limit(bytes: number): Fault {
  return async function* (stream) {
    yield* first(bytes, stream);
    throw new Cut();
  };
}

/** After this many bytes, both ends of the connection are reset. */
export function resetAfter(bytes: number): Fault {
  return async function* (stream) {
    yield* first(bytes, stream);
    throw new Reset();
  };
}

/** After this many bytes, nothing comes any more, not even end-of-file. */
export function stall(bytes: number): Fault {
  return async function* (stream, over) {
    yield* first(bytes, stream);
    await once(over, "abort");
  };
}

/** End-of-file comes this many milliseconds late. */
export function slowClose(milliseconds: number): Fault {
  return async function* (stream, over) {
    yield* stream;
    await delay(milliseconds, undefined, { signal: over });
  };
}

/**
 * A proxy between clients and a server of this machine, until the end of the block that it is used
 * in. It takes `--allow-net`.
 *
 * ```ts
 * import { latency, Proxy, slices, startClient, startServer } from "@readback/readback/testing";
 *
 * await using server = await startServer();
 * await using proxy = await Proxy.start(server.port, { up: [slices(1)], down: [latency(50)] });
 * await using client = startClient(["--port", proxy.port, "--message", "hello"]);
 * await client.until(/\[hello\] .{24}\n/);
 * await client.ends(0);
 * ```
 */
export class Proxy implements AsyncDisposable {
  readonly #listener = net.createServer({ allowHalfOpen: true });
  readonly #sockets = new Set<net.Socket>();
  readonly #pipes = new Set<Promise<void>>();

  private constructor(readonly target: number, readonly faults: Faults) {
    this.#listener.on("connection", (client) => this.#host(client));
  }

  /**
   * Starts one; it accepts from here on.
   * @param port the server's port, on 127.0.0.1
   */
  static async start(port: number, faults: Faults = {}): Promise<Proxy> {
    const proxy = new Proxy(port, faults);
    proxy.#listener.listen(0, "127.0.0.1");
    await once(proxy.#listener, "listening");
    return proxy;
  }

  /** Its own port, also on 127.0.0.1. */
  get port(): number {
    const address = this.#listener.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  /** Cuts all connections, and accepts no more. */
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
    const bytes: Bytes = from.iterator({ destroyOnReturn: false });
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

/** Writes all of a stream, then half-closes. */
async function pump(stream: Bytes, to: net.Socket): Promise<void> {
  for await (const chunk of stream) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    to.write(chunk, (error) => error ? reject(error) : resolve());
    await promise; // else a reset would throw it away
  }
  to.end();
}

/** The first bytes of a stream. */
async function* first(bytes: number, stream: Bytes): Bytes {
  let left = bytes;
  for await (const chunk of stream) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

/** A stream and its end, read ahead, each chunk with the time that it is due. */
function dated(stream: Bytes, late: number): ReadableStream<{ chunk: Uint8Array; due: number }> {
  const dated = (chunk: Uint8Array) => ({ chunk, due: performance.now() + late });
  return new ReadableStream({
    async start(ahead) {
      for await (const chunk of stream) ahead.enqueue(dated(chunk));
      ahead.enqueue(dated(new Uint8Array()));
      ahead.close();
    },
  });
}
