/**
 * The PROXY protocol, versions 1 and 2, by which a proxy tells its client's address
 * (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
 */

import type { Addr, NetAddr } from "./address.ts";
import type { BlockList } from "node:net";
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

const [CR, LF] = [13, 10];
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
  if (begins(bytes, LINE)) return readLine(bytes);
  if (begins(bytes, SIGNATURE)) return readBinary(bytes);
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
    const { remoteAddr } = conn;
    const isProxy = "hostname" in remoteAddr &&
      (await proxies).check(remoteAddr.hostname, familyOf(remoteAddr.hostname));
    return isProxy ? await ProxiedConn.accept(conn, remoteAddr) : conn;
  };
}

/** A proxy's connection after its header. */
class ProxiedConn extends WrappedConn {
  #early: Uint8Array; // received together with the header

  private constructor(
    conn: ServerConn,
    readonly proxy: NetAddr,
    readonly header: ProxyHeader,
    early: Uint8Array,
  ) {
    super(conn);
    this.#early = early;
  }

  /** Reads the header. Returns null if the connection ends first. */
  static async accept(conn: ServerConn, proxy: NetAddr): Promise<ServerConn | null> {
    const bytes = new Uint8Array(LONGEST);
    for (let length = 0;;) {
      const count = await conn.read(bytes.subarray(length)).catch(nullIfReset);
      if (count === null) return null;
      length += count;
      const header = readHeader(bytes.subarray(0, length));
      if (header) return new ProxiedConn(conn, proxy, header, bytes.slice(header.length, length));
    }
  }

  override get remoteAddr(): Addr {
    return typeof this.header.client === "string" ? this.proxy : this.header.client;
  }

  override get isHealthCheck(): boolean {
    const { client, target } = this.header;
    // Version 1 has no word for a health check: the proxy gives this connection's own two ends. One
    // of them alone can be a client's: on the proxy's machine, by chance from the same port.
    const isItself = isSame(client, this.proxy) && isSame(target, this.conn.localAddr);
    return isItself || client === "local";
  }

  override read(into: Uint8Array): Promise<number | null> {
    const early = this.#early.subarray(0, into.length);
    if (early.length === 0) return super.read(into);
    into.set(early);
    this.#early = this.#early.subarray(early.length);
    return Promise.resolve(early.length);
  }
}

/** Reads version 1, a line of text. */
function readLine(bytes: Uint8Array): ProxyHeader | null {
  const end = bytes.indexOf(LF);
  const length = end < 0 ? bytes.length : end + 1;
  if (length > LONGEST_LINE || (end < 0 && length === LONGEST_LINE)) {
    throw malformed(`its line is longer than ${LONGEST_LINE} bytes`);
  }
  if (end < 0) return null;
  if (bytes[end - 1] !== CR) throw malformed("its line does not end in CRLF");
  const line = text(bytes.subarray(0, end - 1));
  const [, family, source = "", target = "", ...ports] = line.split(" ");
  if (family === "UNKNOWN") return { length, client: "unknown" };
  if (family !== "TCP4" && family !== "TCP6") {
    throw malformed("its family is not TCP4, TCP6 or UNKNOWN");
  }
  const is = family === "TCP4" ? IPV4.test.bind(IPV4) : isIPv6;
  if (!is(source) || !is(target)) throw malformed(`its addresses are not ${family}'s`);
  if (ports.length !== 2 || !ports.every(isPort)) {
    throw malformed("its ports are not two numbers from 0 to 65535");
  }
  const [from, to] = ports.map(Number) as [number, number];
  return { length, client: addr(source, from), target: addr(target, to) };
}

