/** A relay: connects each client to a server, and passes on what either of them sends. */

import { errorMessage, mustBe } from "../checks.ts";
import {
  FaultyRelayedConnection,
  RelayedConnection,
  type RelayEnding,
} from "../faults/relayed_connection.ts";
import type { Addr } from "../net/addr.ts";
import { addressOrName, cutPort, formatEndpoint } from "../net/address.ts";
import { close } from "../net/close.ts";
import type { ServerConn } from "../net/listener.ts";
import { connectSocket, type SocketConn } from "../net/node_socket.ts";
import { timeLimit } from "../wait.ts";
import { errorReporter, safely } from "./callbacks.ts";
import { FaultInjector } from "./fault_injector.ts";
import type { Client, Ending } from "./handler.ts";
import { type Served, Server } from "./serve.ts";
import { checkRelay, type RelayOptions, type RelayTarget } from "./serve_options.ts";

/** Milliseconds that connecting to the server may take: less than the admission of a client. */
const CONNECT_LIMIT = 8000;

/**
 * Relays connections to a server until {@linkcode Server.shutdown} or `signal`. Half-closes pass, and
 * resets too, from listeners that {@linkcode listen} opened with `resets`. A stop ends connections
 * at rest, and gives those that wait for the server as long as `grace`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, relay, serve } from "@readback/readback";
 *
 * await using server = serve((message, reply) => reply.write(message));
 * await using slow = relay({ port: server.port }, { faults: "delay=50ms,up:slice=1" });
 * using peer = await Peer.connect({ port: slow.port, framing: "line" });
 * assertEquals((await peer.request("hello")).text, "hello");
 * ```
 *
 * @param target the server, which need not run yet
 * @throws {Error} if it can't listen
 */
export function relay<State = void>(
  target: RelayTarget,
  options: RelayOptions<State> = {},
): Server<State> {
  checkRelay(target, options);
  const report = errorReporter(options.onError?.bind(options));
  const call = (callback: () => unknown) =>
    safely(callback, (error) => report(errorMessage(error), error));
  const up = target.path === undefined ? "tcp" : "unix";
  const faults = FaultInjector.of(options, call, up);
  let isReachable = true;
  const connect = async (client: RelayedClient<State>) => {
    try {
      await client.connect();
      isReachable = true;
    } catch (error) {
      const reason = errorMessage(error);
      call(() => options.onRefused?.(client.addr, reason));
      if (isReachable) report(reason, error);
      isReachable = false;
      throw new Refused();
    }
    return await options.onOpen?.(client) as State;
  };
  return new Server<State>(() => {}, {
    ...options,
    ...{ faults: undefined, seed: undefined },
    onOpen: (client) => connect(client as RelayedClient<State>),
    onError: ({ message, cause }) => void (cause instanceof Refused || report(message, cause)),
  }, (over) => {
    const onEof = (client: Client<State>) => call(() => options.onEof?.(client));
    return {
      refuses: (conn) => faults?.refuses(conn) ?? false,
      open: (conn) => new RelayedClient(conn, { target, faults, onEof, over }),
    };
  });
}

/** Reads a target as a command line has it: `HOST:PORT`, or a path, which has a `/`. */
export function readTarget(text: string): RelayTarget {
  if (text.includes("/") && !text.includes("://")) return { path: text };
  const [host = "", port = ""] = cutPort(text);
  const number = Number(port);
  if (!/^\d+$/.test(port) || number < 1 || number > 65535) {
    return mustBe("HOST:PORT, such as 127.0.0.1:6379, or the path of a Unix socket");
  }
  return { hostname: addressOrName(host), port: number };
}

/** A client was refused, and this was reported. */
class Refused extends Error {}

/** What the clients of a relay share. */
interface RelayConfig<State> {
  readonly target: RelayTarget;
  readonly faults: FaultInjector<State> | undefined;
  onEof(client: Client<State>): void;
  over(client: RelayedClient<State>, ending: Ending): void;
}

/** A client of a relay. */
class RelayedClient<State> implements Served<State> {
  readonly messages = 0;
  readonly addr: Addr;
  readonly isHealthCheck = false;
  state = undefined as State;
  #relayed: RelayedConnection | undefined; // from when the server is connected to
  #silentSince = 0;
  #seenAt = 0;
  readonly #abort = new AbortController();

  /** @param conn owned from here on */
  constructor(readonly conn: ServerConn, readonly config: RelayConfig<State>) {
    this.addr = conn.remoteAddr;
  }

  /** Connects to the server. */
  async connect(): Promise<void> {
    const { conn, config: { target, faults } } = this;
    const to = await this.#reach(target);
    const chosen = faults?.chosenFor(conn);
    this.#relayed = chosen
      ? new FaultyRelayedConnection(conn, to, chosen, faults?.reporter(this))
      : new RelayedConnection(conn, to);
    this.#relayed.onEof = () => this.config.onEof(this);
  }

  async run(): Promise<void> {
    await this.#relayed?.run();
    this.#abort.abort();
    this.config.over(this, this.#relayed?.ending ?? "cut");
  }

  stop(): void {
    this.#relayed?.stop();
  }

  end(): void {
    this.#relayed?.end();
  }

  cut(ending: Ending): void {
    this.#abort.abort();
    if (this.#relayed) this.#relayed.cut(ending as RelayEnding);
    else close(this.conn);
  }

  silentFor(clock: number): number {
    const { passedAt = 0, isPacing = false } = this.#relayed ?? {};
    if (isPacing || passedAt !== this.#seenAt) this.#silentSince = clock;
    this.#seenAt = passedAt;
    return clock - this.#silentSince;
  }
  get bytes(): number {
    return this.#relayed?.bytes ?? 0;
  }

  /** Bytes that were sent to the client. */
  get replied(): number {
    return this.#relayed?.replied ?? 0;
  }

  get localAddr(): Addr | undefined {
    return this.conn.localAddr;
  }

  get idle(): number {
    return Math.round(performance.now() - (this.#relayed?.passedAt ?? performance.now()));
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  write(): boolean {
    return false; // all that the client receives is the server's
  }

  drained(): Promise<boolean> {
    return Promise.resolve(false);
  }

  /** Connects; a server that refuses or resets the connection has the client's reset. */
  async #reach({ hostname: host = "127.0.0.1", port = 0, path }: RelayTarget): Promise<SocketConn> {
    const where = path === undefined ? { host, port } : { path };
    let isLate = false;
    const cancel = timeLimit(CONNECT_LIMIT, () => {
      isLate = true;
      this.#abort.abort();
    });
    try {
      return await connectSocket(where, this.#abort.signal);
    } catch (error) {
      const { ConnectionRefused, ConnectionReset } = Deno.errors;
      const isRefusal = error instanceof ConnectionRefused || error instanceof ConnectionReset;
      if (isRefusal) this.conn.reset?.();
      this.cut("failed");
      const why = isLate ? `no answer within ${CONNECT_LIMIT / 1000}s` : describe(error);
      const server = formatEndpoint({ hostname: host, port, path });
      throw new Error(`cannot connect to ${server}: ${why}`, { cause: error });
    } finally {
      cancel();
    }
  }
}

function describe(error: unknown): string {
  const { ConnectionRefused, NotFound } = Deno.errors;
  if (error instanceof ConnectionRefused || error instanceof NotFound) return "no server is there";
  const message = errorMessage(error);
  return /ENOTFOUND|EAI_/.test(message) ? "no such name" : message;
}
