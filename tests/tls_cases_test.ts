/** What is said when TLS fails: on the server's side of openssl's clients, on the client's of its servers. */

import { assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { Certificates } from "./certificates.ts";
import { needs } from "../lib/testing/needs.ts";
import { Program, type ServerProgram, startServer } from "../lib/testing/program.ts";
import { Wire } from "../lib/testing/wire.ts";

const TOO_OLD = "it speaks no version of TLS that we do: 1.2 or 1.3";
const NOTHING_IN_COMMON =
  "it has no cipher, or no group, in common with us, or none for our kind of key";
const NO_TLS = "it does not speak TLS, and must here";
const UNTRUSTED = "it does not trust whoever signed our certificate: it must be told to";

describe("a server says of a client why it was not let in:", needs("openssl"), () => {
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

  const refused = async () => (await server.until(/ was not let in: (.*)\n/))[1];

  for (
    const [said, reason] of [
      ["hello\n", NO_TLS],
      ["GET / HTTP/1.0\r\n\r\n", NO_TLS],
      ["PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", NO_TLS],
      ["\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", NO_TLS],
      ["\x16\x03\x01", "it hung up in the handshake"],
      ["", "it hung up in the handshake"],
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
        "it does not accept our certificate: that may be for another name",
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
