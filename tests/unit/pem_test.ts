/** Certificates and keys as files have them: each is used, or refused by the file's name. */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { listen, Peer, serve } from "../../lib/mod.ts";
import { readTls } from "../../lib/net/pem.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Certificates } from "../support/certificates.ts";

let files: Certificates;
let cert: string;
let key: string;

/** A file with these bytes. */
async function file(name: string, content: string | Uint8Array): Promise<string> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  await Deno.writeFile(files.path(name), bytes);
  return files.path(name);
}

function utf16(text: string): Uint8Array {
  return new Uint8Array(Uint16Array.from(`\ufeff${text}`, (unit) => unit.charCodeAt(0)).buffer);
}

/** A file that openssl makes; `FILE` in the arguments is its path. */
async function made(name: string, ...args: readonly string[]): Promise<string> {
  const path = files.path(name);
  const words = args.map((arg) => arg.replace("FILE", path));
  const { success } = await new Deno.Command("openssl", { args: words, cwd: files.folder })
    .output();
  assertEquals(success, true, words.join(" "));
  return path;
}

/** The bytes of a block in PEM form. */
const derOf = (pem: string) => Buffer.from(pem.replace(/^-.*$/gm, ""), "base64");

/** RSA, on 2048 bits, as openssl makes it in a quarter of a second. */
const RSA = await Deno.readTextFile(new URL("../support/rsa.key", import.meta.url));

/** The same key for RSA-PSS alone: the number of another algorithm. */
function rsaPss(): string {
  const [rsa, pss] = ["300d06092a864886f70d0101010500", "300b06092a864886f70d01010a"];
  const content = Buffer.from(derOf(RSA).toString("hex").slice(8).replace(rsa, pss), "hex");
  const bytes = Buffer.concat([Uint8Array.of(0x30, 0x82, 0, 0), content]);
  bytes.writeUint16BE(content.length, 2);
  return `-----BEGIN PRIVATE KEY-----\n${bytes.toString("base64")}\n-----END PRIVATE KEY-----\n`;
}

async function readCertificates(path: string): Promise<string> {
  return (await readTls({ ca: path })).ca ?? "";
}

async function readKey(path: string): Promise<string> {
  return (await readTls({ cert: files.path("server.pem"), key: path })).key ?? "";
}

async function refusal(reading: Promise<string>): Promise<string> {
  return (await assertRejects(() => reading, Error)).message;
}

