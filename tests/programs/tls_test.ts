/** TLS on both sides, with certificates of the test's own, and with other people's programs. */

import {
  assertEquals,
  assertLess,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { readback, serve } from "../../lib/mod.ts";
import { Certificates } from "../support/certificates.ts";
import { Peer } from "../../lib/client/peer.ts";
import { readTls } from "../../lib/net/pem.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import {
  program,
  type ServerProgram,
  startClient,
  startServer,
} from "../../lib/testing/readback.ts";
import { latin1, Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";
import { run } from "../support/run.ts";

let certificates: Certificates;
let identity: string[];
let ca: string;
/** A server for all tests that need no option of it. */
let shared: ServerProgram;

/** Says one message over TLS; gives what came of it. */
async function say(
  port: number,
  args: readonly string[] = ["--ca", ca],
): Promise<[number, string, string]> {
  const client = startClient(["-p", port, "--tls", ...args, "--message", "hello"]);
  const { code, stdout, stderr } = await run(client);
  return [code, stdout, stderr.replace(/127.0.0.1:\d+/, "ADDRESS")];
}

describe("TLS", requires("openssl"), () => {
  before(async () => {
    certificates = await Certificates.make();
    identity = await certificates.sign("server", "DNS:localhost,IP:127.0.0.1");
    await certificates.sign("version1", "", 2, 1);
    ca = certificates.path("ca.pem");
    shared = await startServer(identity);
  });
  after(() => shared[Symbol.asyncDispose]());
  after(() => certificates[Symbol.asyncDispose]());

  it("carries a conversation, by address and by name", async () => {
    for (const host of ["127.0.0.1", "localhost"]) {
      const args = ["--ca", ca, "--host", host];
      assertEquals(await say(shared.port, args), [0, "[hello] STAMP\n", ""]);
    }
    await shared.until(/Server received data: "hello" from 127.0.0.1:\d+\n/);
  });

  it("with --once a stranger who never finishes the handshake delays no exit", async () => {
    await using server = await startServer([...identity, "--once"]);
    using _stranger = await Wire.dial(server.port);
    assertEquals(await say(server.port), [0, "[hello] STAMP\n", ""]);
    const since = performance.now();
    await server.ends(0);
    assertLess(performance.now() - since, 5000); // it has 10 s for the handshake
  });

  it("carries the filter: 2,000 lines, then half-close", async () => {
    await using client = startClient(["-p", shared.port, "--tls", "--ca", ca, "--quiet"]);
    await client.type("hello\n".repeat(2000));
    await client.endInput();
    await client.ends(0);
    assertEquals(client.stdout.split("\n").length, 2001);
  });

  for (
    const [what, sign, trust, reason] of [
      [
        "a certificate for another name",
        () => certificates.sign("other", "DNS:other"),
        true,
        "its certificate is for another name: check --host",
      ],
      [
        "a signer nobody trusts",
        () => Promise.resolve(identity),
        false,
        "the signer of its certificate is not trusted: name the signer's certificate with --ca FILE",
      ],
      [
        "a certificate that has expired",
        () => certificates.sign("old", "IP:127.0.0.1", -1),
        true,
        "its certificate has expired: the server needs a new one",
      ],
      [
        "a signer's own certificate",
        () => Promise.resolve(["--tls-cert", ca, "--tls-key", certificates.path("ca.key")]),
        true,
        "its certificate is a signer's, and the server needs one that is not",
      ],
    ] as const
  ) {
    it(`refuses ${what}`, async () => {
      await using server = await startServer(await sign());
      const [code, replies, sentence] = await say(server.port, trust ? ["--ca", ca] : []);
      assertEquals([code, replies], [1, ""]);
      assertStringIncludes(sentence, `client: cannot connect to ADDRESS: ${reason}`);
      await server.until(/client 127.0.0.1:\d+ was refused: .+\n/);
    });
  }

  it("says that the server does not speak TLS", async () => {
    await using server = serve(readback());
    await using client = startClient(["-p", server.port, "--tls", "-m", "hello", "-t", "5s"]);
    await client.ends(1);
    assertMatch(client.stderr, /: it does not speak TLS: leave out --tls\n$/);
  });

  it("says that the server does", async () => {
    await using client = startClient(["-p", shared.port, "-m", "hello"]);
    await client.ends(1);
    assertMatch(client.stderr, /^client: the server uses TLS: add --tls/);
  });

  it("takes no half of a reply for TLS", async () => {
    for (const half of ["\x15[hel", "[\x03hel", "\x15"]) {
      await using server = FakeServer.start(async (conn) => void await conn.write(latin1(half)));
      using peer = await Peer.connect({ port: server.port });
      const words = "the server closed the connection in the middle of a reply";
      await assertRejects(() => peer.request("hello"), Error, words);
    }
  });

  it("says that the server hung up in the handshake", async () => {
    await using server = FakeServer.start(() => Promise.resolve());
    assertEquals(await say(server.port), [
      1,
      "",
      "client: cannot connect to ADDRESS: it closed the connection in the TLS handshake\n",
    ]);
  });

  it("gives a server that says nothing until --timeout", async () => {
    await using server = FakeServer.start(async (conn) => {
      while (await conn.read(new Uint8Array(1024)) !== null);
    });
    assertEquals(await say(server.port, ["--timeout", "300ms"]), [
      1,
      "",
      "client: cannot connect to ADDRESS: no answer within 0.3s\n",
    ]);
  });

  it("gives up such a server too when it would show it who it is", async () => {
    await using server = FakeServer.start(async (conn) => {
      while (await conn.read(new Uint8Array(1024)) !== null);
    });
    const tls = await readTls({ ca, cert: identity[1], key: identity[3] });
    const connecting = () => Peer.connect({ port: server.port, tls, timeout: 100 });
    await assertRejects(connecting, Error, ": no answer within 0.1s");
  });

  it("needs both a certificate and its key to show who it is", async () => {
    const connecting = () => Peer.connect({ tls: { cert: "one" } });
    await assertRejects(connecting, Error, ": cert and key go together: one is missing");
    for (const [one, other] of [["cert", "key"], ["key", "cert"]]) {
      await using client = startClient(["--tls", `--${one}`, "none"]);
      await client.ends(2);
      assertStringIncludes(client.stderr, `--${one} makes sense only with --${other}: add that`);
    }
  });

  it(
    "is not held up by a client that never finishes its handshake, nor is the stop",
    requires("signals"),
    async () => {
      await using server = await startServer([...identity, "--max-clients", "1"]);
      using _silent = await Wire.dial(server.port);
      using other = await Wire.dial(server.port);
      await other.send("\x16\x03\x01");
      assertEquals(await say(server.port), [0, "[hello] STAMP\n", ""]);
      server.signal("SIGTERM");
      await server.ends(0);
    },
  );

  for (const version of ["-tls1_2", "-tls1_3"]) {
    it(`answers openssl s_client ${version}`, async () => {
      const connect = ["-connect", `127.0.0.1:${shared.port}`, "-CAfile", ca];
      const verify = ["-verify_return_error", "-verify_ip", "127.0.0.1"];
      const options = ["-quiet", "-no_ign_eof", version];
      await using peer = new Program(["openssl", "s_client", ...connect, ...verify, ...options]);
      await peer.type("hello\n");
      await peer.until(/\[hello\] .{24}\n/);
    });
  }

  for (
    const [what, ending, last] of [
      ["a client that says in TLS that it is through, and hears the same", "tls.unwrap()", "left"],
      ["one that only closes, so that more may have been cut off", "tls.detach()", "reset"],
    ]
  ) {
    it(`tells ${what}`, requires("python3"), async () => {
      await using server = await startServer([...identity, "--log", "json"]);
      const script = [
        "import socket, ssl",
        `context = ssl.create_default_context(cafile="${ca}")`,
        `tcp = socket.create_connection(("127.0.0.1", ${server.port}))`,
        'tls = context.wrap_socket(tcp, server_hostname="127.0.0.1")',
        'tls.sendall(b"hello\\n")',
        "while not tls.recv(100).endswith(b'\\n'): pass",
        ending,
      ];
      await using client = new Program(["python3", "-c", script.join("\n")]);
      await client.ends(0);
      await server.until(new RegExp(`"event":"ended".*"reason":"${last}"`));
    });
  }

  it("answers socat's OPENSSL", requires("socat"), async () => {
    const address = `OPENSSL:127.0.0.1:${shared.port},cafile=${ca}`;
    await using peer = new Program(["socat", "-t", "10", "-", address]);
    await peer.type("hello\n");
    await peer.endInput();
    await peer.ends(0);
    assertEquals(unstamped(peer.stdout), "[hello] STAMP\n");
  });

  it("talks to socat's OPENSSL-LISTEN", requires("socat"), async () => {
    const [, cert, , key] = identity;
    const options = `cert=${cert},key=${key},verify=0,reuseaddr`;
    const address = `OPENSSL-LISTEN:0,bind=127.0.0.1,${options}`;
    await using server = new Program(["socat", "-d", "-d", address, "PIPE"]);
    const [, port] = await server.untilError(/listening on .*:(\d+)/);
    assertEquals(await say(Number(port)), [0, "hello\n", ""]);
  });

  for (
    const [what, args, reason] of [
      ["no such file", () => ["none", "none"], /^server: cannot read none: no such file\n$/],
      [
        "no certificate in it",
        () => [certificates.path("server.key"), certificates.path("server.key")],
        /^server: cannot use .*server.key: it holds no CERTIFICATE in PEM form\n$/,
      ],
      [
        "the key of another",
        () => [ca, certificates.path("server.key")],
        /^server: cannot listen on 127.0.0.1:\d+: the key is not that certificate's\n$/,
      ],
      [
        "one of X.509 version 1",
        () => [certificates.path("version1.pem"), certificates.path("version1.key")],
        /: the certificate is X.509 version 1, and .*: openssl .* subjectAltName=IP:127.0.0.1 /,
      ],
    ] as const
  ) {
    it(`needs a certificate and its key: ${what}`, async () => {
      const [cert = "", key = ""] = args();
      const options = ["--tls-cert", cert, "--tls-key", key];
      await using server = startProgram(options);
      await server.ends(1);
      assertMatch(server.stderr, reason);
    });
  }

  it("needs the right to read its certificate", async () => {
    const server = [Deno.execPath(), "run", "--quiet", "--allow-net", "--no-prompt", "server.ts"];
    const options = ["--port", "0", "--tls-cert", ca, "--tls-key", ca];
    await using program = new Program([...server, ...options]);
    await program.ends(1);
    assertEquals(program.stderr, `server: cannot read ${ca}: run it with --allow-read\n`);
  });

  it("needs a file for a certificate, not a folder", async () => {
    await using server = startProgram(["--tls-cert", ".", "--tls-key", "."]);
    await server.ends(1);
    assertEquals(server.stderr, "server: cannot read .: Is a directory\n");
  });
});

/** A server that will not be ready. */
function startProgram(args: readonly string[]): Program {
  return new Program([...program("server", args), "--port", "0", ...args]);
}
