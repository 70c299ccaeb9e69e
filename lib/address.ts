/** Where a server is: parse, print, listen, connect. */

import { lookup } from "node:dns/promises";

/** A host and a port as people write them: `127.0.0.1:6969`, `[::1]:6969`. */
export function show(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A connection's other end, or a listener's own, as people write it. */
export function showAddr(addr: Deno.Addr): string {
  return "hostname" in addr ? show(addr.hostname, addr.port) : "a Unix socket";
}

/** Checks a host given as an option: a number alone is likely meant as a port. */
export function host(text: string): string {
  if (!/^\d+$/.test(text)) return text;
  throw new RangeError(`must be an address or a name; for a port, write --port ${text}`);
}

/** Connections that wait to be accepted: at the default, 511, a burst of a thousand waits a second. */
const BACKLOG = 4096;

/**
 * Listens on every address that a host has; all on one port.
 * @param port 0 takes a free one
 * @throws {Error} whose message says why not, and what to do
 */
export async function listen(host: string, port: number): Promise<Deno.TcpListener[]> {
  const listeners: Deno.TcpListener[] = [];
  try {
    for (const hostname of await resolve(host)) {
      const listener = Deno.listen({ hostname, port, tcpBacklog: BACKLOG });
      listeners.push(listener);
      port = listener.addr.port;
    }
    return listeners;
  } catch (error) {
    for (const listener of listeners) listener.close();
    throw new Error(`cannot listen on ${show(host, port)}: ${whyNotListen(error)}`);
  }
}

/**
 * Connects to a server.
 * @param timeout how long that may take, in ms; 0 is for ever
 * @throws {Error} whose message says why not
 */
export async function connect(host: string, port: number, timeout: number): Promise<Deno.TcpConn> {
  const signal = timeout > 0 ? AbortSignal.timeout(timeout) : undefined;
  try {
    const conn = await Deno.connect({ hostname: host, port, ...signal && { signal } });
    if (!isSelf(conn)) return conn;
    conn.close();
    throw new Deno.errors.ConnectionRefused();
  } catch (error) {
    const why = signal?.aborted ? `no answer within ${timeout / 1000}s` : whyNotConnect(error);
    throw new Error(`cannot connect to ${show(host, port)}: ${why}`);
  }
}

/** A name's addresses, by the system's own rules; an address is its own. */
async function resolve(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true });
  return [...new Set(found.map(({ address }) => address))];
}

/** A retried port of this machine's own can be connected to itself, by chance. */
function isSelf({ localAddr, remoteAddr }: Deno.TcpConn): boolean {
  return localAddr.port === remoteAddr.port && localAddr.hostname === remoteAddr.hostname;
}

function whyNotListen(error: unknown): string {
  if (error instanceof Deno.errors.AddrInUse) {
    return "somebody else does: stop that program, or choose another --port (0 takes a free one)";
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return "not permitted: choose a --port from 1024 up";
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    return "this machine has no such address: choose another --host, such as 127.0.0.1";
  }
  return whyNot(error);
}

function whyNotConnect(error: unknown): string {
  if (error instanceof Deno.errors.ConnectionRefused) {
    return "nobody is there: start a server, or check --host and --port";
  }
  return whyNot(error);
}

function whyNot(error: unknown): string {
  if (error instanceof Deno.errors.NotCapable) {
    return "Deno was not given that right: run it with --allow-net";
  }
  const message = error instanceof Error ? error.message : String(error);
  if (/ENOTFOUND|lookup address|EAI_|name or service/i.test(message)) {
    return "no such name: check --host";
  }
  return message.replace(/ \(os error \d+\)$/, "");
}
