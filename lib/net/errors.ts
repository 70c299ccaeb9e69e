/** Errors of connections: their classes, and descriptions that give the reason and the remedy. */

import { errorMessage } from "../checks.ts";
import { bracketHint, type Endpoint, isAddress } from "./address.ts";
import { WRONG_KIND } from "./pem.ts";
import { LONGEST_PATH } from "./unix.ts";

/**
 * A connection was closed, by either end. The message is a sentence that says how.
 *
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { Closed, Peer, serve } from "@readback/readback";
 *
 * await using server = serve((_message, _reply, client) => client.end());
 * using peer = await Peer.connect({ port: server.port });
 * await assertRejects(() => peer.request("hello"), Closed, "the server has closed the connection");
 * ```
 */
export class Closed extends Error {
  /** The name of the class. */
  override readonly name = "Closed";
}

/**
 * Something did not happen in time. The message is a sentence that says what.
 *
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { DatagramPeer, serveDatagrams, TimeoutError } from "@readback/readback";
 *
 * await using server = await serveDatagrams(() => {}); // receives, and sends nothing
 * using peer = await DatagramPeer.connect({ port: server.port, timeout: 50 });
 * await assertRejects(() => peer.request("hello"), TimeoutError, "no reply within 0.05s");
 * ```
 */
export class TimeoutError extends Error {
  /** The name of the class. */
  override readonly name = "TimeoutError";

  /**
   * Makes the error.
   *
   * @param missing what did not happen, such as `no reply`
   * @param timeout the time limit, in milliseconds
   */
  constructor(missing: string, readonly timeout: number) {
    super(`${missing} within ${timeout / 1000}s`);
  }
}

/**
 * A failure to connect.
 *
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { ConnectError, Peer } from "@readback/readback";
 *
 * await assertRejects(() => Peer.connect({ port: 1 }), ConnectError, "connection refused");
 * ```
 */
export class ConnectError extends Error {
  /** The class's name. */
  override readonly name = "ConnectError";

  /**
   * Makes the error.
   *
   * @param server the server's place
   * @param why the reason and the remedy
   */
  constructor(server: string, readonly why: string, cause: unknown) {
    super(`cannot connect to ${server}: ${why}`, { cause });
  }
}

/** The reason if a client disconnects in its TLS handshake, or before it. */
export const HUNG_UP = "it closed the connection in the handshake";
const TOO_OLD = "it offers neither TLS 1.2 nor 1.3";
const NO_CIPHER = "no cipher or key exchange in common";
const OR_CERTIFICATE = ", or it requires a client certificate: give one with --cert and --key";

/** TLS errors on the client's side, by the runtime's message. */
const CLIENT_TLS: readonly (readonly [RegExp, string])[] = [
  [/: CertificateRequired/, "it requires a client certificate: give one with --cert and --key"],
  [/alert: HandshakeFailure/, NO_CIPHER + OR_CERTIFICATE],
  [/alert: ProtocolVersion/, TOO_OLD],
  [/alert: UnknownCA/, "it does not trust the signer of our certificate: choose another --cert"],
  [/alert: \w*(Certificate|Access)/, "it rejects our certificate: choose another --cert"],
  [
    /UnknownIssuer/,
    "the signer of its certificate is not trusted: name the signer's certificate with --ca FILE",
  ],
  [/not valid for any names/, "its certificate has no name (in a subjectAltName): RECIPE"],
  [/not valid for name|NotValidForName/, "its certificate is for another name: check --host"],
  [
    /CaUsedAsEndEntity/,
    "its certificate is a signer's, and the server needs one that is not: RECIPE",
  ],
  [
    /UnsupportedCertVersion/,
    "its certificate is X.509 version 1, and only version 3 has names: RECIPE",
  ],
  [/not valid yet|NotValidYet/i, "its certificate is not valid yet: check the clocks"],
  [/expired/i, "its certificate has expired: the server needs a new one"],
  [/invalid peer certificate/, "its certificate is not valid"],
  [/InvalidContentType/, "it does not speak TLS: leave out --tls"],
  [/KeyMismatch/, "the key is not that certificate's"],
  [/failed to parse private key/, WRONG_KIND],
];

