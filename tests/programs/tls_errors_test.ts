/** What is said when TLS fails: on the server's side of openssl's clients, on the client's of its servers. */

import { assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { Certificates } from "../support/certificates.ts";
import { Peer } from "../../lib/client/peer.ts";
import { readTls } from "../../lib/net/pem.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { type ServerProgram, startClient, startServer } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";

const TOO_OLD = "it offers neither TLS 1.2 nor 1.3";
const NOTHING_IN_COMMON = "no cipher or key exchange in common, or none for our kind of key";
const NO_TLS = "it does not speak TLS, which is required here";
const UNTRUSTED = "it does not trust the signer of our certificate";

describe("a server says of a client why it was not let in:", requires("openssl"), () => {
  let certificates: Certificates;
  let server: ServerProgram;

  before(async () => {
    certificates = await Certificates.make();
    await certificates.sign("other", "DNS:other");
    server = await startServer(await certificates.sign("server", "DNS:localhost,IP:127.0.0.1"));
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await certificates[Symbol.asyncDispose]();
  });

  const refused = async () => (await server.until(/ was refused: (.*)\n/))[1];

  for (
    const [said, reason] of [
      ["hello\n", NO_TLS],
      ["GET / HTTP/1.0\r\n\r\n", NO_TLS],
      ["PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", NO_TLS],
      ["\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", NO_TLS],
      ["\x16\x03\x01", "it closed the connection in the handshake"],
      ["", "it closed the connection in the handshake"],
    ] as const
  ) {
    it(`${JSON.stringify(said)}, then end-of-file`, async () => {
      using wire = await Wire.dial(server.port);
      await wire.send(said);
      await wire.end();
      assertEquals(await refused(), reason);
    });
  }

  for (
    const [options, reason] of [
      ["-tls1_1 -cipher DEFAULT@SECLEVEL=0", TOO_OLD],
      ["-tls1_2 -cipher AES128-SHA", NOTHING_IN_COMMON],
      ["-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256", NOTHING_IN_COMMON],
      ["-tls1_3 -groups secp521r1", NOTHING_IN_COMMON],
      ["-tls1_2 -groups secp521r1", NOTHING_IN_COMMON],
      ["-tls1_3 -sigalgs RSA+SHA256", NOTHING_IN_COMMON],
      ["-tls1_2 -CAfile other.pem -verify_return_error", UNTRUSTED],
      ["-tls1_3 -CAfile other.pem -verify_return_error", UNTRUSTED],
      [
        "-CAfile ca.pem -verify_return_error -verify_hostname elsewhere",
        "it rejects our certificate, which may be for another name",
      ],
    ] as const
  ) {
    it(`openssl s_client ${options}`, async () => {
      const words = options.replace(/\w+\.pem/, (file) => certificates.path(file)).split(" ");
      const connect = ["-connect", `127.0.0.1:${server.port}`];
      await using client = new Program(["openssl", "s_client", ...connect, ...words]);
      assertEquals(await refused(), reason);
      await client.endInput();
      await client.exitCode();
    });
  }
});

const RECIPE =
  "make a suitable one, and trust it with --ca cert.pem: openssl req -x509 -newkey rsa:2048 -nodes " +
  "-keyout key.pem -out cert.pem -days 365 -subj /CN=127.0.0.1 " +
  "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE";
const NO_CIPHER = "no cipher or key exchange in common";
const OR_ASKS = `${NO_CIPHER}, or it requires a client certificate: give one with --cert and --key`;
const ASKS = "it requires a client certificate: give one with --cert and --key";
const UNKNOWN = "it does not trust the signer of our certificate: choose another --cert";

/** An `openssl s_server`, which says every line backwards. */
async function startOpenssl(
  certificates: Certificates,
  name: string,
  options = "",
): Promise<[Program, number]> {
  const path = (file: string) => certificates.path(file);
  const identity = ["-cert", path(`${name}.pem`), "-key", path(`${name}.key`)];
  const words = options.replace(/\w+\.pem/, path).split(" ").filter((word) => word !== "");
  const accept = ["-accept", "127.0.0.1:0", "-rev"];
  const server = new Program(["openssl", "s_server", ...accept, ...identity, ...words]);
  const [, port] = await server.until(/ACCEPT .*:(\d+)/);
  return [server, Number(port)];
}

describe("a client says of a server", requires("openssl"), () => {
  let certificates: Certificates;

  before(async () => {
    certificates = await Certificates.make();
    await certificates.sign("server", "DNS:localhost,IP:127.0.0.1");
    await certificates.sign("client", "DNS:client");
    await certificates.sign("nameless", "");
    await certificates.sign("version1", "", 2, 1);
  });
  after(() => certificates[Symbol.asyncDispose]());

  /** What a server says to "hello", or why not. */
  async function say(port: number, ca: string, own?: string): Promise<string> {
    const path = (file: string) => certificates.path(file);
    const identity = { cert: own && path(`${own}.pem`), key: own && path(`${own}.key`) };
    const tls = await readTls({ ca: path(ca), ...identity });
    try {
      using peer = await Peer.connect({ port, tls, timeout: 10_000, framing: "line" });
      return (await peer.request("hello")).text;
    } catch (error) {
      return (error as Error).message.replace(/ to 127.0.0.1:\d+/, "");
    }
  }

  for (
    const [name, options, own, said] of [
      ["server", "", undefined, "olleh"],
      ["server", "-Verify 1 -CAfile ca.pem -verify_return_error", "client", "olleh"],
      ["server", "-tls1_2 -Verify 1 -CAfile ca.pem -verify_return_error", "client", "olleh"],
      ["server", "-Verify 1", undefined, `the server has ended the TLS connection: ${ASKS}`],
      ["server", "-tls1_2 -Verify 1", undefined, `cannot connect: ${OR_ASKS}`],
      [
        "server",
        "-Verify 1 -CAfile version1.pem -verify_return_error",
        "client",
        `the server has ended the TLS connection: ${UNKNOWN}`,
      ],
      [
        "server",
        "-tls1_2 -Verify 1 -CAfile version1.pem -verify_return_error",
        "client",
        `cannot connect: ${UNKNOWN}`,
      ],
      ["server", "-tls1_2 -cipher AES128-SHA", undefined, `cannot connect: ${OR_ASKS}`],
      ["server", "-tls1_2 -cipher AES128-SHA", "client", `cannot connect: ${NO_CIPHER}`],
      [
        "server",
        "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256",
        "client",
        `cannot connect: ${NO_CIPHER}`,
      ],
      ["server", "-tls1_3 -groups secp521r1", "client", `cannot connect: ${NO_CIPHER}`],
      ["server", "-tls1_1 -cipher DEFAULT@SECLEVEL=0", undefined, `cannot connect: ${TOO_OLD}`],
      [
        "nameless",
        "",
        undefined,
        `cannot connect: its certificate has no name (in a subjectAltName): ${RECIPE}`,
      ],
      [
        "version1",
        "",
        undefined,
        `cannot connect: its certificate is X.509 version 1, and only version 3 has names: ${RECIPE}`,
      ],
      [
        "ca",
        "",
        undefined,
        `cannot connect: its certificate is a signer's, and the server needs one that is not: ${RECIPE}`,
      ],
    ] as const
  ) {
    it(`${name}.pem ${options}, ${own ? "with" : "without"} a certificate of ours`, async () => {
      const [server, port] = await startOpenssl(certificates, name, options);
      await using _ = server;
      assertEquals(await say(port, "ca.pem", own), said);
    });
  }

  it("how to make a right certificate, and that does", async () => {
    const [, command = ""] = /: (openssl .*)$/.exec(RECIPE) ?? [];
    const [openssl = "", ...args] = command.split(" ");
    const { success } = await new Deno.Command(openssl, {
      args,
      cwd: certificates.folder,
      stderr: "null",
    }).output();
    assertEquals(success, true);
    const path = (file: string) => certificates.path(file);
    await using server = await startServer([
      ...["--tls-cert", path("cert.pem"), "--tls-key", path("key.pem")],
    ]);
    assertMatch(await say(server.port, "cert.pem"), /^\[hello\]/);
  });

  it("nothing, where --cert and --key show who the client is", async () => {
    const options = "-Verify 1 -CAfile ca.pem -verify_return_error";
    const [server, port] = await startOpenssl(certificates, "server", options);
    await using _ = server;
    const path = (file: string) => certificates.path(file);
    const identity = ["--cert", path("client.pem"), "--key", path("client.key")];
    await using client = startClient(
      ["-p", port, "--tls", "--ca", path("ca.pem"), ...identity, "-m", "hello"],
    );
    await client.ends(0);
    assertEquals(client.stdout, "olleh\n");
    await server.untilError(/Peer certificate: CN = client\n/);
  });
});
