/** TLS: who a server is, whom a client trusts, and what to say when that fails. */

import { reason } from "../checks.ts";

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
  return { cert: await readPem(cert, "CERTIFICATE"), key: await readPem(key, "PRIVATE KEY") };
}

/**
 * Reads a file of certificates that are trusted.
 * @throws {Error} whose message says why it can't be read
 */
export function readTrusted(file: string): Promise<string> {
  return readPem(file, "CERTIFICATE");
}

/**
 * Makes a connection a TLS one, its handshake done, its server's name verified.
 * @param conn owned from here on: closed if that fails
 * @param ca who is trusted besides the system's own; PEM
 * @param signal gives up when aborted
 */
export async function secure(
  conn: Deno.TcpConn,
  hostname: string,
  ca: string | undefined,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  const tls = await Deno.startTls(conn, { hostname, caCerts: ca === undefined ? [] : [ca] });
  const giveUp = () => tls.close();
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    signal.throwIfAborted();
    await tls.handshake();
    return tls;
  } catch (error) {
    if (!signal.aborted) tls.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
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

/** Why a client could not make friends, by what the runtime says of it. */
const WHY_NOT_SECURE: readonly (readonly [RegExp, string])[] = [
  [/alert: CertificateRequired/, "it asks for a certificate of ours: say --cert and --key"],
  [
    /alert: HandshakeFailure/,
    `${NOTHING_IN_COMMON}, or it asks for a certificate of ours: say --cert and --key`,
  ],
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
 * @param hostname what the server is called
 */
export function whyNotSecure(error: unknown, hostname = "localhost"): string | undefined {
  return lookUp(WHY_NOT_SECURE, error)?.replace("RECIPE", () => recipe(hostname));
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
export function whyNoHandshake(error: unknown): string {
  return lookUp(WHY_NO_HANDSHAKE, error) ?? `the handshake failed: ${reason(error)}`;
}

function lookUp(table: readonly (readonly [RegExp, string])[], error: unknown): string | undefined {
  const message = reason(error);
  return table.find(([pattern]) => pattern.test(message))?.[1];
}

async function readPem(file: string, label: string): Promise<string> {
  const pem = await Deno.readTextFile(file).catch((error) => {
    throw new Error(`cannot read ${file}: ${whyNotRead(error)}`);
  });
  if (new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(pem)) return pem;
  throw new Error(`cannot use ${file}: it holds no ${label} in PEM form`);
}

function whyNotRead(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  if (error instanceof Deno.errors.NotCapable) return "run it with --allow-read";
  return reason(error).replace(/ \(os error.*$/, "");
}
