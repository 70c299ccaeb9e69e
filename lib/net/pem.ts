/** PEM files as they occur in practice, made into what TLS here reads. */

import { errorMessage } from "../checks.ts";

/** A certificate, with those that signed it, and its private key, in PEM form. */
export type Identity = Readonly<Record<"cert" | "key", string>>;

/** A client's options of TLS, in PEM form or as names of files. `ca` is trusted besides the system's. */
export type TlsOptions = Readonly<Partial<Record<"ca" | "cert" | "key", string | undefined>>>;

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([^]*?)-----END \1-----/g;

/** The curves of EC keys that TLS here takes, by their names in newer and older Deno. */
const CURVES = /^(prime256v1|secp384r1|secp521r1|p256|p384|p521)$/;
/** Describes a key that TLS here can't use. */
export const WRONG_KIND =
  "its kind of key is not for TLS here, which takes RSA of 2048 bits or more, " +
  "EC on P-256, P-384 or P-521, and Ed25519";

type Use = "CERTIFICATE" | "PRIVATE KEY";

/** Content that TLS here can't read, after its use, with the command that converts it. */
const FOREIGN: readonly (readonly [RegExp, string])[] = [
  [/^CERTIFICATE:[^]*BEGIN TRUSTED/, "a TRUSTED CERTIFICATE: openssl x509 -in FILE -out NEW"],
  [/^CERTIFICATE:0(?![^]*-----BEGIN)/, "DER: openssl x509 -inform der -in FILE -out NEW"],
  [/^PRIVATE KEY:0(?![^]*-----BEGIN)/, "DER: openssl pkey -inform der -in FILE -out NEW"],
  [/^PRIVATE KEY:[^]*[ ,]ENCRYPTED/, "a key with a passphrase: openssl pkey -in FILE -out NEW"],
  [/^PRIVATE KEY:[^]*BEGIN OPENSSH/, "a key in the form of SSH: ssh-keygen -p -m PEM -f FILE"],
];

/**
 * Takes the certificates, or the private keys, out of a text in PEM form. A byte order mark, other
 * blocks, text between the blocks and missing line ends do no harm.
 * @param name the file's or the option's, for the error
 * @throws {TypeError} if there is none, or one that can't be used
 */
export function readPem(text: string, name: string, use: Use): string {
  const wrong = (why: string) => new TypeError(`cannot use ${name}: ${why.replace("FILE", name)}`);
  const pem = text.replaceAll("\0", ""); // UTF-16, which Windows writes, has them
  const foreign = FOREIGN.find(([pattern]) => pattern.test(`${use}:${pem}`))?.[1];
  if (foreign !== undefined) throw wrong(`convert it first, it holds ${foreign}`);
  const blocks = [...pem.matchAll(BLOCK)];
  const used = blocks.filter(([_, label]) => label?.endsWith(use));
  if (used.length === 0) throw wrong(`it holds no ${use} in PEM form`);
  if (blocks.length < pem.split("-----BEGIN ").length - 1) throw wrong("a block in it has no end");
  return used.map(([_, label = "", content = ""]) => {
    const [own, base64] = [label.replace("X509 ", ""), content.replaceAll(/\s/g, "")];
    const lines = base64.replaceAll(/.{64}(?=.)/g, "$&\n");
    return `-----BEGIN ${own}-----\n${lines}\n-----END ${own}-----\n`;
  }).join("");
}

/**
 * Returns an identity as TLS here reads it, if there is one.
 * @throws {TypeError} if one half is missing, or can't be used
 */
export function identityOf({ cert, key }: TlsOptions): Identity | undefined {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new TypeError("cert and key go together: one is missing");
  }
  return { cert: readPem(cert, "cert", "CERTIFICATE"), key: readPem(key, "key", "PRIVATE KEY") };
}

/**
 * Reads the files that options name.
 * @throws {Error} whose message names the file and the reason
 */
export async function readTls({ ca, cert, key }: TlsOptions): Promise<TlsOptions> {
  return {
    ca: ca && await readFile(ca, "CERTIFICATE"),
    cert: cert && await readFile(cert, "CERTIFICATE"),
    key: key && await readFile(key, "PRIVATE KEY"),
  };
}

async function readFile(file: string, use: Use): Promise<string> {
  const text = await Deno.readTextFile(file).catch((error) => {
    const why = error instanceof Deno.errors.NotFound
      ? "no such file"
      : error instanceof Deno.errors.NotCapable
      ? "run it with --allow-read"
      : errorMessage(error).replace(/ \(os error.*$/, "");
    throw new Error(`cannot read ${file}: ${why}`);
  });
  const pem = readPem(text, file, use);
  for (const [block] of pem.matchAll(BLOCK)) {
    const problem = await problemOf(block, use);
    if (problem !== undefined) throw new Error(`cannot use ${file}: ${problem}`);
  }
  return pem;
}

/** Returns why a block can't be used, if so. */
async function problemOf(block: string, use: Use): Promise<string | undefined> {
  const { createPrivateKey, X509Certificate } = await import("node:crypto");
  try {
    if (use === "CERTIFICATE") return void new X509Certificate(block);
    const { asymmetricKeyType: type, asymmetricKeyDetails: details = {} } = createPrivateKey(block);
    const { modulusLength = 0, namedCurve = "" } = details;
    const isUsable = type === "ed25519" || (type === "rsa" && modulusLength >= 2048) ||
      (type === "ec" && CURVES.test(namedCurve));
    return isUsable ? undefined : WRONG_KIND;
  } catch (error) {
    // Deno before 2.9 can't parse some keys that TLS can use: then connecting or listening decides.
    const isUnsupported = /unsupported (ec|private)/.test(errorMessage(error));
    return isUnsupported ? undefined : `a ${use} in it is damaged`;
  }
}
