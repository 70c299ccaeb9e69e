/** A socket that says datagrams to one server, and hears what that server says. */

import type { NetAddr } from "./addr.ts";
import type { Socket } from "node:dgram";
import { describeConnectError, formatEndpoint, resolve } from "./address.ts";
import { addrOf, bind, MOST_DATAGRAM, send } from "./udp.ts";

/** What is sent to any address of this machine goes to this one. */
const ANY: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/** Who is told what comes. */
export interface DatagramHandlers {
  /** The server said this; it may be kept. */
  heard(datagram: Uint8Array): void;
  /** The socket is of no use any more. */
  failed(error: Error): void;
}

/** The client's end of a conversation in datagrams. Its errors' messages are sentences. */
export class DatagramSocket implements Disposable {
  #listener: DatagramHandlers | undefined;
  #sending = Promise.resolve(); // one after the other: else they leave in any order
  #isClosed = false;

  private constructor(readonly socket: Socket, readonly addr: NetAddr) {
    socket.on("message", (datagram, from) => {
      // The socket hears strangers too.
      const isServer = from.port === addr.port && isSame(from.address, addr.hostname);
      if (isServer) this.#listener?.heard(new Uint8Array(datagram));
    });
    socket.on("error", (error) => this.#listener?.failed(error));
  }

  /**
   * Makes a socket for a server; of a name's addresses the first, IPv4 before IPv6.
   * That nobody is there can't be told: nobody replies then.
   * @throws {Error} whose message says why not
   */
  static async connect(hostname: string, port: number): Promise<DatagramSocket> {
    try {
      const address = bestOf(await resolve(hostname)) ?? hostname;
      const addr = addrOf({ address: ANY[address] ?? address, port });
      return new DatagramSocket(await bind(localFor(addr.hostname), 0), addr);
    } catch (error) {
      const why = describeConnectError(error);
      throw new Error(`cannot connect to ${formatEndpoint({ hostname, port })}: ${why}`, {
        cause: error,
      });
    }
  }

  /** Says from now on what comes. */
  listen(listener: DatagramHandlers): void {
    this.#listener = listener;
  }

  /** Sends a datagram, after those before it. */
  send(datagram: Uint8Array): void {
    this.#sending = this.#sending.then(async () => {
      if (this.#isClosed) return;
      const why = await send(this.socket, datagram, this.addr);
      if (why !== null) this.#listener?.failed(new Error(why));
    });
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    if (!this.#isClosed) this.socket.close();
    this.#isClosed = true;
  }
}

/** Of a name's addresses the first, IPv4 before IPv6. */
export function bestOf(addresses: readonly string[]): string | undefined {
  return addresses.find((address) => !address.includes(":")) ?? addresses[0];
}

/**
 * Checks that a message fits a datagram.
 * @throws {Error} where it does not
 */
export function checkLength(datagram: Uint8Array, message: Uint8Array): void {
  if (datagram.length <= MOST_DATAGRAM) return;
  throw new Error(`a message of ${message.length} bytes fits no datagram: ${MOST_DATAGRAM} do`);
}

/** Where to hear from when talking to an address: nobody from outside talks to the loopback. */
function localFor(address: string): string {
  if (address === "127.0.0.1" || address === "::1") return address;
  return address.includes(":") ? "::" : "0.0.0.0";
}

/** Whether two addresses are one, however written. */
function isSame(address: string, other: string): boolean {
  const canonical = (hostname: string) =>
    URL.parse(`http://${formatEndpoint({ hostname, port: 1 })}`)?.hostname ?? hostname;
  return address === other || canonical(address) === canonical(other);
}
