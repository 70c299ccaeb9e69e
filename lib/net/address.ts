/** Where a server is: parse, print, listen, connect. */

import type { Addr } from "./addr.ts";
import {
  booleanRule,
  checkOptions,
  errorMessage,
  portRule,
  type Rules,
  textRule,
} from "../checks.ts";
import { close } from "./close.ts";
import type { Listener, ServerConn } from "./listener.ts";
import { SocketListener } from "./node_socket.ts";
import { readPem } from "./pem.ts";
import { connectAs, describeTlsError, type Identity, secure } from "./tls.ts";
import { layTls, listenTls } from "./tls_listener.ts";
import { listenAtPath, takePath, TOO_LONG } from "./unix.ts";
import { type Trace, traced } from "./traced.ts";
import { sleep } from "../wait.ts";

/**
 * Where to listen.
 *
 * ```ts
 * import { listen, type ListenOptions, serve } from "@readback/readback";
 *
 * const everywhere: ListenOptions = { hostname: "localhost", port: 0 };
 * await using _server = serve(() => {}, { listeners: await listen(everywhere) });
 * ```
 */
export interface ListenOptions {
  /** An address, or a name: then at each of its addresses. @default {"127.0.0.1"} */
  hostname?: string | undefined;
  /** 0 takes a free one. @default {0} */
  port?: number | undefined;
  /** The path of a Unix socket, instead. */
  path?: string | undefined;
  /** TLS: the certificate, and those that vouch for it, PEM. */
  cert?: string | undefined;
  /** TLS: its key, PEM. */
  key?: string | undefined;
  /** Listen so that connections can be reset, as the faults `reset` and `refuse=reset` do; not on a Unix socket. @default {false} */
  resets?: boolean | undefined;
}

/**
 * Where a server is, and how to connect to it.
 *
 * ```ts
 * import { type ConnectOptions, Peer, serve } from "@readback/readback";
 *
 * await using server = serve(() => {});
 * const { port } = server.addr as Deno.NetAddr;
 * const patient: ConnectOptions = { port, timeout: 1000, wait: 5000 };
 * using _peer = await Peer.connect(patient);
 * ```
 */
export interface ConnectOptions {
  /** Its address or name. @default {"127.0.0.1"} */
  hostname?: string | undefined;
  /** Its port. @default {6969} */
  port?: number | undefined;
  /** The path of its Unix socket, instead. */
  path?: string | undefined;
  /** How long it may take, in ms. @default {0} for ever */
  timeout?: number | undefined;
  /** How long to try again while nobody is there, in ms. @default {0} */
  wait?: number | undefined;
  /**
   * Speak TLS: trust whom the system trusts and who is in `ca`; be who `cert` and its `key` say,
   * where the server asks. All PEM.
   */
  tls?:
    | { ca?: string | undefined; cert?: string | undefined; key?: string | undefined }
    | undefined;
  /** Gives up when aborted. */
  signal?: AbortSignal | undefined;
}

/** Where a server is, by the words of both. */
type Address = Pick<ListenOptions, "hostname" | "port" | "path">;

