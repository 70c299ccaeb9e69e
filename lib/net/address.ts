/** Addresses and hosts: their shapes, those of Deno, and how they are formatted, parsed, resolved. */

import { mustBe } from "../checks.ts";

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

/** The place of a server, as options name it. */
export interface Endpoint {
  readonly hostname?: string | undefined;
  readonly port?: number | undefined;
  readonly path?: string | undefined;
}

/** Formats the place of a server: `127.0.0.1:6969`, `[::1]:6969`, `/run/echo.sock`. */
export function formatEndpoint({ hostname = "127.0.0.1", port = 0, path }: Endpoint): string {
  return path ?? (hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`);
}

/**
 * Formats the address of a listener, or of one end of a connection. An IPv4 address of an IPv6
 * socket is formatted as IPv4.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { formatAddress } from "@readback/readback";
 *
 * assertEquals(formatAddress({ transport: "tcp", hostname: "::1", port: 6969 }), "[::1]:6969");
 * assertEquals(formatAddress({ transport: "unix", path: "/run/echo.sock" }), "/run/echo.sock");
 * ```
 *
 * @returns `unix` for a Unix socket without a path
 */
export function formatAddress(addr: Addr): string {
  if (!("hostname" in addr)) return addr.path || "unix";
  const hostname = addr.hostname.replace(/^::ffff:(?=\d+\.)/, "");
  return formatEndpoint({ hostname, port: addr.port });
}

/**
 * Reads an option that is a host: an address or a name. An IPv6 address may be in brackets.
 * @throws {RangeError} if it is neither
 */
export function addressOrName(text: string): string {
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  const [, scheme] = /^(\w+):\/\//.exec(text) ?? [];
  if (scheme !== undefined) {
    mustBe(`HOST:PORT or tcp://HOST:PORT: messages are sent over plain TCP, not ${scheme}`);
  }
  if (/^\d+$/.test(text)) mustBe(`an address or a name; for a port, write --port ${text}`);
  if (/^(\[.*\]|[^:]*):\d+$/.test(bare)) {
    mustBe("an address or a name alone; give the port separately");
  }
  const isHost = bare !== "" && !/[[\]]/.test(bare) && asciiHost(bare) !== undefined;
  if (!isHost) mustBe("an address or a name");
  return bare;
}

/** Splits `HOST:PORT`, `[ADDRESS]:PORT` and `tcp://HOST:PORT` into host and port, if it has both. */
export function cutPort(text: string): string[] {
  const place = text.replace(/^tcp:\/\/([^/]+)\/?$/, "$1");
  const [, host, port] = /^(\[.*\]|[^:]+):([^:/]+)$/.exec(place) ?? [];
  return host === undefined || port === undefined ? [place] : [host, port];
}

/**
 * Returns a host in ASCII, as browsers do: `bücher.example` is `xn--bcher-kva.example`.
 * @returns undefined if it can't be a host's name
 */
export function asciiHost(hostname: string): string | undefined {
  if (/^\p{ASCII}*$/u.test(hostname)) return hostname;
  return /[\s/?#@:\\]/.test(hostname) ? undefined : URL.parse(`http://${hostname}`)?.hostname;
}

/** Returns whether a host is an IP address, not a name. */
export function isAddress(hostname: string): boolean {
  return /^[\d.]+$|:/.test(hostname);
}

/**
 * Returns an IP address as the runtime writes it, without its zone; IPv4 in IPv6 as IPv4. Any other
 * text is returned as it is.
 */
export function canonical(address: string): string {
  const host = formatEndpoint({ hostname: address.replace(/%.*/, "") });
  const { hostname = address } = URL.parse(`http://${host}`) ?? {};
  const [, high, low = ""] = /^\[::ffff:(\w+):(\w+)\]$/.exec(hostname) ?? [];
  if (high !== undefined) return new URL(`http://0x${high}${low.padStart(4, "0")}`).hostname;
  return hostname.replace(/[[\]]/g, "");
}

/**
 * Returns a name's addresses of one version of IP, or of both, in the system's order; an address as
 * it is.
 * @throws {TypeError} if it has none
 */
export async function addressesOf(hostname: string, family?: 4 | 6): Promise<string[]> {
  let addresses = [hostname];
  if (!isAddress(hostname)) {
    const { lookup } = await import("node:dns/promises"); // for names only: a quarter of the startup
    const found = await lookup(asciiHost(hostname) ?? hostname, { all: true });
    addresses = [...new Set(found.map(({ address }) => address))];
  }
  if (family === undefined) return addresses;
  const suitable = addresses.filter((address) => address.includes(":") === (family === 6));
  if (suitable.length > 0) return suitable;
  throw new TypeError(`it has no IPv${family} address: check --host, or leave out --ipv${family}`);
}

/** Explains an address that may have been meant as another address and a port: `::1:7000`. */
export function bracketHint(hostname: string): string {
  const [, address, port] = /^(.*:.*):(\d+)$/.exec(hostname) ?? [];
  const isLikely = port !== undefined && URL.canParse(`http://[${address}]`);
  return isLikely ? ` (for port ${port} of ${address}, write [${address}]:${port})` : "";
}
