/** UDP sockets, over `node:dgram`: those of Deno need an unstable flag. */

import type { NetAddr } from "./addr.ts";
import type { Socket } from "node:dgram";
import { formatEndpoint } from "./address.ts";
import { asDenoError } from "./node_errors.ts";

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
  const lookup: Lookup = (address, _, found) => found(null, address, family);
  const socket = createSocket({ type: `udp${family}`, lookup });
  try {
    await new Promise<void>((done, fail) => {
      socket.once("error", fail);
      socket.bind(port, address, done);
    });
    socket.removeAllListeners("error");
    return socket;
  } catch (error) {
    socket.close();
    throw asDenoError(error);
  }
}

type Lookup = (
  address: string,
  options: unknown,
  found: (error: null, address: string, family: number) => void,
) => void;

/**
 * Sends a datagram. Never rejects.
 * @returns null once it is sent, which does not mean that it arrives; otherwise the reason
 */
export async function send(
  socket: Socket,
  datagram: Uint8Array,
  { hostname, port }: NetAddr,
): Promise<string | null> {
  const error = await new Promise<Error | null>((done) =>
    socket.send(datagram, port, hostname, done)
  );
  return error && describeSendError(error, { hostname, port });
}

/** Explains in a sentence why a datagram was not sent. */
export function describeSendError(error: Error, addr: Omit<NetAddr, "transport">): string {
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
