/**
 * Certificates of a test's own: a signer, and whom it signed for. They are made in this process,
 * where one takes a millisecond: two runs of openssl take 40.
 */

import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";

type Bytes = Iterable<number>;

const encode = (text: string): Bytes => new TextEncoder().encode(text);

/** A value in DER, the form of certificates: its tag, its length and its parts. */
function der(tag: number, ...parts: readonly Bytes[]): number[] {
  const content = parts.flatMap((part) => [...part]);
  const { length } = content;
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return [tag, ...length < 128 ? [length] : long, ...content];
}

const sequence = (...parts: readonly Bytes[]) => der(0x30, ...parts);
const identifier = (...bytes: number[]) => der(0x06, bytes);
const TRUE = der(0x01, [0xff]);
const ECDSA_WITH_SHA256 = sequence(identifier(0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2));
const DAY = 24 * 60 * 60 * 1000;

/** Somebody's common name. */
const commonName = (name: string) =>
  sequence(der(0x31, sequence(identifier(0x55, 4, 3), der(0x0c, encode(name)))));

/** The time in so many days from now. */
function time(days: number): number[] {
  const iso = new Date(Date.now() + days * DAY).toISOString();
  return der(0x17, encode(iso.replaceAll(/^..|[-:T]|\.\d+/g, "")));
}

/** An extension, by its number. */
const extension = (id: number, value: Bytes, isCritical = false) =>
  sequence(identifier(0x55, 0x1d, id), isCritical ? TRUE : [], der(0x04, value));

const basicConstraints = (...content: readonly Bytes[]) =>
  extension(19, sequence(...content), true);
/** The right to sign certificates. */
const KEY_CERT_SIGN = extension(15, der(0x03, [2, 0x04]), true);

function alternativeNames(names: string): number[] {
  const each = names.split(",").map((text) => {
    const [kind, name = ""] = text.split(":");
    return kind === "IP" ? der(0x87, name.split(".").map(Number)) : der(0x82, encode(name));
  });
  return extension(17, sequence(...each));
}

/** A private key, and what certificates contain of the public one. */
function makeKeys() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  return { privateKey, spki, id: createHash("sha1").update(spki).digest() };
}

const SIGNER = "readback's signer for tests";

/** Files in a folder of their own, gone at the end of the block. */
export class Certificates implements AsyncDisposable {
  readonly #signer = makeKeys();

  private constructor(readonly folder: string) {}

  /** Makes the signer: `ca.pem`, `ca.key`. */
  static async make(): Promise<Certificates> {
    const made = new Certificates(await Deno.makeTempDir({ prefix: "readback-certificates-" }));
    await made.#write("ca", made.#signer, SIGNER, 2, [basicConstraints(TRUE), KEY_CERT_SIGN]);
    return made;
  }

  /** The path of a file. */
  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  /**
   * Makes `NAME.pem` and `NAME.key`, signed by the signer.
   * @param names who it is, as openssl writes them: `DNS:localhost,IP:127.0.0.1`; empty: nobody
   * @param days valid from now; over already where it is negative
   * @param version 1 has no names
   */
  async sign(name: string, names: string, days = 2, version = 3): Promise<string[]> {
    const extensions = [basicConstraints(), ...names === "" ? [] : [alternativeNames(names)]];
    await this.#write(name, makeKeys(), name, days, version === 3 ? extensions : undefined);
    return ["--tls-cert", this.path(`${name}.pem`), "--tls-key", this.path(`${name}.key`)];
  }

  /** @param extensions those that name no key; without any, the certificate is of version 1 */
  async #write(
    file: string,
    { privateKey, spki, id }: ReturnType<typeof makeKeys>,
    name: string,
    days: number,
    extensions?: Bytes[],
  ): Promise<void> {
    const signer = this.#signer;
    const keys = [extension(14, der(0x04, id)), extension(35, sequence(der(0x80, signer.id)))];
    const content = sequence(
      extensions ? der(0xa0, der(0x02, [2])) : [], // version 1 is 0
      der(0x02, [1, ...randomBytes(15)]), // its number
      ECDSA_WITH_SHA256,
      commonName(SIGNER),
      sequence(time(-2), time(days)),
      commonName(name),
      spki,
      extensions ? der(0xa3, sequence(...extensions, ...keys)) : [],
    );
    const signature = sign("sha256", Uint8Array.from(content), signer.privateKey);
    const all = sequence(content, ECDSA_WITH_SHA256, der(0x03, [0], signature));
    const lines = btoa(String.fromCharCode(...all)).replaceAll(/.{64}(?=.)/g, "$&\n");
    const pem = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
    await Deno.writeTextFile(this.path(`${file}.pem`), pem);
    const key = privateKey.export({ type: "pkcs8", format: "pem" });
    await Deno.writeTextFile(this.path(`${file}.key`), key.toString());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}