/** TLS errors on the server's side. */
const SERVER_TLS: readonly (readonly [RegExp, string])[] = [
  [/corrupt message/, "it does not speak TLS, which is required here"],
  [/NotOffered|ExtensionRequired/, TOO_OLD],
  [/InCommon/, `${NO_CIPHER}, or none for our kind of key`],
  [/alert: UnknownCA/, "it does not trust the signer of our certificate"],
  [/alert: CertificateExpired/, "it rejects our certificate as expired"],
  [/alert: \w*Certificate/, "it rejects our certificate, which may be for another name"],
  [/alert: /, "it aborted the handshake"],
  [/hung up|handshake eof/, HUNG_UP],
  [/reset/i, "it reset the connection in the handshake"],
];

function find(table: readonly (readonly [RegExp, string])[], error: unknown): string | undefined {
  const message = errorMessage(error);
  return table.find(([pattern]) => pattern.test(message))?.[1];
}

/**
 * Describes why a TLS handshake with a server failed; undefined for other errors.
 * @param server.hostname its name
 * @param server.knows whether it was sent a certificate of ours
 */
export function describeTlsError(
  error: unknown,
  server: { hostname?: string | undefined; knows?: boolean } = {},
): string | undefined {
  return find(CLIENT_TLS, error)
    ?.replace("RECIPE", () => recipe(server.hostname ?? "localhost"))
    .replace(OR_CERTIFICATE, server.knows ? "" : OR_CERTIFICATE);
}

/** Returns the command that makes a suitable certificate. */
function recipe(hostname: string): string {
  return "make a suitable one, and trust it with --ca cert.pem: " +
    `openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 365 ` +
    `-subj /CN=${hostname} -addext subjectAltName=${
      isAddress(hostname) ? "IP" : "DNS"
    }:${hostname} ` +
    "-addext basicConstraints=CA:FALSE";
}

/** Describes why a TLS handshake with a client failed. */
export function describeHandshakeError(error: unknown): string {
  return find(SERVER_TLS, error) ?? `the handshake failed: ${errorMessage(error)}`;
}

/** Describes why listening failed. */
export function describeListenError(error: unknown, { hostname, path }: Endpoint = {}): string {
  const { AddrInUse, AddrNotAvailable, NotFound, PermissionDenied } = Deno.errors;
  if (error instanceof AddrInUse) {
    return path === undefined
      ? "the port is in use: stop the other program, or choose another --port (0 takes a free one)"
      : "another server listens there: stop it, or choose another path";
  }
  if (error instanceof PermissionDenied) {
    const choice = path === undefined ? "a --port from 1024 up" : "a folder that you may write to";
    return `permission denied: choose ${choice}`;
  }
  if (error instanceof AddrNotAvailable) {
    return "this machine has no such address: choose another --host, such as 127.0.0.1";
  }
  if (error instanceof NotFound) return "no such folder";
  const why = describeTlsError(error, { hostname })?.replace(/^its /, "the ");
  return why ?? describeSystemError(error);
}

/** Describes why connecting failed. */
export function describeConnectError(
  error: unknown,
  { hostname = "127.0.0.1", path, tls }: Endpoint & {
    tls?: { cert?: string | undefined } | undefined;
  } = {},
): string {
  const { ConnectionRefused, NotFound, UnexpectedEof } = Deno.errors;
  const hint = path === undefined ? bracketHint(hostname) : "";
  if (error instanceof ConnectionRefused || error instanceof NotFound) {
    const where = path === undefined ? "--host and --port" : "--unix";
    return `connection refused: start a server, or check ${where}${hint}`;
  }
  if (isQueueFull(error)) return "its listen queue is full: too many connections wait in it";
  if (error instanceof UnexpectedEof) return "it closed the connection in the TLS handshake";
  const why = describeTlsError(error, { hostname, knows: tls?.cert !== undefined });
  return why ?? `${describeSystemError(error)}${hint}`;
}

/** Returns whether a Unix socket's listen queue is full. TCP waits by itself then. */
export function isQueueFull(error: unknown): boolean {
  return error instanceof Deno.errors.WouldBlock;
}

function describeSystemError(error: unknown): string {
  const message = errorMessage(error);
  if (error instanceof Deno.errors.NotCapable) {
    const permission = /^Requires (\w+) access/.exec(message)?.[1] ?? "net";
    return `permission denied: run it with --allow-${permission}`;
  }
  if (/ENOTFOUND|lookup address|EAI_|name or service|FQDN/i.test(message)) {
    return "no such name: check --host";
  }
  if (/SUN_LEN/.test(message)) return `a socket's path has at most ${LONGEST_PATH} bytes`;
  return message.replace(/ \(os error \d+\)$/, "");
}
