/** TLS: who a server is, whom a client trusts, and what to say when that fails. */

import { errorMessage } from "../checks.ts";
import { onAbort } from "../wait.ts";
import { readCertificates, readKey, readPem } from "./pem.ts";

/** Who a server is, to TLS; both PEM. */
export interface Identity {
  /** The certificate, and those that vouch for it. */
  readonly cert: string;
  /** Its private key. */
  readonly key: string;
}

/**
 * Reads the two files of an identity.
 * @throws {Error} whose message says which can't be read, and why
 */
export async function readIdentity(cert: string, key: string): Promise<Identity> {
  return { cert: await readCertificates(cert), key: await readKey(key) };
}

/** How to speak TLS to a server. All PEM. */
export interface TlsOptions {
  /** Who is trusted besides those that the system trusts. */
  readonly ca?: string | undefined;
  /** Who the client is, where the server asks. */
  readonly cert?: string | undefined;
  /** The key of that. */
  readonly key?: string | undefined;
}

/**
 * Reads the files of how to speak TLS.
 * @throws {Error} whose message says which can't be read, and why
 */
export async function readTls(
  { ca, cert, key }: TlsOptions,
): Promise<TlsOptions> {
  const identity = cert && key ? await readIdentity(cert, key) : {};
  return { ca: ca && await readCertificates(ca), ...identity };
}

/**
 * Connects as a client that has a certificate; the handshake is still to come. The runtime takes
 * a certificate only where it connects itself, and then leaves Nagle's algorithm on.
 * @param signal gives up when aborted
 */
export async function connectAs(
  { cert, key }: Identity,
  where: { hostname: string; port: number },
  { ca }: TlsOptions,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  const connecting = Deno.connectTls({ ...where, cert, key, caCerts: listOf(ca) });
  const { promise: givenUp, reject } = Promise.withResolvers<never>();
  const letGo = onAbort(signal, () => {
    reject(signal.reason);
    connecting.then((conn) => conn.close(), () => {}); // it can't be called off
  });
  return await Promise.race([connecting, givenUp]).finally(letGo);
}

/**
 * Makes a connection a TLS one, its handshake done, its server's name verified.
 * @param conn owned from here on: closed if that fails
 * @param signal gives up when aborted
 */
export async function secure(
  conn: Deno.TcpConn | Deno.TlsConn,
  hostname: string,
  { ca }: TlsOptions,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  let tls = conn;
  const removeListener = onAbort(signal, () => tls[Symbol.dispose]());
  try {
    const secured = "handshake" in conn
      ? conn
      : await Deno.startTls(conn, { hostname, caCerts: listOf(ca) });
    tls = secured;
    await secured.handshake();
    return secured;
  } catch (error) {
    tls[Symbol.dispose]();
    throw error;
  } finally {
    removeListener();
  }
}

function listOf(ca: string | undefined): string[] {
  return ca === undefined ? [] : [readPem(ca, "ca", "CERTIFICATE")];
}

/** A certificate that will do, for the server's name; a client trusts it with --ca cert.pem. */
function recipe(hostname: string): string {
  const kind = /^[\d.]+$|:/.test(hostname) ? "IP" : "DNS";
  return "make a right one, and trust it with --ca cert.pem: " +
    `openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 365 ` +
    `-subj /CN=${hostname} -addext subjectAltName=${kind}:${hostname} ` +
    "-addext basicConstraints=CA:FALSE";
}

const TOO_OLD = "it speaks no version of TLS that we do: 1.2 or 1.3";
const NOTHING_IN_COMMON = "it has no cipher, or no group, in common with us";
const OR_CERTIFICATE = ", or it asks for a certificate of ours: say --cert and --key";

/** Why a client could not make friends, by what the runtime says of it. */
const WHY_NOT_SECURE: readonly (readonly [RegExp, string])[] = [
  [/alert: CertificateRequired/, "it asks for a certificate of ours: say --cert and --key"],
  [/alert: HandshakeFailure/, NOTHING_IN_COMMON + OR_CERTIFICATE],
  [/alert: ProtocolVersion/, TOO_OLD],
  [
    /alert: UnknownCA/,
    "it does not trust whoever signed our certificate: name another with --cert",
  ],
  [
    /alert: \w*(Certificate|Access)/,
    "it does not accept our certificate: name another with --cert",
  ],
  [/UnknownIssuer/, "nobody we trust has signed its certificate: name the signer's with --ca FILE"],
  [/not valid for any names/, "its certificate says no name (in a subjectAltName): RECIPE"],
  [/not valid for name|NotValidForName/, "its certificate is for another name: check --host"],
  [
    /CaUsedAsEndEntity/,
    "its certificate is a signer's own, and the server needs one that is not: RECIPE",
  ],
  [
    /UnsupportedCertVersion/,
    "its certificate is of X.509 version 1, and only version 3 has names: RECIPE",
  ],
  [/not valid yet|NotValidYet/i, "its certificate is not valid yet: check the clocks"],
  [/expired/i, "its certificate has expired: the server needs a new one"],
  [/invalid peer certificate/, "its certificate is not valid"],
  [/InvalidContentType/, "it does not speak TLS: leave out --tls"],
  [/KeyMismatch/, "the key is not that certificate's"],
];

/**
 * Why a TLS handshake failed, and what to do; undefined where that was not the reason.
 * @param server.hostname what it is called
 * @param server.knows whether it was shown a certificate of ours
 */
export function describeTlsError(
  error: unknown,
  server: { hostname?: string | undefined; knows?: boolean } = {},
): string | undefined {
  return lookUp(WHY_NOT_SECURE, error)
    ?.replace("RECIPE", () => recipe(server.hostname ?? "localhost"))
    .replace(OR_CERTIFICATE, server.knows ? "" : OR_CERTIFICATE);
}

/** Why a client was not let in, likewise. */
const WHY_NO_HANDSHAKE: readonly (readonly [RegExp, string])[] = [
  [/corrupt message/, "it does not speak TLS, and must here"],
  [/NotOffered|ExtensionRequired/, TOO_OLD],
  [/InCommon/, `${NOTHING_IN_COMMON}, or none for our kind of key`],
  [/alert: UnknownCA/, "it does not trust whoever signed our certificate: it must be told to"],
  [/alert: CertificateExpired/, "it finds that our certificate has expired"],
  [/alert: \w*Certificate/, "it does not accept our certificate: that may be for another name"],
  [/alert: /, "it broke off the handshake"],
  [/hung up|handshake eof/, "it hung up in the handshake"],
  [/reset/i, "it reset the connection in the handshake"],
];

/** Why a handshake with a client failed, from the server's side. */
export function describeHandshakeError(error: unknown): string {
  return lookUp(WHY_NO_HANDSHAKE, error) ?? `the handshake failed: ${errorMessage(error)}`;
}

function lookUp(table: readonly (readonly [RegExp, string])[], error: unknown): string | undefined {
  const message = errorMessage(error);
  return table.find(([pattern]) => pattern.test(message))?.[1];
}
