/** UDP sockets, over `node:dgram`, since those of Deno need an unstable flag; and a client's socket. */

import type { Socket } from "node:dgram";
import { addressesOf, canonical, formatEndpoint, type NetAddr } from "./address.ts";
import { ConnectError, describeConnectError } from "./errors.ts";
import { close } from "./conn.ts";
import { untilEvent } from "./node_socket.ts";
import { BY_LF, concat, endingOf, type Framing } from "../wire/framing.ts";

/** The most bytes of a datagram. */
export const MAX_DATAGRAM = 65507;

/**
 * Opens a socket that receives from any address. In Deno 2.9 `connect` would not change that, nor
 * report a closed port.
 * @param address an IP address
 * @param port the port; 0 takes a free one
 * @throws {Error} as Deno.listen does
 */
export async function bind(address: string, port: number): Promise<Socket> {
  // Imported here: it takes a good part of a program's startup.
  const { createSocket } = await import("node:dgram");
  const family = address.includes(":") ? 6 : 4;
  // Only addresses come here. Node's own lookup costs a quarter of a reply's time, and makes what
  // bind() throws without permission impossible to catch.
  const socket = createSocket({
    type: `udp${family}`,
    lookup: (address, _, found) => found(null, address, family),
  });
  await untilEvent(socket, "listening", () => socket.bind(port, address));
  return socket;
}

/**
 * Sends a datagram. Never rejects.
 * @returns null once it is sent, which does not mean that it arrives; otherwise the reason
 */
export async function send(socket: Socket, datagram: Uint8Array, addr: NetAddr) {
  const error = await new Promise<Error | null>((done) =>
    socket.send(datagram, addr.port, addr.hostname, done)
  );
  return error && describeSendError(error, addr);
}

/** Explains in a sentence why a datagram was not sent. */
function describeSendError(error: Error, addr: NetAddr): string {
  const place = formatEndpoint(addr);
  const { state } = Deno.permissions.querySync({ name: "net", host: place });
  // Deno gives no reason, whatever it is.
  const reason = /UNKNOWN/.test(error.message)
    ? "the system refuses: the address is a broadcast address, or has no route"
    : error.message;
  const why = state === "granted" ? reason : "permission denied: run it with --allow-net";
  return `cannot send to ${place}: ${why}`;
}

/** Returns the address of a socket, or of a datagram's sender. */
export function addrOf({ address, port }: { address: string; port: number }): NetAddr {
  return { transport: "udp", hostname: address, port };
}

/** The loopback address for a wildcard address, to which datagrams can't be sent everywhere. */
const LOOPBACK: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
/** Addresses of more than one receiver: broadcast, multicast. */
export const GROUP = /^(255\.255\.255\.255$|22[4-9]\.|23\d\.|ff[0-9a-f]{2}:)/i;

/** Callbacks for what happens to a socket. */
export interface DatagramHandlers {
  /** The server sent this, without its ending; the handler may keep it. */
  received(reply: Uint8Array): void;
  /** The system reported that no program receives at the port; the socket is still usable. */
  refused?(error: Error): void;
  /** The socket is no longer usable. */
  failed(error: Error): void;
}

/** The client's end of a conversation over UDP. The messages of its errors are sentences. */
export class DatagramSocket implements Disposable {
  #handlers: DatagramHandlers | undefined;
  #sending = Promise.resolve(); // one after the other: else they leave in any order
  #isUsable = true;
  #failure: Error | undefined; // before there were handlers

  private constructor(readonly socket: Socket, readonly addr: NetAddr, readonly framing: Framing) {
    socket.on("message", (datagram, from) => {
      // In Deno, a connected socket receives from anybody. The zone of a link-local address may be left out.
      const { hostname, port } = addr;
      const isServer = from.port === port &&
        (from.address === hostname || canonical(from.address) === canonical(hostname));
      const end = datagram.length - endingOf(datagram, framing).length;
      if (isServer) this.#handlers?.received(new Uint8Array(datagram.subarray(0, end)));
    });
    socket.on("error", (error) => this.#report(error));
    socket.connect(addr.port, addr.hostname); // at once: bind() gave it a lookup that is
  }

  /**
   * Opens a socket for a server: of a name's addresses, the first, IPv4 before IPv6. Nothing is
   * sent yet, so a server that does not exist is not noticed here.
   * @param framing with `line`, each message is sent with LF; with `raw`, a reply has no ending
   * @throws {ConnectError} if the name is unknown, or there is no permission
   */
  static async connect(hostname: string, port: number, framing: Framing = "auto") {
    try {
      const address = bestOf(await addressesOf(hostname)) ?? hostname;
      if (GROUP.test(address)) {
        throw new Error("that is the address of a group: use the address of one server");
      }
      const addr = addrOf({ address: LOOPBACK[address] ?? address, port });
      return new DatagramSocket(await bind(localFor(addr.hostname), 0), addr, framing);
    } catch (error) {
      const why = describeConnectError(error);
      throw new ConnectError(formatEndpoint({ hostname, port }), why, error);
    }
  }

  /** Sets the callbacks. */
  listen(handlers: DatagramHandlers): void {
    this.#handlers = handlers;
    if (this.#failure !== undefined) handlers.failed(this.#failure);
  }

  /**
   * Sends a message, after those before it.
   * @throws {Error} if it does not fit in a datagram
   */
  send(message: Uint8Array): void {
    const datagram = this.framing === "line" ? concat([message, BY_LF]) : message;
    if (datagram.length > MAX_DATAGRAM) {
      const most = `at most ${MAX_DATAGRAM} fit`;
      throw new Error(`a message of ${message.length} bytes is too long for a datagram: ${most}`);
    }
    this.#sending = this.#sending.then(async () => {
      if (!this.#isUsable) return;
      const error = await new Promise<Error | null>((done) => this.socket.send(datagram, done));
      if (error) this.#report(error);
    });
  }

  /** Node reports that a port is closed; Deno 2.9, whose sockets are never really connected, does not. */
  #report(error: Error): void {
    if ((error as { code?: unknown }).code !== "ECONNREFUSED") {
      this.#failure = new Error(describeSendError(error, this.addr));
      this.#isUsable = false;
      return this.#handlers?.failed(this.#failure);
    }
    const why = "no program receives there: start a server, or check --host and --port";
    this.#handlers?.refused?.(new ConnectError(formatEndpoint(this.addr), why, error));
  }

  /** Closes the socket. */
  [Symbol.dispose](): void {
    this.#isUsable = false;
    close(this.socket);
  }
}

/** The first of a name's addresses, IPv4 before IPv6. */
export function bestOf(addresses: readonly string[]): string | undefined {
  return addresses.find((address) => !address.includes(":")) ?? addresses[0];
}

/** The local address to send from: for loopback, one that receives nothing from outside. */
function localFor(address: string): string {
  if (address === "127.0.0.1" || address === "::1") return address;
  return address.includes(":") ? "::" : "0.0.0.0";
}
