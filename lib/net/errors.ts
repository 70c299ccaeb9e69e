/** Errors of connections: their classes, and descriptions that give the reason and the remedy. */

import { errorMessage } from "../checks.ts";
import { bracketHint, type Endpoint, isAddress } from "./address.ts";
import { type TlsOptions, WRONG_KIND } from "./pem.ts";
import { PATH_TOO_LONG } from "./unix.ts";

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

/** Descriptions of errors by patterns, of which the first that fits counts. */
type Table = Readonly<Record<string, string>>;

/** TLS errors on the client's side, by their letters: see `findTls`. */
// deno-fmt-ignore
const CLIENT_TLS: Table = {
  "certificaterequired": "it requires a client certificate: give one with --cert and --key",
  "alerthandshakefailure": NO_CIPHER + OR_CERTIFICATE,
  "alertprotocolversion": TOO_OLD,
  "alertunknownca": "it does not trust the signer of our certificate: choose another --cert",
  "alert[a-z]*(certificate|access)": "it rejects our certificate: choose another --cert",
  "unknownissuer|^unableto|selfsigned": "the signer of its certificate is not trusted: name the signer's certificate with --ca FILE",
  "notvalidforanynames": "its certificate has no name (in a subjectAltName): RECIPE",
  "notvalidforname|altnameinvalid": "its certificate is for another name: check --host",
  "causedasendentity|^invalid(ca|purpose)": "its certificate is a signer's, and the server needs one that is not: RECIPE",
  "unsupportedcertversion": "its certificate is X.509 version 1, and only version 3 has names: RECIPE",
  "notvalidyet|notyetvalid": "its certificate is not valid yet: check the clocks",
  "expired": "its certificate has expired: the server needs a new one",
  "invalidpeercertificate": "its certificate is not valid",
  "invalidcontenttype|wrongversionnumber|httprequest|packetlength|(?<!alert)badrecord": "it does not speak TLS: leave out --tls",
  "key(values)?mismatch": "the key is not that certificate's",
  "failedtoparseprivatekey": WRONG_KIND,
};

/** TLS errors on the server's side, likewise. */
// deno-fmt-ignore
const SERVER_TLS: Table = {
  "corruptmessage|wrongversionnumber|httprequest|packetlength|(?<!alert)badrecord": "it does not speak TLS, which is required here",
  "notoffered|extensionrequired|unsupportedprotocol|versiontoolow": TOO_OLD,
  "incommon|noshared|nosuitable": `${NO_CIPHER}, or none for our kind of key`,
  "alertunknownca": "it does not trust the signer of our certificate",
  "alertcertificateexpired": "it rejects our certificate as expired",
  "alert[a-z]*certificate": "it rejects our certificate, which may be for another name",
  "alert": "it aborted the handshake",
  "hungup|handshakeeof": HUNG_UP,
  "reset": "it reset the connection in the handshake",
};

/** Errors of listening at a port or a path, by their names. */
// deno-fmt-ignore
const LISTENING: Table = {
  "port AddrInUse": "the port is in use: stop the other program, or choose another --port (0 takes a free one)",
  "path AddrInUse": "another server listens there: stop it, or choose another path",
  "port PermissionDenied": "permission denied: choose a --port from 1024 up",
  "path PermissionDenied": "permission denied: choose a folder that you may write to",
  "AddrNotAvailable": "this machine has no such address: choose another --host, such as 127.0.0.1",
  "NotFound": "no such folder",
};

/** Errors of connecting to a port or a path, likewise. */
// deno-fmt-ignore
const CONNECTING: Table = {
  "port (ConnectionRefused|NotFound)": "connection refused: start a server, or check --host and --portHINT",
  "path (ConnectionRefused|NotFound)": "connection refused: start a server, or check --unix",
  "WouldBlock": "its listen queue is full: too many connections wait in it", // TCP waits by itself
  "UnexpectedEof": "it closed the connection in the TLS handshake",
};

/** Other errors, by their messages. */
const MESSAGES: Table = {
  "ENOTFOUND|lookup address|EAI_|name or service|FQDN": "no such name: check --host",
  "SUN_LEN": PATH_TOO_LONG,
};

function find(table: Table, text: string): string | undefined {
  return Object.entries(table).find(([pattern]) => new RegExp(pattern, "i").test(text))?.[1];
}

/** Finds an error of listening or connecting. */
function findNamed(table: Table, error: unknown, path: string | undefined): string | undefined {
  return find(table, `${path === undefined ? "port" : "path"} ${Object(error).name}`);
}

/**
 * Finds an error by the letters of its code and message. Deno's TLS, rustls, has "alert: UnknownCA"
 * in the message. Node's, OpenSSL, has ALERT_UNKNOWN_CA in the code.
 */
function findTls(table: Table, error: unknown): string | undefined {
  const { code = "" } = Object(error);
  const message = errorMessage(error);
  // Deno's node:tls has such codes too, but already the messages of rustls.
  const isRustls = /^ERR_SSL/.test(code) && !message.includes("SSL routines");
  const letters = `${isRustls ? "" : code}${message}`.toLowerCase().replaceAll(/[^a-z]/g, "");
  return find(table, letters);
}

/** A server, as far as the description of a TLS error needs it. */
type TlsServer = Endpoint & { readonly tls?: TlsOptions | undefined };

/** Describes why a TLS handshake with a server failed; undefined for other errors. */
export function describeTlsError(
  error: unknown,
  { hostname = "localhost", tls }: TlsServer = {},
): string | undefined {
  return findTls(CLIENT_TLS, error)
    ?.replace("RECIPE", () => recipe(hostname))
    .replace(OR_CERTIFICATE, tls?.cert === undefined ? OR_CERTIFICATE : "");
}

/** Returns the command that makes a suitable certificate. */
function recipe(hostname: string): string {
  const kind = isAddress(hostname) ? "IP" : "DNS";
  return "make a suitable one, and trust it with --ca cert.pem: openssl req -x509 " +
    `-newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 365 -subj /CN=${hostname} ` +
    `-addext subjectAltName=${kind}:${hostname} -addext basicConstraints=CA:FALSE`;
}

/** Describes why a TLS handshake with a client failed. */
export function describeHandshakeError(error: unknown): string {
  return findTls(SERVER_TLS, error) ?? `the handshake failed: ${errorMessage(error)}`;
}

/** Describes why listening failed. */
export function describeListenError(error: unknown, { hostname, path }: Endpoint = {}): string {
  return findNamed(LISTENING, error, path) ??
    describeTlsError(error, { hostname })?.replace(/^its /, "the ") ?? describeSystemError(error);
}

/** Describes why connecting failed. */
export function describeConnectError(
  error: unknown,
  { hostname = "127.0.0.1", path, tls }: TlsServer = {},
): string {
  const hint = path === undefined ? bracketHint(hostname) : "";
  return findNamed(CONNECTING, error, path)?.replace("HINT", hint) ??
    describeTlsError(error, { hostname, tls }) ?? `${describeSystemError(error)}${hint}`;
}

function describeSystemError(error: unknown): string {
  const message = errorMessage(error);
  if (error instanceof Deno.errors.NotCapable) {
    const permission = /^Requires (\w+) access/.exec(message)?.[1] ?? "net";
    return `permission denied: run it with --allow-${permission}`;
  }
  return find(MESSAGES, message) ?? message.replace(/ \(os error \d+\)$/, "");
}
