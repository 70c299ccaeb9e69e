/** Addresses of sockets, as plain objects: those of Deno have the same shape. */

/**
 * The address of a TCP or UDP socket.
 *
 * ```ts
 * import { formatAddress, type NetAddr } from "@readback/readback";
 *
 * const addr: NetAddr = { transport: "tcp", hostname: "127.0.0.1", port: 6969 };
 * formatAddress(addr); // 127.0.0.1:6969
 * ```
 */
export interface NetAddr {
  /** The protocol. */
  readonly transport: "tcp" | "udp";
  /** An IP address, an IPv6 one without brackets. */
  readonly hostname: string;
  /** The port number, 1 to 65535. */
  readonly port: number;
}

/**
 * The address of a Unix socket.
 *
 * ```ts
 * import { formatAddress, type UnixAddr } from "@readback/readback";
 *
 * const addr: UnixAddr = { transport: "unix", path: "/run/echo.sock" };
 * formatAddress(addr); // /run/echo.sock
 * ```
 */
export interface UnixAddr {
  /** The protocol. */
  readonly transport: "unix" | "unixpacket";
  /** The path of the socket's file; empty for a client, whose socket has none. */
  readonly path: string;
}

/**
 * The address of a listener, or of one end of a connection.
 *
 * ```ts
 * import { type Addr, serve } from "@readback/readback";
 *
 * const refused: Addr[] = [];
 * await using _server = serve(() => {}, { onRefused: (addr) => refused.push(addr) });
 * ```
 */
export type Addr = NetAddr | UnixAddr;
