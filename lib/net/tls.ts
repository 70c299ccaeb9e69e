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

/** What a failed handshake is about, by what the runtime says of it. */
const WHY_NOT: readonly (readonly [RegExp, string])[] = [
  [/UnknownIssuer/, "nobody we trust has signed its certificate: name the signer's with --ca FILE"],
  [/not valid for name|NotValidForName/, "its certificate is for another name: check --host"],
  [/CaUsedAsEndEntity/, "its certificate is a signer's own: the server needs one signed by it"],
  [/not valid yet|NotValidYet/i, "its certificate is not valid yet: check the clocks"],
  [/expired/i, "its certificate has expired: the server needs a new one"],
  [/invalid peer certificate/, "its certificate is not valid"],
  [/InvalidContentType/, "it does not speak TLS: leave out --tls"],
  [/KeyMismatch/, "the key is not that certificate's"],
  [/ProtocolVersion|HandshakeFailure/, "it speaks no TLS that we do: 1.2 or 1.3"],
];

/** Why a TLS handshake failed, and what to do; undefined where that was not the reason. */
export function whyNotSecure(error: unknown): string | undefined {
  const message = reason(error);
  return WHY_NOT.find(([pattern]) => pattern.test(message))?.[1];
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