/** Where a server is, as people write it: `127.0.0.1:6969`, `[::1]:6969`, `/run/echo.sock`. */
export function formatEndpoint({ hostname = "127.0.0.1", port = 0, path }: Address): string {
  return path ?? (hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`);
}

/**
 * A connection's other end, or a listener's own, as people write it; IPv4 as such, on an IPv6 listener too.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { formatAddress } from "@readback/readback";
 *
 * assertEquals(formatAddress({ transport: "tcp", hostname: "::1", port: 6969 }), "[::1]:6969");
 * assertEquals(formatAddress({ transport: "unix", path: "/run/echo.sock" }), "/run/echo.sock");
 * ```
 */
export function formatAddress(addr: Addr): string {
  if (!("hostname" in addr)) return addr.path || "unix";
  return formatEndpoint({
    hostname: addr.hostname.replace(/^::ffff:(?=\d+\.)/, ""),
    port: addr.port,
  });
}

/** Reads an option that is an address or a name; an IPv6 address may be in brackets. */
export function addressOrName(text: string): string {
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  if (bare === "") throw new RangeError("must be an address or a name");
  if (/^\d+$/.test(text)) {
    throw new RangeError(`must be an address or a name; for a port, write --port ${text}`);
  }
  if (/^[^:]*:\d+$/.test(bare)) {
    throw new RangeError("must be an address or a name alone, its port apart");
  }
  return bare;
}

/** `HOST:PORT` or `[ADDRESS]:PORT` as its two parts; anything else as it is. */
export function cutPort(text: string): string[] {
  const [, host, port] = /^(\[.*\]|[^:]+):([^:]+)$/.exec(text) ?? [];
  return host === undefined || port === undefined ? [text] : [host, port];
}

const RULES: Rules<ListenOptions> = {
  hostname: textRule,
  port: portRule,
  path: textRule,
  cert: textRule,
  key: textRule,
  resets: booleanRule,
};

/** How many connections may wait to be accepted: at the default, 511, a burst of a thousand waits a second. */
const BACKLOG = 4096;
/** The pause before a server that is not up yet is tried again, in ms. */
const RETRY = 50;

/**
 * Listens on every address that a name has, all on one port.
 *
 * ```ts
 * import { listen, serve } from "@readback/readback";
 *
 * const listeners = await listen({ hostname: "localhost", port: 0 }); // 127.0.0.1 and ::1
 * await using _server = serve((message, reply) => reply.write(message), { listeners });
 * ```
 *
 * @param options with `cert` and `key`, to speak TLS
 * @throws {Error} whose message says why not, and what to do
 */
export async function listen(options: ListenOptions = {}): Promise<Listener[]> {
  checkOptions<ListenOptions>(options, RULES);
  const { hostname = "127.0.0.1", path } = options;
  try {
    if (path !== undefined) return [await takePath(path)];
    return await listenAll(await resolve(hostname), options);
  } catch (error) {
    throw new Error(
      `cannot listen on ${formatEndpoint(options)}: ${describeListenError(error, options)}`,
      {
        cause: error,
      },
    );
  }
}

/** A connection was not made. Its message is a sentence. */
export class ConnectError extends Error {
  /**
   * @param server where it should be, as people write it
   * @param why not, and what to do
   */
  constructor(server: string, readonly why: string, cause: unknown) {
    super(`cannot connect to ${server}: ${why}`, { cause });
  }
}

/** How the programs connect. */
export interface FamilyOptions extends ConnectOptions {
  /** Uses only the name's addresses of this version of IP. @default {undefined} any */
  readonly family?: 4 | 6 | undefined;
  /** Called for each read and write of the connection. */
  readonly trace?: Trace | undefined;
}

/** A connection, and how long each step of making it took, in ms. */
export interface Connected {
  readonly conn: ServerConn & Disposable;
  /** Resolving the name, if the host is one and the program may resolve names. */
  readonly resolve?: number;
  /** Connecting; resolving is part of it where `resolve` is missing. */
  readonly connect: number;
  /** The TLS handshake. */
  readonly handshake?: number;
}

/**
 * Connects to a server.
 * @throws {ConnectError} whose message says why not, and what to do
 */
export async function connect(options: FamilyOptions = {}): Promise<ServerConn & Disposable> {
  const attempt = options.family === undefined ? connectOnce : connectResolved;
  return (await retry(options, attempt)).conn;
}

/**
 * Connects to a server, and measures the steps of the attempt that succeeded.
 * @throws {ConnectError} whose message says why not, and what to do
 */
export async function connectTimed(options: FamilyOptions = {}): Promise<Connected> {
  return await retry(options, connectResolved);
}

/** Tries until an attempt succeeds, fails for good, or the time for it is over. */
async function retry(options: FamilyOptions, attempt: typeof connectOnce): Promise<Connected> {
  const { port = 6969, timeout = 0, wait = 0, signal } = options;
  const start = performance.now();
  const latest = start + wait;
  const latestInQueue = start + Math.max(wait, timeout || Infinity);
  for (;;) {
    const left = Math.max(latest - performance.now(), RETRY);
    const patience = wait === 0 ? timeout : Math.min(timeout || Infinity, left);
    const late = patience > 0 ? AbortSignal.timeout(Math.ceil(patience)) : undefined;
    const stop = AbortSignal.any([late, signal].filter((one) => one !== undefined));
    try {
      const connected = await attempt(options, stop);
      const { conn } = connected;
      return options.trace ? { ...connected, conn: traced(conn, options.trace) } : connected;
    } catch (error) {
      const until = isInQueue(error) ? latestInQueue : latest;
      if (performance.now() + RETRY >= until || signal?.aborted || isFinal(error)) {
        const why = signal?.aborted
          ? "called off"
          : late?.aborted
          ? `no answer within ${(wait || timeout) / 1000}s`
          : describeConnectError(error, options);
        throw new ConnectError(formatEndpoint({ ...options, port }), why, error);
      }
    }
    await sleep(RETRY);
  }
}

/** Resolves the name first, as a step of its own, then tries its addresses in turn. */
async function connectResolved(
  options: FamilyOptions,
  signal: AbortSignal,
): Promise<Connected> {
  const { hostname = "127.0.0.1", path, tls, family } = options;
  // With a certificate of ours, the runtime connects by itself, by the name that it verifies.
  const isResolved = path !== undefined || isAddress(hostname) || tls?.cert !== undefined;
  const isAllowed = async () => (await Deno.permissions.query({ name: "net" })).state === "granted";
  if (family === undefined && (isResolved || !await isAllowed())) {
    return await connectOnce(options, signal);
  }
  const begun = performance.now();
  const addresses = await addressesOf(hostname, family);
  const resolve = performance.now() - begun;
  let failure: unknown;
  for (const address of addresses) {
    try {
      const connected = await connectOnce(options, signal, address);
      return isAddress(hostname) ? connected : { resolve, ...connected };
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** @param address of the host that `options` name */
async function connectOnce(
  { hostname = "127.0.0.1", port = 6969, path, tls }: ConnectOptions,
  signal: AbortSignal,
  address = hostname,
): Promise<Connected> {
  const begun = performance.now();
  if (path !== undefined) {
    const conn = await connectUnix(path);
    return { conn, connect: performance.now() - begun };
  }
  const conn = tls?.cert === undefined && tls?.key === undefined
    ? await Deno.connect({ hostname: address, port, signal })
    : await connectAs(bothOf(tls), { hostname, port }, tls, signal);
  if (isSelf(conn)) {
    conn.close();
    throw new Deno.errors.ConnectionRefused();
  }
  if ("setNoDelay" in conn) conn.setNoDelay();
  const connected = performance.now();
  if (!tls) return { conn, connect: connected - begun };
  const secured = await secure(conn, hostname, tls, signal);
  return {
    conn: secured,
    connect: connected - begun,
    handshake: performance.now() - connected,
  };
}

/** A file or folder refuses connections too, as a socket does that nobody listens at. */
async function connectUnix(path: string): Promise<Deno.UnixConn> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
    const file = await Deno.stat(path).catch(() => undefined);
    if (file?.isSocket === false) throw new Error("that is no socket: check --unix");
    throw error;
  }
}

/** A retried port of this machine's own can be connected to itself, by chance. */
function isSelf({ localAddr, remoteAddr }: Deno.TcpConn | Deno.TlsConn): boolean {
  return localAddr.port === remoteAddr.port && localAddr.hostname === remoteAddr.hostname;
}

/** Where the listen queue is full, TCP waits by itself; a Unix socket doesn't. */
function isInQueue(error: unknown): boolean {
  return error instanceof Deno.errors.WouldBlock;
}

/** Waiting won't help. */
function isFinal(error: unknown): boolean {
  return error instanceof Deno.errors.NotCapable || error instanceof TypeError ||
    describeTlsError(error) !== undefined;
}

/**
 * Listens at one address.
 * @throws {Error} as Deno.listen does
 */
export function listenAt(options: ListenOptions): Listener {
  const { hostname = "127.0.0.1", port = 0, path, cert, key } = options;
  const identity = cert === undefined && key === undefined ? undefined : bothOf(options);
  if (path !== undefined) return listenAtPath(path);
  const where = { hostname, port, tcpBacklog: BACKLOG };
  return identity === undefined ? Deno.listen(where) : listenTls(where, identity);
}

/** @throws {TypeError} where one of the two is missing */
function bothOf({ cert, key }: Pick<ListenOptions, "cert" | "key">): Identity {
  if (cert !== undefined && key !== undefined) {
    return {
      cert: readPem(cert, "cert", "CERTIFICATE"),
      key: readPem(key, "key", "PRIVATE KEY"),
    };
  }
  throw new TypeError("cert and key go together: one is missing");
}

/** Listens at one address so that connections can be reset. */
async function listenToReset(options: ListenOptions): Promise<Listener> {
  const { hostname = "127.0.0.1", port = 0, cert, key } = options;
  if (cert !== undefined) listenAt(options).close(); // finds fault with the identity, if there is any
  const listener = await SocketListener.open(hostname, port);
  return cert === undefined || key === undefined ? listener : layTls(listener, { cert, key });
}

async function listenAll(
  hostnames: readonly string[],
  options: ListenOptions,
): Promise<Listener[]> {
  const listeners: Listener[] = [];
  const open = options.resets ? listenToReset : listenAt;
  let { port = 0 } = options;
  try {
    for (const hostname of hostnames) {
      const listener = await open({ ...options, hostname, port });
      listeners.push(listener);
      if ("port" in listener.addr) port = listener.addr.port;
    }
    return listeners;
  } catch (error) {
    for (const listener of listeners) close(listener);
    throw error;
  }
}

/** A name's addresses, by the system's own rules; an address is its own. */
export async function resolve(hostname: string): Promise<string[]> {
  if (isAddress(hostname)) return [hostname];
  const { lookup } = await import("node:dns/promises"); // for names alone: it takes a quarter of the start
  const found = await lookup(hostname, { all: true });
  return [...new Set(found.map(({ address }) => address))];
}

/**
 * The addresses of a host, of one version of IP or of both.
 * @throws {Error} if it has none
 */
export async function addressesOf(hostname: string, family?: 4 | 6): Promise<string[]> {
  const addresses = await resolve(hostname);
  const suitable = addresses.filter((address) =>
    family === undefined || address.includes(":") === (family === 6)
  );
  if (suitable.length > 0) return suitable;
  throw new TypeError(`it has no IPv${family} address: check --host, or leave out --ipv${family}`);
}

/** Whether a host is an IP address, not a name. */
function isAddress(hostname: string): boolean {
  return /^[\d.]+$|:/.test(hostname);
}

/** Why nobody can listen there, and what to do. */
export function describeListenError(error: unknown, { hostname, path }: Address = {}): string {
  if (error instanceof Deno.errors.AddrInUse) {
    return path === undefined
      ? "somebody else does: stop that program, or choose another --port (0 takes a free one)"
      : "somebody is there: stop that program, or choose another path";
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return path === undefined
      ? "not permitted: choose a --port from 1024 up"
      : "not permitted: choose a folder that you may write to";
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    return "this machine has no such address: choose another --host, such as 127.0.0.1";
  }
  if (error instanceof Deno.errors.NotFound) return "no such folder";
  return describeTlsError(error, { hostname })?.replace(/^its /, "the ") ?? describeError(error);
}

/** Why there is no connection, and what to do. */
export function describeConnectError(error: unknown, options: ConnectOptions = {}): string {
  const { hostname = "127.0.0.1", path, tls } = options;
  const { ConnectionRefused, NotFound } = Deno.errors; // no file: no server has made it yet
  if (error instanceof ConnectionRefused || error instanceof NotFound) {
    const where = path === undefined ? "--host and --port" : "--unix";
    return `nobody is there: start a server, or check ${where}`;
  }
  if (isInQueue(error)) return "its listen queue is full: too many others wait to be accepted";
  if (error instanceof Deno.errors.UnexpectedEof) return "it hung up in the TLS handshake";
  const why = describeTlsError(error, { hostname, knows: tls?.cert !== undefined });
  return why ?? describeError(error);
}

function describeError(error: unknown): string {
  const message = errorMessage(error);
  if (error instanceof Deno.errors.NotCapable) {
    const right = /^Requires (\w+) access/.exec(message)?.[1] ?? "net";
    return `Deno was not given that right: run it with --allow-${right}`;
  }
  if (/ENOTFOUND|lookup address|EAI_|name or service/i.test(message)) {
    return "no such name: check --host";
  }
  if (/SUN_LEN/.test(message)) return TOO_LONG;
  return message.replace(/ \(os error \d+\)$/, "");
}
