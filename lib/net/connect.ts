/** Connects to TCP, TLS and Unix sockets. */

import { sleep, unlessAborted } from "../wait.ts";
import { addressesOf, asciiHost, formatAddress, formatEndpoint, isAddress } from "./address.ts";
import { ConnectError, describeConnectError, describeTlsError } from "./errors.ts";
import type { ServerConn } from "./conn.ts";
import { identityOf, readPem } from "./pem.ts";
import { type Trace, traced } from "./traced.ts";

/**
 * Tells where a server is, and how to connect to it.
 *
 * ```ts
 * import { type ConnectOptions, Peer, serve } from "@readback/readback";
 *
 * await using server = serve(() => {});
 * const { port } = server;
 * const options: ConnectOptions = { port, timeout: 1000, wait: 5000 };
 * using _peer = await Peer.connect(options);
 * ```
 */
export interface ConnectOptions {
  /** The server's address or name. @default {"127.0.0.1"} */
  hostname?: string | undefined;
  /** Its port. @default {6969} */
  port?: number | undefined;
  /** The path of its Unix socket, instead of host and port. */
  path?: string | undefined;
  /** Milliseconds until an attempt to connect fails. @default {0} unlimited */
  timeout?: number | undefined;
  /** Milliseconds for which connecting is tried again while it is refused. @default {0} */
  wait?: number | undefined;
  /**
   * Speaks TLS. `ca` are certificates trusted besides the system's, `cert` and `key` the client's
   * own certificate and its key, for a server that asks for it. All in PEM form.
   */
  tls?: Partial<Record<"ca" | "cert" | "key", string | undefined>> | undefined;
  /** Aborts connecting. */
  signal?: AbortSignal | undefined;
}

/** Options of the programs. */
export interface FamilyOptions extends ConnectOptions {
  /** Uses only the name's addresses of this version of IP. @default {undefined} any */
  readonly family?: 4 | 6 | undefined;
  /** Called for each read and write of the connection. */
  readonly trace?: Trace | undefined;
}

/** Milliseconds before a refused connection is tried again. */
const RETRY = 50;

/** A connection, and the milliseconds that each step of making it took. */
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
 * @throws {ConnectError}
 */
export async function connect(options: FamilyOptions = {}): Promise<Connected["conn"]> {
  const attempt = options.family === undefined ? connectOnce : connectResolved;
  return (await connectTimed(options, attempt)).conn;
}

/**
 * Connects to a server, and measures the steps of the attempt that succeeded. Tries until one does,
 * one fails for good, or the time for it is over.
 * @throws {ConnectError}
 */
export async function connectTimed(
  options: FamilyOptions,
  attempt: typeof connectOnce = connectResolved,
): Promise<Connected> {
  const { port = 6969, timeout = 0, wait = 0, signal } = options;
  const start = performance.now();
  const latest = start + wait;
  const queueDeadline = start + Math.max(wait, timeout || Infinity);
  for (;;) {
    const left = Math.max(latest - performance.now(), RETRY);
    const limit = wait === 0 ? timeout : Math.min(timeout || Infinity, left);
    const late = limit > 0 ? AbortSignal.timeout(Math.ceil(limit)) : undefined;
    const stop = AbortSignal.any([late, signal].filter((one) => one !== undefined));
    try {
      const { conn, ...times } = await attempt(options, stop);
      return { conn: options.trace ? traced(conn, options.trace) : conn, ...times };
    } catch (error) {
      const until = error instanceof Deno.errors.WouldBlock ? queueDeadline : latest;
      // Another attempt would fail in the same way.
      const isFinal = error instanceof Deno.errors.NotCapable || error instanceof TypeError ||
        describeTlsError(error) !== undefined;
      if (performance.now() + RETRY >= until || signal?.aborted || isFinal) {
        const why = signal?.aborted
          ? "aborted"
          : late?.aborted
          ? `no answer within ${(wait || timeout) / 1000}s`
          : describeConnectError(error, options);
        throw new ConnectError(formatEndpoint({ ...options, port }), why, error);
      }
    }
    await sleep(RETRY);
  }
}

/** Resolves the name first, as a separate step, then tries its addresses in turn. */
async function connectResolved(options: FamilyOptions, signal: AbortSignal): Promise<Connected> {
  const { hostname = "127.0.0.1", path, tls, family } = options;
  // With a client certificate, the runtime resolves the name that it verifies.
  const isResolved = path !== undefined || isAddress(hostname) || tls?.cert !== undefined;
  const mayResolve = () => Deno.permissions.querySync({ name: "net" }).state === "granted";
  if (family === undefined && (isResolved || !mayResolve())) return connectOnce(options, signal);
  const start = performance.now();
  const addresses = await unlessAborted(addressesOf(hostname, family), signal);
  const resolve = performance.now() - start;
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

/** @param address one of the host's addresses; without it, the runtime resolves the name */
async function connectOnce(
  options: ConnectOptions,
  signal: AbortSignal,
  address?: string,
): Promise<Connected> {
  signal.throwIfAborted();
  const { port = 6969, path, tls } = options;
  const hostname = asciiHost(options.hostname ?? "127.0.0.1") ?? "";
  const start = performance.now();
  if (path !== undefined) {
    if (tls) throw new TypeError("TLS needs a host and a port: leave out path or tls");
    return { conn: await connectUnix(path), connect: performance.now() - start };
  }
  const caCerts = tls?.ca === undefined ? [] : [readPem(tls.ca, "ca", "CERTIFICATE")];
  const identity = identityOf(tls ?? {});
  // The runtime takes our certificate only if it connects itself. Then it can't be aborted, and leaves
  // Nagle's algorithm on.
  const connecting: Promise<Deno.TcpConn | Deno.TlsConn> = identity === undefined
    ? Deno.connect({ hostname: address ?? hostname, port, signal })
    : Deno.connectTls({ hostname, port, caCerts, ...identity });
  const conn = await unlessAborted(connecting, signal).catch((error) => {
    connecting.then((conn) => conn.close(), () => {});
    throw error;
  });
  // A port of this machine, tried again and again, may be connected to itself.
  if (formatAddress(conn.localAddr) === formatAddress(conn.remoteAddr)) {
    conn.close();
    throw new Deno.errors.ConnectionRefused();
  }
  if ("setNoDelay" in conn) conn.setNoDelay();
  const connect = performance.now() - start;
  if (!tls) return { conn, connect };
  const tlsConn = "handshake" in conn ? conn : await Deno.startTls(conn, { hostname, caCerts });
  await unlessAborted(tlsConn.handshake(), signal).catch((error) => { // verifies the server's name
    tlsConn[Symbol.dispose]();
    throw error;
  });
  return { conn: tlsConn, connect, handshake: performance.now() - start - connect };
}

/** Connects to a Unix socket. A file or a folder refuses connections too. */
async function connectUnix(path: string): Promise<Deno.UnixConn> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (error) {
    const isRefused = error instanceof Deno.errors.ConnectionRefused;
    const file = isRefused && await Deno.stat(path).catch(() => undefined);
    throw file && !file.isSocket ? new Error("that is not a socket: check --unix") : error;
  }
}
