/** A network with faults: a TCP proxy for a test to put between a client and a server. */

import { type ChooseFaults, Faults, find } from "../faults/faults.ts";
import { type FaultSupport, readFaults } from "../faults/grammar.ts";
import { RelayedConnection } from "../faults/relayed_connection.ts";
import type { NetAddr } from "../net/address.ts";
import { acceptAll, type ServerConn } from "../net/conn.ts";
import { SocketListener } from "../net/node_socket.ts";

/** The server that a proxy leads to. */
export interface ProxyTarget {
  /** Its port. */
  readonly port: number;
  /**
   * Its address or name.
   * @default {"127.0.0.1"}
   */
  readonly hostname?: string;
}

/**
 * The faults of a proxy, in the words of `--fault`: those that need no messages. BYTES are
 * counted per connection and direction.
 */
export interface ProxyFaults {
  /** On the way to the server. */
  readonly up?: string;
  /** On the way to the client. */
  readonly down?: string;
  /** Determines what is random. Without, it is drawn. */
  readonly seed?: number;
}

const SUPPORT: FaultSupport = { transport: "tcp", resets: true, up: "tcp" };

/**
 * A proxy between clients and a server, until the end of the block that it is used in. It takes
 * `--allow-net`.
 *
 * ```ts
 * import { Proxy, startClient, startServer } from "@readback/readback/testing";
 *
 * await using server = await startServer();
 * await using proxy = await Proxy.start(server, { up: "slice=1", down: "delay=50ms" });
 * await using client = startClient(["--port", proxy.port, "--message", "hello"]);
 * await client.until(/\[hello\] .{24}\n/);
 * await client.ends(0);
 * proxy.faults = { down: "reset=10" }; // for those that come next
 * ```
 */
export class Proxy implements AsyncDisposable {
  #faults: ProxyFaults = {};
  #choose = parsed({});
  #listener: SocketListener | undefined; // the last one, when it is off
  #serving: Promise<void> | undefined;
  #isOn = false;
  #accepted = 0; // under these faults
  readonly #connections = new Set<RelayedConnection>();

  private constructor(readonly target: ProxyTarget) {}

  /**
   * Starts a proxy on a free port of 127.0.0.1. It accepts from here on.
   *
   * @throws {RangeError} if the faults can't be read; it says what would be right
   */
  static async start(target: ProxyTarget, faults: ProxyFaults = {}): Promise<Proxy> {
    const proxy = new Proxy(target);
    proxy.faults = faults;
    await proxy.on();
    return proxy;
  }

  /** Its own port, on 127.0.0.1. */
  get port(): number {
    return (this.#listener?.addr as Partial<NetAddr> | undefined)?.port ?? 0;
  }

  /**
   * The faults. Setting them affects all bytes from then on, on connections that are open too.
   * The counts of bytes and connections restart: `@c1` is the next connection then.
   */
  get faults(): ProxyFaults {
    return this.#faults;
  }

  set faults(faults: ProxyFaults) {
    this.#choose = parsed(faults);
    this.#faults = faults;
    this.#accepted = 0;
    for (const connection of this.#connections) connection.change(this.#choose(0));
  }

  /** Refuses connections until {@linkcode on}, and closes those that are open. */
  async off(): Promise<void> {
    this.#isOn = false;
    this.#listener?.[Symbol.dispose]();
    this.cut();
    await this.#serving;
  }

  /** Accepts connections again, on the same port. */
  async on(): Promise<void> {
    if (this.#isOn) return;
    this.#isOn = true;
    this.#listener = await SocketListener.open("127.0.0.1", this.port);
    this.#serving = acceptAll(this.#listener, (client) => this.#relay(client));
  }

  /** Closes all connections at once. */
  cut(): void {
    for (const connection of this.#connections) connection.cut("cut");
  }

  /** Resets all connections, on both sides. */
  reset(): void {
    for (const connection of this.#connections) connection.reset();
  }

  /** Cuts all connections, and accepts no more. */
  readonly close: () => Promise<void> = this.off;

  /** Closes it. */
  readonly [Symbol.asyncDispose]: () => Promise<void> = this.close;

  async #relay(client: ServerConn): Promise<void> {
    const faults = this.#choose(++this.#accepted);
    const refuse = find(faults.list, "refuse");
    if (refuse !== undefined) return refuse.reset ? client.reset?.() : client.close();
    client.setNoDelay?.();
    const connection = new RelayedConnection(client, faults);
    this.#connections.add(connection);
    // Where it can't connect, it has closed or reset the client.
    await connection.connect(this.target).then(() => connection.run(), () => {});
    this.#connections.delete(connection);
  }
}

/** @throws {RangeError} if the faults can't be read, or can't happen in a proxy */
function parsed({ up, down, seed }: ProxyFaults): ChooseFaults {
  const read = (text: string | undefined) => text === undefined ? [] : readFaults(text);
  const list = [...read(up).map((fault) => ({ ...fault, isUp: true })), ...read(down)];
  return Faults.from({ faults: new Faults(list, false, seed) }, SUPPORT) as ChooseFaults;
}