describe("PEM", requires("openssl"), () => {
  before(async () => {
    files = await Certificates.make();
    const [, certFile = "", , keyFile = ""] = await files.sign("server", "DNS:localhost");
    cert = await Deno.readTextFile(certFile);
    key = await Deno.readTextFile(keyFile);
  });
  after(() => files[Symbol.asyncDispose]());

  it("is read with marks, other line ends, other text and other blocks", async () => {
    const oneLine = cert.replace(
      /\n(?=.*\n)/g,
      (end, at) => at < 40 || at > cert.length - 40 ? end : "",
    );
    for (
      const content of [
        `\ufeff${cert}`,
        utf16(cert),
        cert.replaceAll("\n", "\r\n"),
        cert.replace(/^/gm, "  "),
        cert.trimEnd(),
        oneLine,
        `Certificate:\n  Subject: CN=server\n${cert}and no more`,
        cert.replaceAll("CERTIFICATE", "X509 CERTIFICATE"),
        key + cert,
      ]
    ) {
      assertEquals(await readCertificates(await file("odd.pem", content)), cert);
    }
    const two = await file("two.pem", cert.trimEnd() + cert);
    assertEquals(await readCertificates(two), cert + cert);
    const parameters =
      "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    for (const content of [`\ufeff${key}`, parameters + key, cert + key]) {
      assertEquals(await readKey(await file("odd.key", content)), key);
    }
  });

  it("is refused by the file's name where it can't be used", async () => {
    const trusted = await made(
      "trusted.pem",
      "x509",
      "-in",
      "server.pem",
      "-trustout",
      "-out",
      "FILE",
    );
    assertEquals(
      await refusal(readCertificates(trusted)),
      `cannot use ${trusted}: convert it first, it holds a TRUSTED CERTIFICATE: ` +
        `openssl x509 -in ${trusted} -out NEW`,
    );
    const aes = ["-aes128", "-passout", "pass:x", "-out", "FILE"];
    for (const how of [["pkey"], ["ec"]]) {
      const locked = await made("locked.key", ...how, "-in", "server.key", ...aes);
      assertMatch(
        await refusal(readKey(locked)),
        /locked\.key: .* a key with a passphrase: openssl/,
      );
    }
    for (const [name, pem] of [["x509", cert], ["pkey", key]] as const) {
      const der = await file(`${name}.der`, derOf(pem));
      assertEquals(
        await refusal(name === "pkey" ? readKey(der) : readCertificates(der)),
        `cannot use ${der}: convert it first, it holds DER: ` +
          `openssl ${name} -inform der -in ${der} -out NEW`,
      );
    }
    const [half, damaged] = [cert.slice(0, -30), cert.replace(/(.{30})\n.*\n/, "$1\n")];
    for (
      const [content, why] of [
        ["", "it holds no CERTIFICATE in PEM form"],
        [key, "it holds no CERTIFICATE in PEM form"],
        [half, "it holds no CERTIFICATE in PEM form"],
        [cert + half, "a block in it has no end"],
        [cert + damaged, "a CERTIFICATE in it is damaged"],
      ] as const
    ) {
      const path = await file("wrong.pem", content);
      assertEquals(await refusal(readCertificates(path)), `cannot use ${path}: ${why}`);
    }
    const path = await file("wrong.key", key.replace(/\n.{8}/, "\nAAAAAAAA"));
    assertEquals(
      await refusal(readKey(path)),
      `cannot use ${path}: a PRIVATE KEY in it is damaged`,
    );
    const absent = files.path("absent.pem");
    assertEquals(await refusal(readKey(absent)), `cannot read ${absent}: no such file`);
  });

  it("with a kind of key that TLS here can't use is refused", async () => {
    const kinds = [
      [["ED25519"], true],
      [["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], true],
      [["RSA", "-pkeyopt", "rsa_keygen_bits:1024"], false],
      [["EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], false],
      [["ED448"], false],
    ] as const;
    const keys: [name: string, path: string, isUsable: boolean][] = [
      ["RSA 2048", await file("rsa.key", RSA), true],
      ["RSA-PSS", await file("pss.key", rsaPss()), false],
    ];
    for (const [kind, isUsable] of kinds) {
      const path = await made(
        `${keys.length}.key`,
        "genpkey",
        "-out",
        "FILE",
        "-algorithm",
        ...kind,
      );
      keys.push([kind.join(" "), path, isUsable]);
    }
    for (const [name, path, isUsable] of keys) {
      const isRead = await readKey(path).then(() => true, ({ message }) => {
        assertMatch(message, /\.key: its kind of key is not for TLS here, which takes RSA/);
        return false;
      });
      assertEquals(isRead, isUsable, name);
    }
  });

  it("as a text is read in the same way", async () => {
    const listeners = await listen({ cert: `\ufeff${cert}`, key: `\ufeff${key}` });
    await using server = serve((message, reply) => reply.write(message), { listeners });
    const { port } = server.addr as Deno.NetAddr;
    const ca = `\ufeff${await Deno.readTextFile(files.path("ca.pem"))}`;
    using peer = await Peer.connect({ hostname: "localhost", port, tls: { ca } });
    await peer.request("hello");
    await assertRejects(
      () => Peer.connect({ hostname: "localhost", port, tls: { ca: "none" } }),
      Error,
      "cannot use ca: it holds no CERTIFICATE in PEM form",
    );
  });
});
