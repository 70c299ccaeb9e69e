/** The sentences for errors of the system and of TLS: the reason, and the remedy. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import * as errors from "../../lib/net/errors.ts";

const { AddrInUse, AddrNotAvailable, ConnectionRefused, NotCapable, NotFound } = Deno.errors;
const { PermissionDenied, UnexpectedEof, WouldBlock } = Deno.errors;
const REFUSED = "connection refused: start a server, or check --host and --port";

describe("connecting failed:", () => {
  for (
    const [error, server, why] of [
      [new ConnectionRefused(), {}, REFUSED],
      [
        new ConnectionRefused(),
        { hostname: "::1:80" },
        `${REFUSED} (for port 80 of ::1, write [::1]:80)`,
      ],
      [new NotFound(), { hostname: "a" }, REFUSED],
      [
        new ConnectionRefused(),
        { path: "/a" },
        "connection refused: start a server, or check --unix",
      ],
      [new NotFound(), { path: "/a" }, "connection refused: start a server, or check --unix"],
      [
        new WouldBlock(),
        { path: "/a" },
        "its listen queue is full: too many connections wait in it",
      ],
      [new UnexpectedEof(), {}, "it closed the connection in the TLS handshake"],
      [new Error("getaddrinfo ENOTFOUND a"), {}, "no such name: check --host"],
      [new Error("failed to lookup address information"), {}, "no such name: check --host"],
      [new Error("EAI_AGAIN"), {}, "no such name: check --host"],
      [new Error("Name or service not known"), {}, "no such name: check --host"],
      [new Error("a FQDN"), {}, "no such name: check --host"],
      [new Error("longer than SUN_LEN"), { path: "/a" }, "a socket's path has at most 107 bytes"],
      [
        new NotCapable("Requires read access to x"),
        {},
        "permission denied: run it with --allow-read",
      ],
      [new NotCapable("no"), {}, "permission denied: run it with --allow-net"],
      [new Error("No route (os error 113)"), {}, "No route"],
      [
        new Error("No route"),
        { hostname: "::1:80" },
        "No route (for port 80 of ::1, write [::1]:80)",
      ],
      [new Error("(os error 113) a"), {}, "(os error 113) a"],
    ] as const
  ) {
    it(`${error.name} ${error.message} ${JSON.stringify(server)}`, () => {
      assertEquals(errors.describeConnectError(error, server), why);
    });
  }
});

describe("listening failed:", () => {
  for (
    const [error, where, why] of [
      [
        new AddrInUse(),
        {},
        "the port is in use: stop the other program, or choose another --port (0 takes a free one)",
      ],
      [
        new AddrInUse(),
        { path: "/a" },
        "another server listens there: stop it, or choose another path",
      ],
      [new PermissionDenied(), {}, "permission denied: choose a --port from 1024 up"],
      [
        new PermissionDenied(),
        { path: "/a" },
        "permission denied: choose a folder that you may write to",
      ],
      [
        new AddrNotAvailable(),
        {},
        "this machine has no such address: choose another --host, such as 127.0.0.1",
      ],
      [new NotFound(), { path: "/a" }, "no such folder"],
      [new Error("keys mismatch: KeyMismatch"), {}, "the key is not that certificate's"],
      [
        new Error("certificate has expired"),
        {},
        "the certificate has expired: the server needs a new one",
      ],
    ] as const
  ) {
    it(`${error.name} ${error.message} ${JSON.stringify(where)}`, () => {
      assertEquals(errors.describeListenError(error, where), why);
    });
  }
});

const NO_CIPHER = "no cipher or key exchange in common";
const GIVE_ONE = "it requires a client certificate: give one with --cert and --key";
const RECIPE = "make a suitable one, and trust it with --ca cert.pem: openssl req -x509 " +
  "-newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 365 -subj /CN=here " +
  "-addext subjectAltName=DNS:here -addext basicConstraints=CA:FALSE";
const UNTRUSTED =
  "the signer of its certificate is not trusted: name the signer's certificate with --ca FILE";

describe("a client's TLS failed:", () => {
  for (
    const [text, why] of [
      ["received fatal alert: CertificateRequired", GIVE_ONE],
      ["received fatal alert: HandshakeFailure", `${NO_CIPHER}, or ${GIVE_ONE}`],
      ["received fatal alert: ProtocolVersion", "it offers neither TLS 1.2 nor 1.3"],
      [
        "received fatal alert: UnknownCA",
        "it does not trust the signer of our certificate: choose another --cert",
      ],
      ["received fatal alert: BadCertificate", "it rejects our certificate: choose another --cert"],
      ["received fatal alert: AccessDenied", "it rejects our certificate: choose another --cert"],
      ["invalid peer certificate: UnknownIssuer", UNTRUSTED],
      ["unable to get local issuer certificate", UNTRUSTED],
      ["self-signed certificate", UNTRUSTED],
      [
        "invalid peer certificate: certificate not valid for any names",
        `its certificate has no name (in a subjectAltName): ${RECIPE}`,
      ],
      ["certificate not valid for name", "its certificate is for another name: check --host"],
      ["ERR_TLS_CERT_ALTNAME_INVALID", "its certificate is for another name: check --host"],
      [
        "CaUsedAsEndEntity",
        `its certificate is a signer's, and the server needs one that is not: ${RECIPE}`,
      ],
      [
        "INVALID_CA",
        `its certificate is a signer's, and the server needs one that is not: ${RECIPE}`,
      ],
      [
        "UnsupportedCertVersion",
        `its certificate is X.509 version 1, and only version 3 has names: ${RECIPE}`,
      ],
      ["NotValidYet", "its certificate is not valid yet: check the clocks"],
      ["certificate is not yet valid", "its certificate is not valid yet: check the clocks"],
      [
        "invalid peer certificate: Expired",
        "its certificate has expired: the server needs a new one",
      ],
      ["invalid peer certificate: Other", "its certificate is not valid"],
      ["InvalidContentType", "it does not speak TLS: leave out --tls"],
      ["wrong version number", "it does not speak TLS: leave out --tls"],
      ["http request", "it does not speak TLS: leave out --tls"],
      ["packet length too long", "it does not speak TLS: leave out --tls"],
      ["bad record", "it does not speak TLS: leave out --tls"],
      ["alert bad record mac", undefined],
      ["key values mismatch", "the key is not that certificate's"],
      ["something else", undefined],
    ] as const
  ) {
    it(text, () => {
      assertEquals(errors.describeTlsError(new Error(text), { hostname: "here" }), why);
    });
  }

  it("the code counts, and the message alone where it has the words of Deno's TLS", () => {
    const error = (code: string, message: string) =>
      errors.describeTlsError(Object.assign(new Error(message), { code }));
    assertEquals(
      error("CERT_HAS_EXPIRED", ""),
      "its certificate has expired: the server needs a new one",
    );
    assertEquals(error("ERR_SSL_WRONG_VERSION_NUMBER", "hm"), undefined);
    const node = error("ERR_SSL_WRONG_VERSION_NUMBER", "error:0A00010B:SSL routines::wrong");
    assertEquals(node, "it does not speak TLS: leave out --tls");
  });

  it("no certificate is asked for where one was given; a recipe is for an address too", () => {
    const failure = new Error("alert: HandshakeFailure");
    assertEquals(errors.describeTlsError(failure, { tls: { cert: "x" } }), NO_CIPHER);
    const names = errors.describeTlsError(new Error("not valid for any names"), {
      hostname: "::1",
    });
    assertEquals(names?.includes("-addext subjectAltName=IP:::1 "), true);
  });
});

describe("a handshake with a client failed:", () => {
  for (
    const [text, why] of [
      ["received corrupt message", "it does not speak TLS, which is required here"],
      ["wrong version number", "it does not speak TLS, which is required here"],
      ["http request", "it does not speak TLS, which is required here"],
      ["packet length too long", "it does not speak TLS, which is required here"],
      ["bad record type", "it does not speak TLS, which is required here"],
      ["Tls12NotOffered", "it offers neither TLS 1.2 nor 1.3"],
      ["extension required", "it offers neither TLS 1.2 nor 1.3"],
      ["unsupported protocol", "it offers neither TLS 1.2 nor 1.3"],
      ["version too low", "it offers neither TLS 1.2 nor 1.3"],
      ["NoCipherSuitesInCommon", `${NO_CIPHER}, or none for our kind of key`],
      ["no shared cipher", `${NO_CIPHER}, or none for our kind of key`],
      ["no suitable key share", `${NO_CIPHER}, or none for our kind of key`],
      ["alert: UnknownCA", "it does not trust the signer of our certificate"],
      ["alert: CertificateExpired", "it rejects our certificate as expired"],
      ["alert: BadCertificate", "it rejects our certificate, which may be for another name"],
      ["alert bad record mac", "it aborted the handshake"],
      ["the client hung up", "it closed the connection in the handshake"],
      ["tls handshake eof", "it closed the connection in the handshake"],
      ["connection reset", "it reset the connection in the handshake"],
      ["something else", "the handshake failed: something else"],
    ] as const
  ) {
    it(text, () => assertEquals(errors.describeHandshakeError(new Error(text)), why));
  }
});

it("the classes of errors have names, sentences and causes", () => {
  const cause = new Error("why");
  const failed = new errors.ConnectError("here:7", "no", cause);
  assertEquals([failed.name, failed.why, failed.message, failed.cause], [
    ...["ConnectError", "no", "cannot connect to here:7: no", cause],
  ]);
  const late = new errors.TimeoutError("no reply", 1500);
  assertEquals([late.name, late.timeout, late.message], [
    ...["TimeoutError", 1500, "no reply within 1.5s"],
  ]);
  assertEquals(new errors.Closed("x").name, "Closed");
});
