/** Listens on TCP, TLS and Unix sockets. */

import { checkOptions, isOlder } from "../checks.ts";
import { addressesOf, type Endpoint, formatEndpoint } from "./address.ts";
import { describeListenError } from "./errors.ts";
import { close, type Listener } from "./conn.ts";
import { BACKLOG, SocketListener } from "./node_socket.ts";
import { identityOf } from "./pem.ts";
import { layTls } from "./tls_listener.ts";
import { listenAtPath, takePath } from "./unix.ts";

/**
 * Options of {@linkcode listen}.
 *
 * ```ts
 * import { listen, type ListenOptions, serve } from "@readback/readback";
 *
 * const everywhere: ListenOptions = { hostname: "localhost", port: 0 };
 * await using _server = serve(() => {}, { listeners: await listen(everywhere) });
 * ```
 */
export interface ListenOptions {
  /** An address; or a name, for all its addresses. @default {"127.0.0.1"} */
  hostname?: string | undefined;
  /** The port; 0 takes a free one. @default {0} */
  port?: number | undefined;
  /** The path of a Unix socket, instead of host and port. */
  path?: string | undefined;
  /** The certificate for TLS, and those that signed it, in PEM form. */
  cert?: string | undefined;
  /** The certificate's private key, in PEM form. */
  key?: string | undefined;
  /**
   * Makes the connections able to be reset, as the faults `reset` and `refuse=reset` do. Not for
   * a Unix socket.
   * @default {false}
   */
  resets?: boolean | undefined;
}

/**
 * Listens on every address of a host, all on one port. With `cert` and `key`, speaks TLS.
 *
 * ```ts
 * import { listen, serve } from "@readback/readback";
 *
 * const listeners = await listen({ hostname: "localhost", port: 0 }); // 127.0.0.1 and ::1
 * await using _server = serve((message, reply) => reply.write(message), { listeners });
 * ```
 *
 * @returns a listener for each address
 * @throws {Error} if that fails; its message gives the reason and the remedy
 */
export async function listen(options: ListenOptions = {}): Promise<Listener[]> {
  checkOptions(options);
  const { path, resets } = options;
  const open = async (hostname: string, port: number): Promise<Listener> => {
    if (path) return takePath(path);
    const where = { ...options, hostname, port };
    if (!resets) return listenAt(where);
    const identity = identityOf(options);
    if (identity !== undefined) listenAt(where).close(); // checks the identity
    const listener = await SocketListener.open(hostname, port);
    return identity === undefined ? listener : layTls(listener, identity);
  };
  return await openAll(options, open, ({ addr }) => "port" in addr ? addr.port : 0);
}

/**
 * Opens something on every address of a host, all on one port, or on a path.
 * @throws {Error} if that fails, and nothing stays open; its message gives the reason and the remedy
 */
export async function openAll<Opened extends { close(): void }>(
  options: Endpoint,
  open: (hostname: string, port: number) => Opened | Promise<Opened>,
  portOf: (opened: Opened) => number,
): Promise<Opened[]> {
  const { hostname = "127.0.0.1", path } = options;
  let { port = 0 } = options;
  const all: Opened[] = [];
  try {
    for (const address of path === undefined ? await addressesOf(hostname) : [path]) {
      const opened = await open(address, port);
      all.push(opened);
      port = portOf(opened);
    }
    return all;
  } catch (cause) {
    all.forEach(close);
    const why = describeListenError(cause, options);
    throw new Error(`cannot listen on ${formatEndpoint(options)}: ${why}`, { cause });
  }
}

/** The first version of Deno in which the layer of TLS can half-close. */
const SINCE = "2.9.2";

/**
 * Listens on one address; with TLS before Deno 2.9.2, by the runtime's own listener.
 * @throws {Error} as Deno.listen and Deno.listenTls do, also if the key is not the certificate's
 */
export function listenAt(options: ListenOptions): Listener {
  const { hostname = "127.0.0.1", port = 0, path } = options;
  const identity = identityOf(options);
  if (path !== undefined) return listenAtPath(path);
  const where = { hostname, port, tcpBacklog: BACKLOG };
  if (identity === undefined) return Deno.listen(where);
  const native = Deno.listenTls({ ...where, ...identity });
  if (isOlder(Deno.version.deno, SINCE)) return native;
  native.close(); // the layer would reject a wrong identity only when a client connects
  return layTls(Deno.listen(where), identity);
}
