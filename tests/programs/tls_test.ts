/** TLS on both sides, with certificates of the test's own, and with other people's programs. */

import { assert, assertEquals, assertLess, assertRejects, assertThrows } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { listen, readback, serve } from "../../lib/mod.ts";
import { OPTIONS } from "../../lib/cli/client_options.ts";
import { parse, UsageError } from "../../lib/cli/options.ts";
import { Certificates } from "../support/certificates.ts";
import { Peer } from "../../lib/client/peer.ts";
import { readTls, type TlsOptions } from "../../lib/net/pem.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { type ServerProgram, startClient, startServer } from "../../lib/testing/readback.ts";
import { latin1, Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";
import { run } from "../support/run.ts";

let certificates: Certificates;
/** The options of a server that has a certificate for this machine. */
let identity: string[];
/** The file of the signer's certificate. */
let ca: string;
/** Trusts the signer. */
let trust: TlsOptions;
/** A server for all tests that need no option of it. */
let shared: ServerProgram;

const RECIPE =
  "make a suitable one, and trust it with --ca cert.pem: openssl req -x509 -newkey rsa:2048 -nodes " +
  "-keyout key.pem -out cert.pem -days 365 -subj /CN=127.0.0.1 " +
  "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE";

/** Says one message over TLS, in this process; returns the reply, or why there is none. */
async function say(port: number, tls: TlsOptions = trust, timeout = 20_000): Promise<string> {
  try {
    using peer = await Peer.connect({ port, tls, timeout, framing: "line" });
    return unstamped((await peer.request("hello")).text);
  } catch (error) {
    return (error as Error).message.replace(/127.0.0.1:\d+/, "ADDRESS");
  }
}

/** The certificate and the key in the files of a name. */
async function read(name: string): Promise<Record<"cert" | "key", string>> {
  const [cert, key] = await Promise.all(
    ["pem", "key"].map((kind) => Deno.readTextFile(certificates.path(`${name}.${kind}`))),
  );
  return { cert: cert ?? "", key: key ?? "" };
}

/** A server that says nothing, and reads until the client closes the connection. */
const startSilent = () =>
  FakeServer.start(async (conn) => {
    while (await conn.read(new Uint8Array(1024)) !== null);
  });

describe("TLS", () => {
  before(async () => {
    certificates = await Certificates.make();
    identity = await certificates.sign("server", "DNS:localhost,IP:127.0.0.1");
    ca = certificates.path("ca.pem");
    trust = await readTls({ ca });
    shared = await startServer(identity);
  });
  after(() => shared[Symbol.asyncDispose]());
  after(() => certificates[Symbol.asyncDispose]());

  it("carries a conversation, by name", async () => {
    const args = ["--host", "localhost", "-p", shared.port, "--tls", "--ca", ca, "-m", "hello"];
    assertEquals(await run(startClient(args)), { code: 0, stdout: "[hello] STAMP\n", stderr: "" });
    await shared.until(/Server received data: "hello" from 127.0.0.1:\d+\n/);
  });

  it("carries the filter, by address: 2,000 lines, then half-close", async () => {
    await using client = startClient(["-p", shared.port, "--tls", "--ca", ca, "--quiet"]);
    await client.type("hello\n".repeat(2000));
    await client.endInput();
    await client.ends(0);
    assertEquals(client.stdout.split("\n").length, 2001);
  });

  it("with --once a stranger who never finishes the handshake delays no exit", async () => {
    await using server = await startServer([...identity, "--once"]);
    using _stranger = await Wire.dial(server.port);
    assertEquals(await say(server.port), "[hello] STAMP");
    const since = performance.now();
    await server.ends(0);
    assertLess(performance.now() - since, 5000); // it has 10 s for the handshake
  });

  it("refuses a signer nobody trusts, and the server says so", async () => {
    const { code, stdout, stderr } = await run(
      startClient(["-p", shared.port, "--tls", "-m", "hello"]),
    );
    assertEquals([code, stdout, stderr], [
      1,
      "",
      `client: cannot connect to 127.0.0.1:${shared.port}: the signer of its certificate is not ` +
      "trusted: name the signer's certificate with --ca FILE\n",
    ]);
    await shared.until(
      /client 127.0.0.1:\d+ was refused: it does not trust the signer of our .+\n/,
    );
  });

  for (
    const [what, sign, said, heard] of [
      [
        "a certificate for another name",
        () => certificates.sign("other", "DNS:other"),
        "its certificate is for another name: check --host",
        "it rejects our certificate, which may be for another name",
      ],
      [
        "a certificate that has expired",
        () => certificates.sign("other", "IP:127.0.0.1", -1),
        "its certificate has expired: the server needs a new one",
        "it rejects our certificate as expired",
      ],
      [
        "a certificate without names",
        () => certificates.sign("other", ""),
        `its certificate has no name (in a subjectAltName): ${RECIPE}`,
        "it rejects our certificate, which may be for another name",
      ],
      [
        "a signer's own certificate",
        () => Promise.resolve(["", ca, "", certificates.path("ca.key")]),
        `its certificate is a signer's, and the server needs one that is not: ${RECIPE}`,
        "it rejects our certificate, which may be for another name",
      ],
    ] as const
  ) {
    it(`refuses ${what}, and the server says so`, async () => {
      const [, cert = "", , key = ""] = await sign();
      const refused = Promise.withResolvers<string>();
      const onRefused = (_addr: unknown, reason: string) => refused.resolve(reason);
      await using server = serve(readback(), {
        cert: await Deno.readTextFile(cert),
        key: await Deno.readTextFile(key),
        onRefused,
      });
      assertEquals(await say(server.port), `cannot connect to ADDRESS: ${said}`);
      assertEquals(await refused.promise, heard);
    });
  }

  it("says that the server does not speak TLS", async () => {
    await using server = serve(readback());
    assertEquals(
      await say(server.port),
      "cannot connect to ADDRESS: it does not speak TLS: leave out --tls",
    );
  });

  it("says that the server does", async () => {
    const why = "the server uses TLS: add --tls, and --ca FILE if needed";
    assertEquals(await run(startClient(["-p", shared.port, "-m", "hello"])), {
      code: 1,
      stdout: "",
      stderr: `client: ${why}: 0 of 1 messages were answered\n`,
    });
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
    assertEquals(
      await say(server.port),
      "cannot connect to ADDRESS: it closed the connection in the TLS handshake",
    );
  });

  it("gives a server that says nothing until --timeout, also one that asks who it is", async () => {
    await using server = startSilent();
    for (const own of [{}, await read("server")]) {
      assertEquals(
        await say(server.port, { ...trust, ...own }, 100),
        "cannot connect to ADDRESS: no answer within 0.1s",
      );
    }
  });

  it("needs both a certificate and its key to show who it is", async () => {
    const connecting = () => Peer.connect({ tls: { cert: "one" } });
    await assertRejects(connecting, Error, ": cert and key go together: one is missing");
    for (const [one, other] of [["cert", "key"], ["key", "cert"]]) {
      const sentence = `--${one} makes sense only with --${other}: add that`;
      assertThrows(() => parse(OPTIONS, ["--tls", `--${one}`, "none"]), UsageError, sentence);
    }
  });

  it(
    "is not held up by clients that never finish the handshake, nor is the stop; --hide-silent " +
      "prints nothing about them, nor about a check of the port",
    requires("signals"),
    async () => {
      const args = ["--max-clients", "1", "--hide-silent", "--log", "json"];
      await using server = await startServer([...identity, ...args]);
      (await Wire.dial(server.port))[Symbol.dispose]();
      using _silent = await Wire.dial(server.port);
      using other = await Wire.dial(server.port);
      await other.send("\x16\x03\x01");
      assertEquals(await say(server.port), "[hello] STAMP");
      await server.until(/"ended".*\n.*"waiting"/);
      server.signal("SIGTERM");
      await server.ends(0);
      const lines = server.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
      const events = lines.map(({ event, reason }) => `${event} ${reason ?? ""}`.trim());
      const heard = ["connected", "message", "eof", "ended left"];
      const all = ["listening", "waiting", ...heard, "waiting", "stopping"];
      assertEquals(events.slice(0, all.length), all);
    },
  );

  for (const version of ["-tls1_2", "-tls1_3"]) {
    it(`answers openssl s_client ${version}`, requires("openssl"), async () => {
      const connect = ["-connect", `127.0.0.1:${shared.port}`, "-CAfile", ca];
      const verify = ["-verify_return_error", "-verify_ip", "127.0.0.1"];
      const options = ["-quiet", "-no_ign_eof", version];
      await using peer = new Program(["openssl", "s_client", ...connect, ...verify, ...options]);
      await peer.type("hello\n");
      await peer.until(/\[hello\] .{24}\n/);
    });
  }

  it(
    "tells a client that says in TLS that it is through, and hears the same, from one that only " +
      "closes, so that more may have been cut off",
    requires("python3"),
    async () => {
      const script = `
import socket, ssl
context = ssl.create_default_context(cafile="${ca}")

def meet():
    tcp = socket.create_connection(("127.0.0.1", ${shared.port}))
    print(tcp.getsockname()[1])
    tls = context.wrap_socket(tcp, server_hostname="127.0.0.1")
    tls.sendall(b"hello\\n")
    while not tls.recv(100).endswith(b"\\n"): pass
    return tls

meet().unwrap()
meet().detach()
`;
      await using client = new Program(["python3", "-S", "-c", script]);
      await client.ends(0);
      const [first, second] = client.stdout.trim().split("\n");
      await shared.until(`client 127.0.0.1:${first} has broken the connection...\n`);
      await shared.until(`client 127.0.0.1:${second} has broken the connection... (reset)\n`);
    },
  );

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
    assertEquals(await say(Number(port)), "hello");
  });

  it("needs a certificate and its key, and one that has names", async () => {
    await certificates.sign("version1", "", 2, 1);
    const listening = (options: TlsOptions) => listen({ ...options, hostname: "127.0.0.1" });
    const { cert } = await read("ca");
    const { key } = await read("server");
    await assertRejects(
      () => listening({ cert, key }),
      Error,
      "cannot listen on 127.0.0.1:0: the key is not that certificate's",
    );
    const { message } = await assertRejects(async () => listening(await read("version1")), Error);
    assertEquals(
      message,
      "cannot listen on 127.0.0.1:0: the certificate is X.509 version 1, and only version 3 has " +
        `names: ${RECIPE}`,
    );
  });

  it("needs the right to read its certificate", async () => {
    const server = [Deno.execPath(), "run", "--quiet", "--allow-net", "--no-prompt", "server.ts"];
    const options = ["--port", "0", "--tls-cert", ca, "--tls-key", ca];
    assertEquals(await run(new Program([...server, ...options])), {
      code: 1,
      stdout: "",
      stderr: `server: cannot read ${ca}: run it with --allow-read\n`,
    });
  });

  it("needs a file for a certificate, not a folder", async () => {
    const { message } = await assertRejects(() => readTls({ cert: ".", key: "." }), Error);
    assert(/^cannot read \.: (Is a directory|.*denied)/.test(message), message);
  });
});
