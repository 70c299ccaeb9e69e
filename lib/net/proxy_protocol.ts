/**
 * The PROXY protocol, versions 1 and 2, by which a proxy tells its client's address
 * (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
 */

import type { BlockList } from "node:net";
import { mustBe } from "../checks.ts";
import { type Addr, canonical, formatAddress, type NetAddr } from "./address.ts";
import { type ServerConn, WrappedConn } from "./conn.ts";

/** The content of a header. */
export interface ProxyHeader {
  /** The header's length in bytes. What follows is the client's. */
  readonly length: number;
  /** The client's address; `unknown` if the proxy gives none; `local` for its own health check. */
  readonly client: NetAddr | "unknown" | "local";
  /** The address that the client connected to, if the proxy gives it. */
  readonly target?: NetAddr;
}

/** The most bytes of a line of version 1, with its CRLF. */
const LONGEST_LINE = 107;
/** The most bytes of a header of version 2: room for everything that proxies put into one. */
const LONGEST = 4096;

const LINE = "PROXY ";
const SIGNATURE = "\r\n\r\n\0\r\nQUIT\n";
/** The bytes of the fixed part of a header of version 2. */
const FIXED = 16;
/** The bytes of both addresses in version 2, by family: none, IPv4, IPv6, Unix. */
const ADDRESSES = [0, 12, 36, 216];
const [TCP4, TCP6] = [0x11, 0x21];

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const IPV6 = /^[\da-f:.]+$/i;
const PORT = /^(?:0|[1-9]\d{0,4})$/;

/**
 * Reads the header at the beginning of what a proxy sent. Pure.
 * @returns null while bytes are missing
 * @throws {Error} as soon as the bytes can't be a header
 */
export function readHeader(bytes: Uint8Array): ProxyHeader | null {
  // A line, and one byte more, as Latin-1, in which any byte is a character.
  const text = String.fromCharCode(...bytes.subarray(0, LONGEST_LINE + 1));
  if (LINE.startsWith(text.slice(0, LINE.length))) return readLine(text);
  if (SIGNATURE.startsWith(text.slice(0, SIGNATURE.length))) return readBinary(bytes);
  throw new Error("it sent no PROXY header");
}

/**
 * Returns an `onAccept` for {@linkcode serve} that takes the client's address from the PROXY header
 * of trusted proxies. From other addresses, no header is read. A client with a malformed header is
 * refused.
 *
 * A connection that the proxy makes for itself (`LOCAL`, or with its own two addresses) is a health
 * check. Health checks are answered, but not reported (`isHealthCheck` of {@linkcode ServerConn}). One that ends
 * before its header is ignored. A client without an address (`UNKNOWN`, a Unix socket) gets the
 * proxy's. Limit: HAProxy sends `LOCAL` in version 2 also for clients of its Unix sockets.
 *
 * Not for TLS: proxies send the header before the handshake, so let the proxy do the TLS.
 *
 * ```ts
 * import { proxyProtocol, serve } from "@readback/readback";
 *
 * await using server = serve((message, reply, client) => reply.write(message), {
 *   onAccept: proxyProtocol("127.0.0.1,10.0.0.0/8"),
 * });
 * ```
 *
 * @param trusted addresses or networks of proxies, separated by commas
 * @throws {RangeError} if one is malformed
 */
export function proxyProtocol(trusted: string): (conn: ServerConn) => Promise<ServerConn | null> {
  const proxies = readNetworks(trusted.split(","));
  return async (conn) => {
    const { remoteAddr: proxy } = conn;
    if (!("hostname" in proxy)) return conn;
    const family = proxy.hostname.includes(":") ? "ipv6" : "ipv4";
    if (!(await proxies).check(proxy.hostname, family)) return conn;
    const bytes = new Uint8Array(LONGEST);
    for (let length = 0;;) {
      const count = await conn.read(bytes.subarray(length)).catch((error) => {
        if (error instanceof Deno.errors.ConnectionReset) return null; // some health checks end so
        throw error;
      });
      if (count === null) return null;
      length += count;
      const header = readHeader(bytes.subarray(0, length));
      if (header) return new ProxiedConn(conn, header, bytes.slice(header.length, length));
    }
  };
}

/** A proxy's connection after its header. */
class ProxiedConn extends WrappedConn {
  /** @param early what was received together with the header */
  constructor(conn: ServerConn, { client, target }: ProxyHeader, private early: Uint8Array) {
    super(conn);
    if (typeof client !== "string") this.remoteAddr = client;
    // Version 1 has no word for a health check: the proxy gives this connection's own two ends. One
    // of them alone can be a client's: on the proxy's machine, by chance from the same port.
    const isItself = isSame(this.remoteAddr, conn.remoteAddr) && isSame(target, conn.localAddr);
    this.isHealthCheck = isItself || client === "local";
  }

