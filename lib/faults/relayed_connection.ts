/** A client's connection and one to a server: each is sent what the other receives. */

import { type Addr, type Endpoint, formatEndpoint } from "../net/address.ts";
import { close, type Conn, reader, type ServerConn } from "../net/conn.ts";
import { ConnectError, describeConnectError } from "../net/errors.ts";
import { connectSocket, type SocketConn } from "../net/node_socket.ts";
import { timeLimit } from "../wait.ts";
import type { ConnectionFaults } from "./faults.ts";
import { FaultyConn, type FaultyOwner } from "./faulty_conn.ts";

/** Milliseconds that connecting to the server may take: less than the admission of a client. */
const CONNECT_LIMIT = 8000;
/** The first and the largest read, in bytes. */
const FIRST_READ = 1024, LARGEST_READ = 65536;
/** Milliseconds that a peer may take to close once the connection has been ended. */
const LINGER = 2000;
/** A connection is at rest when no byte has passed for this long, in ms. */
const PAUSE = 50;

/** One side of a relayed connection: some have faults, and some return bytes without a copy. */
type Side = Conn & Partial<Pick<SocketConn, "take"> & Omit<FaultyConn, keyof Conn>>;

/** The end of a relayed connection: by the client (`left`), the server (`done`), either's reset, or from here. */
export type RelayEnding = "left" | "done" | "reset" | "idle" | "stopped" | "cut" | "failed";

/** A relayed connection. To a server's callbacks it is a client, of which there are no messages. */
export class RelayedConnection<State = unknown> {
  readonly addr: Addr;
  readonly localAddr: Addr | undefined;
  readonly messages = 0;
  readonly isHealthCheck = false;
  readonly write = (): boolean => false; // all that the client receives is the server's
  readonly drained = (): Promise<boolean> => Promise.resolve(false);
  state = undefined as State;
  /** Bytes from the client. */
  bytes = 0;
  /** Bytes to the client. */
  replied = 0;
  /** Called with each fault that happens; a delay's value is in ms. */
  report: FaultyOwner["report"] = () => {};
  /** Called when the client has half-closed. */
  onEof = (): void => {};
  /** Called when it is over. */
  onEnd = (_ending: RelayEnding): void => {};

  #sides: Side[]; // the client's and, once there is one, the server's
  readonly #halfClosed = new Set<Side>();
  readonly #abort = new AbortController();
  readonly signal: AbortSignal = this.#abort.signal;
  #state: "open" | "ending" | "over" = "open"; // while it ends, what comes is discarded
  #ending: RelayEnding | undefined; // the first reason counts
  #isAwaited = false; // the client sent last: the server may be about to answer
  #activeAt = performance.now(); // when a byte last passed
  #cancel = (): void => {}; // what is to happen in a while
  #silentSince = 0;
  #silentFrom = 0;

  /** @param conn the client's, owned from here on */
  constructor(readonly conn: ServerConn, protected faults?: ConnectionFaults) {
    this.addr = conn.remoteAddr;
    this.localAddr = conn.localAddr;
    this.#sides = [conn];
  }

  get idle(): number {
    return Math.round(performance.now() - this.#activeAt);
  }

  /**
   * Connects to the server. If that fails, the client is closed; it is reset if the server refused.
   *
   * @throws {ConnectError} unless it was cut meanwhile
   */
  async connect(server: Endpoint): Promise<void> {
    this.#cancel = timeLimit(CONNECT_LIMIT, () => this.#abort.abort());
    try {
      const conn = await connectSocket(server, this.signal);
      this.#cancel();
      conn.setNoDelay();
      if (this.signal.aborted) conn.close(); // it was cut meanwhile
      this.signal.throwIfAborted();
      this.#sides = [this.conn, conn].map((side, at) =>
        this.faults ? new FaultyConn(side, this.faults.planStream(at === 1), this) : side
      );
    } catch (error) {
      if (this.#state === "over") throw error; // it was cut
      const why = this.signal.aborted
        ? `no answer within ${CONNECT_LIMIT / 1000}s`
        : describeConnectError(error, server).replace(/--(host and --port|host|unix)/, "--to");
      if (error instanceof Deno.errors.ConnectionRefused) this.reset();
      this.cut("failed");
      throw new ConnectError(formatEndpoint(server), why, error);
    }
  }

  /** Changes the faults of the bytes from here on. */
  change(faults: ConnectionFaults): void {
    this.faults = faults;
    this.#sides.forEach((side, at) => side.change?.(faults.planStream(at === 1)));
  }

  /** Relays until both directions have ended, once it is connected; never rejects. */
  async run(): Promise<void> {
    const [client, server] = this.#sides as [Side, Side];
    await Promise.all([this.#pump(client, server), this.#pump(server, client)]);
    this.cut("done");
    this.onEnd(this.#ending ?? "done");
  }

  /** Ends both directions: what is due is sent, then end-of-file. */
  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.#ending ??= "done";
    this.#cancel();
    this.#cancel = timeLimit(LINGER, () => this.cut("done"));
    for (const side of this.#sides) void this.#halfClose(side).catch(() => {});
  }

  /** Resets both connections. */
  reset(): void {
    this.cut("reset", (side) => (side.reset ?? side.close).call(side));
  }

  /** Closes both connections at once; a second time does nothing. */
  cut(ending: RelayEnding, closes: (side: Side) => void = close): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#ending ??= ending;
    this.#cancel();
    this.#sides.forEach(closes);
    this.#abort.abort(); // afterwards: it would close the connection to the server
  }

  /** Ends it once it is at rest: a client that waits for the server goes on waiting. */
  stop(): void {
    if (this.#state !== "open") return; // it ends by itself
    for (const side of this.#sides) side.skipDelays?.();
    this.#cancel = timeLimit(PAUSE, () => {
      if (this.idle < PAUSE || this.#isAwaited || this.#isPacing) return this.stop();
      this.#ending ??= "stopped";
      const [, server] = this.#sides;
      if (server) void this.#halfClose(server).catch(() => {}); // its end-of-file will be the client's
    });
  }

  /** Milliseconds of a clock for which no byte has passed, and none waited for its own time. */
  silentFor(clock: number): number {
    if (this.#isPacing || this.#silentFrom !== this.#activeAt) this.#silentSince = clock;
    this.#silentFrom = this.#activeAt;
    return clock - this.#silentSince;
  }

  get #isPacing(): boolean {
    return this.#sides.some(({ isPacing }) => isPacing);
  }

  async #pump(from: Side, to: Side): Promise<void> {
    const isUp = from === this.#sides[0];
    const take = from.take?.bind(from) ?? reader(from, FIRST_READ, LARGEST_READ);
    try {
      for (let bytes; (bytes = await take()) !== null;) {
        if (this.#state !== "open" || this.#halfClosed.has(to)) continue;
        this.#isAwaited = isUp;
        this.#activeAt = performance.now();
        for (let left = bytes; left.length > 0 && this.#state === "open";) {
          const count = await to.write(left);
          this.#activeAt = performance.now();
          this[isUp ? "bytes" : "replied"] += count;
          left = left.subarray(count);
        }
      }
      this.#ending ??= isUp ? "left" : "done";
      if (isUp) this.onEof();
      await this.#halfClose(to);
    } catch {
      this.reset(); // of whichever failed: the other learns of it
    }
  }

  async #halfClose(side: Side): Promise<void> {
    if (this.#halfClosed.has(side)) return;
    this.#halfClosed.add(side);
    await side.closeWrite();
  }
}
