/** Reports every read and write of a connection as it happens. */

import { type Listener, type ServerConn, wrapListener, WrappedConn } from "./conn.ts";

/**
 * One read or write of a connection, or a step of its life.
 *
 * ```ts
 * import type { TraceEvent } from "@readback/readback";
 *
 * // A line such as "peer data 6 bytes".
 * const line = ({ from, kind, data }: TraceEvent) => `${from} ${kind} ${data.length} bytes`;
 * ```
 */
export interface TraceEvent {
  /**
   * `connected`: the connection was accepted or made. `data`: one read returned, or one write took,
   * these bytes. `half-close`: one end will send no more, and may still receive. `end`: the other
   * end has followed. `reset`: one end aborted the connection. `cut`: this end closed it before
   * the peer had ended it.
   */
  readonly kind: "connected" | "data" | "half-close" | "end" | "reset" | "cut";
  /**
   * The end that acted: the data of `peer` was received, that of `self` was sent. A listener's
   * connections are connected by the peer.
   */
  readonly from: "peer" | "self";
  /** The bytes of `data`, empty otherwise: a view, valid until the callback returns. */
  readonly data: Uint8Array;
  /** Milliseconds on the clock of `performance.now()`. */
  readonly time: number;
}

/**
 * The callback of {@linkcode traced}. It runs inside the read or write that it reports, and must
 * not throw.
 *
 * ```ts
 * import { formatAddress, type Trace } from "@readback/readback";
 *
 * const log: string[] = [];
 * const trace: Trace = ({ kind }, conn) => log.push(`${formatAddress(conn.remoteAddr)} ${kind}`);
 * ```
 *
 * @param conn the connection that was given to `traced`, or accepted by the listener
 */
export type Trace = (event: TraceEvent, conn: ServerConn) => void;

const NOTHING = new Uint8Array();

/**
 * Wraps a connection so that every read and write is reported, and how it ends. A wrapped listener
 * wraps each connection that it accepts. Under TLS, the data is the plain text.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { listen, Peer, serve, type Trace, traced } from "@readback/readback";
 *
 * const lines: string[] = [];
 * const trace: Trace = ({ kind, from, data }) => {
 *   lines.push(`${from === "peer" ? ">" : "<"} ${kind} ${new TextDecoder().decode(data)}`.trim());
 * };
 * const listeners = (await listen()).map((listener) => traced(listener, trace));
 * await using server = serve((message, reply) => reply.write(message), { listeners });
 * using peer = await Peer.connect({ port: server.port, framing: "line" });
 * await peer.request("hello");
 * assertEquals(lines, ["> connected", "> data hello", "< data hello"]);
 * ```
 *
 * @param conn the connection to wrap, which belongs to the wrapper from then on
 * @param trace called for each event
 * @returns a connection or listener to use in its place
 */
export function traced(conn: ServerConn, trace: Trace): ServerConn & Disposable;
/**
 * Wraps a listener, likewise.
 *
 * @param listener the listener to wrap
 * @param trace called for each event, with the connection
 * @returns a listener to use in its place
 */
export function traced(listener: Listener, trace: Trace): Listener;
export function traced(inner: ServerConn | Listener, trace: Trace): ServerConn | Listener {
  if (!("accept" in inner)) return new TracedConn(inner, trace, "self");
  return wrapListener(inner, (conn) => new TracedConn(conn, trace, "peer"));
}

class TracedConn extends WrappedConn {
  readonly #ended = new Set<TraceEvent["from"]>();
  #isOver = false; // reset or closed

  constructor(conn: ServerConn, readonly trace: Trace, maker: TraceEvent["from"]) {
    super(conn);
    this.#tell("connected", maker);
  }

  override async read(into: Uint8Array): Promise<number | null> {
    const count = await super.read(into).catch((error) => this.#failed(error));
    if (count === null) this.#end("peer");
    else this.#tell("data", "peer", into.subarray(0, count));
    return count;
  }

  override async write(bytes: Uint8Array): Promise<number> {
    const count = await super.write(bytes).catch((error) => this.#failed(error));
    this.#tell("data", "self", bytes.subarray(0, count));
    return count;
  }

  override async closeWrite(): Promise<void> {
    await super.closeWrite();
    this.#end("self");
  }

  override close(): void {
    if (this.#ended.has("peer")) this.#end("self");
    else this.#over("cut", "self");
    this.#isOver = true;
    super.close();
  }

  override reset(): void {
    this.#over(this.conn.reset ? "reset" : "cut", "self");
    super.reset();
  }

  #end(from: TraceEvent["from"]): void {
    if (this.#ended.has(from) || this.#isOver) return;
    this.#ended.add(from);
    this.#tell(this.#ended.size > 1 ? "end" : "half-close", from);
  }

  #over(kind: "reset" | "cut", from: TraceEvent["from"]): void {
    if (!this.#isOver) this.#tell(kind, from);
    this.#isOver = true;
  }

  #failed(error: unknown): never {
    const { ConnectionReset, BrokenPipe } = Deno.errors;
    const isReset = error instanceof ConnectionReset || error instanceof BrokenPipe;
    if (isReset) this.#over("reset", "peer");
    throw error;
  }

  #tell(kind: TraceEvent["kind"], from: TraceEvent["from"], data: Uint8Array = NOTHING): void {
    this.trace({ kind, from, data, time: performance.now() }, this.conn);
  }
}
