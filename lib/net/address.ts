/** Where a server is: parse, print, listen, connect. */

import { reason } from "../errors.ts";
import { type Identity, secure, whyNotSecure } from "./tls.ts";
import { sleep } from "../wait.ts";

/** Where a server is: at a host and port, or at a path. */
export interface Place {
  /** An address or a name. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** A Unix socket, instead of host and port. */
  readonly unix?: string | undefined;
}

/** How to connect. */
export interface ConnectOptions {
  /** How long it may take, in ms. @default {0} for ever */
  timeout?: number;
  /** Try again for so long while nobody is there, in ms. @default {0} */
  wait?: number;
  /** Speak TLS, and trust whom the system trusts and who is in `ca` (PEM). */
  tls?: { ca?: string | undefined } | undefined;
  /** Gives up when aborted. */
  signal?: AbortSignal;
}

/** What a conversation needs of a connection, on either side. */
export type Connection =
  & Pick<Deno.Conn, "read" | "write" | "closeWrite" | "close">
  & { readonly localAddr?: Deno.Addr | undefined };

/** A host and a port as people write them: `127.0.0.1:6969`, `[::1]:6969`. */
export function show(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A place as people write it. */
export function showPlace({ host, port, unix }: Place): string {
  return unix ?? show(host, port);
}

/**
 * A connection's other end, or a listener's own, as people write it; IPv4 as such, on an IPv6 listener too.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { showAddr } from "@readback/readback";
 *
 * assertEquals(showAddr({ transport: "tcp", hostname: "::1", port: 6969 }), "[::1]:6969");
 * assertEquals(showAddr({ transport: "unix", path: "/run/echo.sock" }), "/run/echo.sock");
 * ```
 */
export function showAddr(addr: Deno.Addr): string {
  if (!("hostname" in addr)) return "path" in addr ? addr.path ?? "unix" : "vsock";
  return show(addr.hostname.replace(/^::ffff:(?=\d+\.)/, ""), addr.port);
}

/** Checks a host given as an option, which may be an IPv6 address in brackets. */
export function host(text: string): string {
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

/** Connections that wait to be accepted: at the default, 511, a burst of a thousand waits a second. */
const BACKLOG = 4096;
/** The pause before a server that is not up yet is tried again, in ms. */
const RETRY = 50;

/**
 * Listens at a place: on every address that its host has, all on one port.
 *
 * ```ts
 * import { listen, serve } from "@readback/readback";
 *
 * const listeners = await listen({ host: "localhost", port: 0 }); // 127.0.0.1 and ::1
 * await using _server = serve((message, reply) => reply.write(message), { listeners });
 * ```
 *
 * @param place port 0 takes a free one
 * @param identity to speak TLS
 * @throws {Error} whose message says why not, and what to do
 */
export async function listen(place: Place, identity?: Identity): Promise<Deno.Listener[]> {
  try {
    if (place.unix !== undefined) return [await listenUnix(place.unix)];
    return listenAll(await resolve(place.host), place.port, identity);
  } catch (error) {
    throw new Error(`cannot listen on ${showPlace(place)}: ${whyNotListen(error, place)}`, {
      cause: error,
    });
  }
}

/**
 * Connects to a server.
 * @throws {Error} whose message says why not, and what to do
 */
export async function connect(place: Place, options: ConnectOptions = {}): Promise<Deno.Conn> {
  const { timeout = 0, wait = 0, signal } = options;
  const latest = performance.now() + wait;
  for (;;) {
    const left = Math.max(latest - performance.now(), RETRY);
    const patience = wait === 0 ? timeout : Math.min(timeout || Infinity, left);
    const late = patience > 0 ? AbortSignal.timeout(patience) : undefined;
    const stop = AbortSignal.any([late, signal].filter((one) => one !== undefined));
    try {
      return await connectOnce(place, options, stop);
    } catch (error) {
      if (performance.now() + RETRY >= latest || signal?.aborted || isFinal(error)) {
        const why = signal?.aborted
          ? "called off"
          : late?.aborted
          ? `no answer within ${(wait || timeout) / 1000}s`
          : whyNotConnect(error, place);
        throw new Error(`cannot connect to ${showPlace(place)}: ${why}`, { cause: error });
      }
    }
    await sleep(RETRY);
  }
}

async function connectOnce(
  { host, port, unix }: Place,
  { tls }: ConnectOptions,
  signal: AbortSignal,
): Promise<Deno.Conn> {
  if (unix !== undefined) return await Deno.connect({ transport: "unix", path: unix });
  const conn = await Deno.connect({ hostname: host, port, signal });
  if (isSelf(conn)) {
    conn.close();
    throw new Deno.errors.ConnectionRefused();
  }
  conn.setNoDelay();
  return tls ? await secure(conn, host, tls.ca, signal) : conn;
}

/** A retried port of this machine's own can be connected to itself, by chance. */
function isSelf({ localAddr, remoteAddr }: Deno.TcpConn): boolean {
  return localAddr.port === remoteAddr.port && localAddr.hostname === remoteAddr.hostname;
}

/** Waiting won't help. */
function isFinal(error: unknown): boolean {
  return error instanceof Deno.errors.NotCapable || error instanceof TypeError ||
    whyNotSecure(error) !== undefined;
}

/**
 * Listens at one address.
 * @throws {Error} as Deno.listen does
 */
export function listenAt(where: {
  hostname?: string;
  port?: number;
  path?: string;
  cert?: string;
  key?: string;
}): Deno.Listener {
  const { hostname = "127.0.0.1", port = 0, path, cert, key } = where;
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError("cert and key go together: one is missing");
  }
  if (path !== undefined) return Deno.listen({ transport: "unix", path });
  const options = { hostname, port, tcpBacklog: BACKLOG };
  if (cert === undefined || key === undefined) return Deno.listen(options);
  return Deno.listenTls({ ...options, cert, key });
}

function listenAll(hosts: readonly string[], port: number, identity?: Identity): Deno.Listener[] {
  const listeners: Deno.Listener[] = [];
  try {
    for (const hostname of hosts) {
      const listener = listenAt({ hostname, port, ...identity });
      listeners.push(listener);
      if ("port" in listener.addr) port = listener.addr.port;
    }
    return listeners;
  } catch (error) {
    for (const listener of listeners) listener.close();
    throw error;
  }
}

/** Listens on a Unix socket; the file that a killed server left is replaced, a live server's is not. */
async function listenUnix(path: string): Promise<Deno.Listener> {
  try {
    return Deno.listen({ transport: "unix", path });
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse) || !await isStale(path)) throw error;
    await Deno.remove(path);
    return Deno.listen({ transport: "unix", path });
  }
}