/** Reads version 2: a fixed part, addresses, and extensions, which are skipped. */
function readBinary(bytes: Uint8Array): ProxyHeader | null {
  const [versionAndCommand = 0x20, familyAndProtocol = 0] = bytes.subarray(SIGNATURE.length);
  if (versionAndCommand >> 4 !== 2) throw malformed("its version is not 2");
  const command = versionAndCommand & 0xf;
  if (command > 1) throw malformed("its command is not LOCAL or PROXY");
  const least = ADDRESSES[familyAndProtocol >> 4];
  const isLocal = command === 0; // then only the length matters
  if (!isLocal && (least === undefined || (familyAndProtocol & 0xf) > 2)) {
    throw malformed("its family or protocol is unknown");
  }
  if (bytes.length < FIXED) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = FIXED + view.getUint16(14);
  if (length > LONGEST) throw malformed(`it is longer than ${LONGEST} bytes`);
  if (!isLocal && length < FIXED + (least ?? 0)) {
    throw malformed("it has no room for its addresses");
  }
  if (bytes.length < length) return null;
  if (isLocal) return { length, client: "local" };
  switch (familyAndProtocol) {
    case TCP4:
      return { length, client: ipv4(view, 16, 24), target: ipv4(view, 20, 26) };
    case TCP6:
      return { length, client: ipv6(view, 16, 48), target: ipv6(view, 32, 50) };
    default: // UDP, a Unix socket or nothing: no address of use here
      return { length, client: "unknown" };
  }
}

/** Takes a reset for an end: some health checks end so. */
function nullIfReset(error: unknown): null {
  if (error instanceof Deno.errors.ConnectionReset) return null;
  throw error;
}

/** Returns whether bytes begin as a text does, as far as they go. */
function begins(bytes: Uint8Array, text: string): boolean {
  return bytes.subarray(0, text.length).every((byte, at) => byte === text.charCodeAt(at));
}

/** Decodes bytes as Latin-1, in which any byte is a character. */
function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function malformed(why: string): Error {
  return new Error(`its PROXY header is malformed: ${why}`);
}

function isPort(text: string): boolean {
  return PORT.test(text) && Number(text) <= 65535;
}

function isIPv6(text: string): boolean {
  return IPV6.test(text) && URL.canParse(`http://[${text}]`);
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return address.includes(":") ? "ipv6" : "ipv4";
}

/** Reads an address and a port of a header of version 2. */
function ipv4(view: DataView, at: number, port: number): NetAddr {
  const bytes = Array.from({ length: 4 }, (_, more) => view.getUint8(at + more));
  return addr(bytes.join("."), view.getUint16(port));
}

/** Reads the same for IPv6. */
function ipv6(view: DataView, at: number, port: number): NetAddr {
  const groups = Array.from({ length: 8 }, (_, more) => view.getUint16(at + 2 * more).toString(16));
  return addr(groups.join(":"), view.getUint16(port));
}

/** Returns whether an address of a header is one that the runtime gave. */
function isSame(one: NetAddr | string | undefined, other: Addr | undefined): boolean {
  return typeof one === "object" && other !== undefined && "hostname" in other &&
    one.port === other.port && one.hostname === plain(other.hostname);
}

/** Makes an address as the runtime writes it. */
function addr(hostname: string, port: number): NetAddr {
  return { transport: "tcp", hostname: plain(hostname), port };
}

/** Returns an address as the runtime writes it, IPv4 in IPv6 as IPv4. */
function plain(address: string): string {
  if (familyOf(address) === "ipv4") return address;
  const shortest = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(shortest) ?? [];
  if (high === undefined || low === undefined) return shortest;
  return [high, low].map((half) => parseInt(half, 16)).flatMap((half) => [half >> 8, half & 255])
    .join(".");
}

/** Parses addresses and networks. Loads the list that compares them on demand: that takes 8 ms. */
function readNetworks(texts: readonly string[]): Promise<BlockList> {
  const networks = texts.map((text) => {
    const [, address = "", bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
    const most = IPV4.test(address) ? 32 : isIPv6(address) ? 128 : -1;
    const prefix = Number(bits ?? most);
    if (most < 0 || prefix > most) {
      throw new RangeError("must be addresses or networks, like 127.0.0.1 or 10.0.0.0/8,fd00::/8");
    }
    return [address, prefix, familyOf(address)] as const;
  });
  return import("node:net").then(({ BlockList }) => {
    const list = new BlockList();
    for (const network of networks) list.addSubnet(...network);
    return list;
  });
}
