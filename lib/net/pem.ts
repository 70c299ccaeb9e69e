/** PEM files as they occur in practice, made into what TLS here reads. */

import { errorMessage } from "../checks.ts";

/** A certificate and its private key, in PEM form. */
export interface Identity {
  /** The certificate, and those that signed it. */
  readonly cert: string;
  readonly key: string;
}

/** A client's options of TLS, in PEM form or as names of files. */
export interface TlsOptions {
  /** Certificates that are trusted besides the system's. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([^]*?)-----END \1-----/g;

/** What a file is read for, and the labels of its blocks. */
const USED = { CERTIFICATE: /^(X509 )?CERTIFICATE$/, "PRIVATE KEY": /PRIVATE KEY$/ };
/** Blocks that TLS here can't read, by use, label and content, with the command that converts them. */
const FOREIGN: readonly (readonly [RegExp, string])[] = [
  [/^CERTIFICATE:TRUSTED/, "a TRUSTED CERTIFICATE: openssl x509 -in FILE -out NEW"],
  [/^PRIVATE KEY:[^]*ENCRYPTED/, "a key with a passphrase: openssl pkey -in FILE -out NEW"],
  [/^PRIVATE KEY:OPENSSH/, "a key in the form of SSH: ssh-keygen -p -m PEM -f FILE"],
];

/**
 * Takes the certificates, or the private key, out of a text in PEM form. A byte order mark, other
 * blocks, text between the blocks and missing line ends do no harm.
 * @param name the file's, for the error
 * @throws {Error} if there is none, or one that can't be used
 */
function readPem(text: string, name: string, use: keyof typeof USED): string {
  const wrong = (why: string) => new TypeError(`cannot use ${name}: ${why.replace("FILE", name)}`);
  const pem = text.replaceAll("\0", ""); // of UTF-16, which Windows writes
  const blocks = [...pem.matchAll(BLOCK)];
  if (blocks.length !== pem.match(/-----BEGIN /g)?.length && blocks.length > 0) {
    throw wrong("a block in it has no end");
  }
  for (const [_, label = "", content = ""] of blocks) {
    const what = FOREIGN.find(([pattern]) => pattern.test(`${use}:${label}${content}`))?.[1];
    if (what !== undefined) throw wrong(`convert it first, it holds ${what}`);
  }
  const used = blocks.filter(([_, label = ""]) => USED[use].test(label));
  if (used.length === 0) throw wrong(`it holds no ${use} in PEM form`);
  return used.map(([_, label = "", content = ""]) => {
    const lines = content.replaceAll(/\s/g, "").match(/.{1,64}/g) ?? [];
    const own = label.replace("X509 ", "");
    return [`-----BEGIN ${own}-----`, ...lines, `-----END ${own}-----`, ""].join("\n");
  }).join("");
}

/**
 * Returns certificates in PEM form, as TLS here reads them.
 * @param name the option, for the error
 * @throws {TypeError} if there are none
 */
export function certificatesOf(pem: string, name: string): string {
  return readPem(pem, name, "CERTIFICATE");
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
  return { cert: certificatesOf(cert, "cert"), key: readPem(key, "key", "PRIVATE KEY") };
}

/**
 * Reads the two files of an identity.
 * @throws {Error} whose message names the file and the reason
 */
export async function readIdentity(cert: string, key: string): Promise<Identity> {
  return { cert: await readCertificates(cert), key: await readKey(key) };
}

/**
 * Reads the files of a client's options.
 * @throws {Error} whose message names the file and the reason
 */
export async function readTls({ ca, cert, key }: TlsOptions): Promise<TlsOptions> {
  const identity = cert && key ? await readIdentity(cert, key) : {};
  return { ca: ca && await readCertificates(ca), ...identity };
}

/**
 * Reads the certificates of a file.
 * @throws {Error} whose message names the file
 */
export async function readCertificates(file: string): Promise<string> {
  const pem = readPem(await readText(file), file, "CERTIFICATE");
  const { X509Certificate } = await import("node:crypto");
  pem.match(BLOCK)?.forEach((block, at) => {
    try {
      new X509Certificate(block);
    } catch {
      throw new Error(`cannot use ${file}: certificate ${at + 1} in it is damaged`);
    }
  });
  return pem;
}

/**
 * Reads the private key of a file.
 * @throws {Error} whose message names the file
 */
export async function readKey(file: string): Promise<string> {
  const pem = readPem(await readText(file), file, "PRIVATE KEY");
  const { createPrivateKey } = await import("node:crypto");
  const parse = () => {
    try {
      return createPrivateKey(pem);
    } catch {
      throw new Error(`cannot use ${file}: the key in it is damaged`);
    }
  };
  const { asymmetricKeyType: type = "", asymmetricKeyDetails: details = {} } = parse();
  const curves = ["prime256v1", "secp384r1", "secp521r1"];
  const isUsable = type === "rsa"
    ? (details.modulusLength ?? 0) >= 2048
    : type === "ec"
    ? curves.includes(details.namedCurve ?? "")
    : type === "ed25519";
  if (isUsable) return pem;
  throw new Error(
    `cannot use ${file}: its kind of key is not for TLS here, which takes RSA of 2048 bits or ` +
      "more, EC on P-256, P-384 or P-521, and Ed25519",
  );
}

async function readText(file: string): Promise<string> {
  return await Deno.readTextFile(file).catch((error) => {
    throw new Error(`cannot read ${file}: ${describeReadError(error)}`);
  });
}

function describeReadError(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  if (error instanceof Deno.errors.NotCapable) return "run it with --allow-read";
  return errorMessage(error).replace(/ \(os error.*$/, "");
}