/** Whether nobody listens at a socket's file. */
async function isStale(path: string): Promise<boolean> {
  if (!(await Deno.lstat(path)).isSocket) throw new Error("there is a file that is no socket");
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return false;
  } catch (error) {
    return error instanceof Deno.errors.ConnectionRefused;
  }
}

/** A name's addresses, by the system's own rules; an address is its own. */
export async function resolve(host: string): Promise<string[]> {
  if (/^[\d.]+$|:/.test(host)) return [host];
  const { lookup } = await import("node:dns/promises"); // for names alone: it takes a quarter of the start
  const found = await lookup(host, { all: true });
  return [...new Set(found.map(({ address }) => address))];
}

/** Why nobody can listen there, and what to do. */
export function whyNotListen(error: unknown, { unix }: Place): string {
  if (error instanceof Deno.errors.AddrInUse) {
    return unix === undefined
      ? "somebody else does: stop that program, or choose another --port (0 takes a free one)"
      : "somebody is there: stop that program, or choose another path";
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return unix === undefined
      ? "not permitted: choose a --port from 1024 up"
      : "not permitted: choose a folder that you may write to";
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    return "this machine has no such address: choose another --host, such as 127.0.0.1";
  }
  if (error instanceof Deno.errors.NotFound) return "no such folder";
  return whyNotSecure(error) ?? whyNot(error);
}

/** Why there is no connection, and what to do. */
export function whyNotConnect(error: unknown, { unix }: Place): string {
  const { ConnectionRefused, NotFound } = Deno.errors; // no file: no server has made it yet
  if (error instanceof ConnectionRefused || error instanceof NotFound) {
    const where = unix === undefined ? "--host and --port" : "--unix";
    return `nobody is there: start a server, or check ${where}`;
  }
  if (error instanceof Deno.errors.UnexpectedEof) return "it hung up in the TLS handshake";
  return whyNotSecure(error) ?? whyNot(error);
}

function whyNot(error: unknown): string {
  const message = reason(error);
  if (error instanceof Deno.errors.NotCapable) {
    const right = /^Requires (\w+) access/.exec(message)?.[1] ?? "net";
    return `Deno was not given that right: run it with --allow-${right}`;
  }
  if (/ENOTFOUND|lookup address|EAI_|name or service/i.test(message)) {
    return "no such name: check --host";
  }
  if (/SUN_LEN/.test(message)) return "a socket's path has at most 107 bytes";
  return message.replace(/ \(os error \d+\)$/, "");
}
