/** UDP sockets, by `node:dgram`: Deno's own are behind an unstable flag. */

import type { NetAddr } from "./addr.ts";
import type { Socket } from "node:dgram";
import { formatEndpoint } from "./address.ts";
import { asDenoError } from "./node_errors.ts";

/** What a datagram holds, in bytes. */
export const MOST_DATAGRAM = 65507;

/**
 * Opens a socket. It hears everybody: its `connect` would not change that in Deno 2.9, nor
 * does it ever hear that a port is closed.
 * @param address no name
 * @param port 0 takes a free one
 * @throws {Error} as Deno.listen does
 */
export async function bind(address: string, port: number): Promise<Socket> {
  // Not at the top: it is a good part of the time that a program takes to start.
  const { createSocket } = await import("node:dgram");
  const family = address.includes(":") ? 6 : 4;
  // No name comes here. Node's own lookup costs a quarter of a reply, and with it nobody
  // could catch what bind() throws where Deno was not given the right.
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
 * @return why it was not sent, in a sentence; null where it was, which is not to say that it arrives
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
    ? "the system refuses to: is it a broadcast address, or without a route?"
    : error.message;
  const why = state === "granted"
    ? reason
    : "Deno was not given that right: run it with --allow-net";
  return `cannot send to ${place}: ${why}`;
}

/** A socket's own address, or that of a datagram. */
export function addrOf({ address, port }: { address: string; port: number }): NetAddr {
  return { transport: "udp", hostname: address, port };
}
