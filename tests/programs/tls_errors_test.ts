/** What is said when TLS fails: on the server's side of openssl's clients, on the client's of its servers. */

import { assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { readback, serve } from "../../lib/mod.ts";
import { Certificates } from "../support/certificates.ts";
import { Peer } from "../../lib/client/peer.ts";
import { readTls } from "../../lib/net/pem.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { type ServerProgram, startClient, startServer } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";

/** Keeps openssl from loading the certificates that the system trusts, which costs 25 ms of CPU time. */
const NO_STORE = ["-no-CAfile", "-no-CApath", "-no-CAstore"];
const TOO_OLD = "it offers neither TLS 1.2 nor 1.3";
const NOTHING_IN_COMMON = "no cipher or key exchange in common, or none for our kind of key";
const NO_TLS = "it does not speak TLS, which is required here";
const UNTRUSTED = "it does not trust the signer of our certificate";

const NEEDS = requires("openssl");

describe("a server says of a client why it was not let in:", () => {
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
    it(`openssl s_client ${options}`, NEEDS, async () => {
      const words = options.replace(/\w+\.pem/, (file) => certificates.path(file)).split(" ");
      const connect = ["-connect", `127.0.0.1:${server.port}`, ...NO_STORE];
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
class OpensslServer extends Program {
  port = 0;

  /** Starts one that has a certificate of that name. */
  static async start(
    certificates: Certificates,
    name: string,
    options: string,
  ): Promise<OpensslServer> {
    const path = (file: string) => certificates.path(file);
    const identity = ["-cert", path(`${name}.pem`), "-key", path(`${name}.key`)];
    const words = options.replace(/\w+\.pem/, path).split(" ").filter((word) => word !== "");
    const accept = ["-accept", "127.0.0.1:0", "-rev", ...NO_STORE];
    const server = new OpensslServer(["openssl", "s_server", ...accept, ...identity, ...words]);
    const [, port] = await server.until(/ACCEPT .*:(\d+)/).catch(async (error) => {
      await server.close();
      throw error;
    });
    server.port = Number(port);
    return server;
  }
}

describe("a client says of a server", NEEDS, () => {
  /** The signer, the servers' certificates, and one of a client. */
  let certificates: Certificates;
  /** Another signer, and a client's certificate that it signed. */
  let others: Certificates;

  before(async () => {
    certificates = await Certificates.make();
    await certificates.sign("server", "DNS:localhost,IP:127.0.0.1");
    await certificates.sign("version1", "", 2, 1);
    others = await Certificates.make();
    for (const signer of [certificates, others]) await signer.sign("client", "DNS:client");
  });
  after(async () => {
    for (const made of [certificates, others]) await made[Symbol.asyncDispose]();
  });

  /** What a server says to "hello", or why not. */
  async function say(port: number, ca: string, own?: Certificates): Promise<string> {
    const identity = { cert: own?.path("client.pem"), key: own?.path("client.key") };
    const tls = await readTls({ ca: certificates.path(ca), ...identity });
    try {
      using peer = await Peer.connect({ port, tls, timeout: 10_000, framing: "line" });
      return (await peer.request("hello")).text;
    } catch (error) {
      return (error as Error).message.replace(/ to 127.0.0.1:\d+/, "");
    }
  }

  const OURS = "with a certificate of ours";
  const NONE = "without a certificate of ours";
  const STRANGE = "with one of ours whose signer it does not know";
  const identityOf = (which: string) =>
    which === OURS ? certificates : which === STRANGE ? others : undefined;
  const VERIFY = "-Verify 1 -CAfile ca.pem -verify_return_error";

  for (
    const [name, options, clients] of [
      ["server", "", [[NONE, "olleh"]]],
      ["server", `-tls1_2 ${VERIFY}`, [
        [OURS, "olleh"],
        [NONE, `cannot connect: ${OR_ASKS}`],
        [STRANGE, `cannot connect: ${UNKNOWN}`],
      ]],
      ["server", "-tls1_2 -cipher AES128-SHA", [
        [NONE, `cannot connect: ${OR_ASKS}`],
        [OURS, `cannot connect: ${NO_CIPHER}`],
      ]],
      ["server", "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256", [
        [OURS, `cannot connect: ${NO_CIPHER}`],
      ]],
      ["server", "-tls1_3 -groups secp521r1", [[OURS, `cannot connect: ${NO_CIPHER}`]]],
      ["server", "-tls1_1 -cipher DEFAULT@SECLEVEL=0", [[NONE, `cannot connect: ${TOO_OLD}`]]],
      ["version1", "", [[
        NONE,
        `cannot connect: its certificate is X.509 version 1, and only version 3 has names: ${RECIPE}`,
      ]]],
    ] as const
  ) {
    const all = clients.map(([which]) => which).join("; ");
    it(`${name}.pem ${options}, ${all}`, async () => {
      await using server = await OpensslServer.start(certificates, name, options);
      for (const [which, said] of clients) {
        assertEquals(await say(server.port, "ca.pem", identityOf(which)), said, which);
      }
    });
  }

  it(`server.pem ${VERIFY}: nothing, where --cert and --key show who the client is`, async () => {
    await using server = await OpensslServer.start(certificates, "server", VERIFY);
    const path = (file: string) => certificates.path(file);
    const identity = ["--cert", path("client.pem"), "--key", path("client.key")];
    await using client = startClient(
      ["-p", server.port, "--tls", "--ca", path("ca.pem"), ...identity, "-m", "hello"],
    );
    await client.ends(0);
    assertEquals(client.stdout, "olleh\n");
    await server.untilError(/Peer certificate: CN = client\n/);
    for (const [which, why] of [[NONE, ASKS], [STRANGE, UNKNOWN]] as const) {
      assertEquals(
        await say(server.port, "ca.pem", identityOf(which)),
        `the server has ended the TLS connection: ${why}`,
        which,
      );
    }
  });

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
    const identity = await readTls({ cert: path("cert.pem"), key: path("key.pem") });
    await using server = serve(readback(), identity);
    assertMatch(await say(server.port, "cert.pem"), /^\[hello\]/);
  });
});