  override read(into: Uint8Array): Promise<number | null> {
    const early = this.early.subarray(0, into.length);
    if (early.length === 0) return super.read(into);
    into.set(early);
    this.early = this.early.subarray(early.length);
    return Promise.resolve(early.length);
  }
}

/** Reads version 1, a line of text. */
function readLine(text: string): ProxyHeader | null {
  const length = text.indexOf("\n") + 1;
  const least = length || text.length + 1;
  check(least <= LONGEST_LINE, `its line is longer than ${LONGEST_LINE} bytes`);
  if (length === 0) return null;
  check(text[length - 2] === "\r", "its line does not end in CRLF");
  const words = text.slice(0, length - 2).split(" ");
  const [, family, source = "", target = "", from = "", to = "", ...more] = words;
  if (family === "UNKNOWN") return { length, client: "unknown" };
  check(family === "TCP4" || family === "TCP6", "its family is not TCP4, TCP6 or UNKNOWN");
  const areRight = [source, target].every((text) => family === `TCP${versionOf(text)}`);
  check(areRight, `its addresses are not ${family}'s`);
  const areTwo = more.length === 0 && [from, to].every((port) => PORT.test(port) && +port <= 65535);
  check(areTwo, "its ports are not two numbers from 0 to 65535");
  return { length, client: addr(source, +from), target: addr(target, +to) };
}

/** Reads version 2: a fixed part, addresses, and extensions, which are skipped. */
function readBinary(bytes: Uint8Array): ProxyHeader | null {
  const [versionAndCommand = 0x20, familyAndProtocol = 0] = bytes.subarray(SIGNATURE.length);
  check(versionAndCommand >> 4 === 2, "its version is not 2");
  const command = versionAndCommand & 0xf;
  check(command <= 1, "its command is not LOCAL or PROXY");
  const kind = command === 0 ? 0 : familyAndProtocol; // of LOCAL, only the length matters
  const least = ADDRESSES[kind >> 4];
  check(least !== undefined && (kind & 0xf) <= 2, "its family or protocol is unknown");
  if (bytes.length < FIXED) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = FIXED + view.getUint16(14);
  check(length <= LONGEST, `it is longer than ${LONGEST} bytes`);
  check(length >= FIXED + least, "it has no room for its addresses");
  if (bytes.length < length) return null;
  if (command === 0) return { length, client: "local" };
  // UDP, a Unix socket or nothing: no address of use here
  if (kind !== TCP4 && kind !== TCP6) return { length, client: "unknown" };
  const size = kind === TCP4 ? 4 : 16;
  const end = (index: number) => {
    const ip = bytes.subarray(FIXED + index * size, FIXED + (index + 1) * size);
    return addr(ipOf(ip), view.getUint16(FIXED + 2 * size + 2 * index));
  };
  return { length, client: end(0), target: end(1) };
}

/** @throws {Error} if what a header must have is missing */
function check(isRight: boolean, why: string): asserts isRight {
  if (!isRight) throw new Error(`its PROXY header is malformed: ${why}`);
}

/** Returns the version of an IP address; undefined for any other text. */
function versionOf(text: string): 4 | 6 | undefined {
  if (IPV4.test(text)) return 4;
  return IPV6.test(text) && URL.canParse(`http://[${text}]`) ? 6 : undefined;
}

/** Formats the 4 or 16 bytes of an IP address. */
function ipOf(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replaceAll(/.{4}(?=.)/g, "$&:");
}

function isSame(one?: Addr, other?: Addr): boolean {
  return one !== undefined && other !== undefined && formatAddress(one) === formatAddress(other);
}

function addr(address: string, port: number): NetAddr {
  return { transport: "tcp", hostname: canonical(address), port };
}

/** Parses addresses and networks. Loads the list that compares them on demand: that takes 8 ms. */
function readNetworks(texts: readonly string[]): Promise<BlockList> {
  const networks = texts.map((text) => {
    const [, address = "", bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
    const version = versionOf(address);
    const most = version === 4 ? 32 : 128;
    const prefix = Number(bits ?? most);
    if (version === undefined || prefix > most) {
      mustBe("addresses or networks, like 127.0.0.1 or 10.0.0.0/8,fd00::/8");
    }
    return [address, prefix, `ipv${version}`] as const;
  });
  return import("node:net").then(({ BlockList }) => {
    const list = new BlockList();
    for (const network of networks) list.addSubnet(...network);
    return list;
  });
}
