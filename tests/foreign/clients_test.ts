/**
 * Real peers: what people talk to our programs with, and the tutorial's four
 * programs, by its text.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { type ServerProgram, startClient, startServer } from "../../lib/testing/readback.ts";
import { Screen } from "../../lib/testing/screen.ts";
import { shortened } from "../../lib/testing/time_limit.ts";
import { STAMP, unstamped } from "../support/replies.ts";

/** A test that wants a peer. */
function withPeer(peer: string, what: string, test: () => Promise<void>): void {
  it(`${peer}: ${what}`, requires("sh", peer), test);
}

/** Runs a shell's command line to its end. */
async function shell(line: string): Promise<string> {
  await using program = new Program(["sh", "-c", line]);
  await program.endInput();
  await program.ends(0);
  return program.stdout;
}

/** Starts one of the tutorial's programs, written to its behaviour. */
function python(source: string, ...args: (string | number)[]): Program {
  return new Program(["python3", "-u", "-c", source, ...args.map(String)]);
}

const PYTHON_CLIENT = `
import socket, sys
def talk(forever):
    peer = socket.socket()
    peer.connect(("localhost", int(sys.argv[1])))
    while True:
        words = input(">>:")
        if not words: break
        peer.send(words.encode("utf-8"))
        data = peer.recv(1024)
        print("Clinet recive data:", data.decode())
        if not forever: break
    peer.close()
talk(sys.argv[2] == "V2")
`;

const PYTHON_SERVER = `
import socket, sys
from time import ctime
server = socket.socket()
server.bind(("localhost", 0))
server.listen()
print("port", server.getsockname()[1])
while True:
    print("waiting connection...")
    peer, address = server.accept()
    while True:
        data = peer.recv(1024)
        if not data:
            print("clinet has broken the connection...")
            break
        print("Server recive data:", data)
        peer.send(b"[%s] %s" % (data, ctime().encode("utf-8")))
        if sys.argv[1] == "V1": sys.exit()
`;
async function pythonServer(version: string): Promise<{ server: Program; port: number }> {
  const server = python(PYTHON_SERVER, version);
  const [, port] = await server.until(/port (\d+)\nwaiting connection...\n/);
  return { server, port: Number(port) };
}

describe("real peers", () => {
  let server: ServerProgram;
  before(async () => void (server = await startServer()));
  after(() => server.close());

  describe("the tutorial's programs", () => {
    withPeer("python3", "client V1 talks to our server, which is V1 too", async () => {
      await using server = await startServer(["--once"]);
      await using client = python(PYTHON_CLIENT, server.port, "V1");
      await client.type("i am binary\n");
      await client.ends(0);
      assertMatch(
        client.stdout,
        new RegExp(`^>>:Clinet recive data: \\[i am binary\\] ${STAMP}\\n$`),
      );
      await server.ends(0);
    });

    withPeer("python3", "client V2 talks to our server, no flag on either side", async () => {
      await using client = python(PYTHON_CLIENT, server.port, "V2");
      await client.type("i am binary\n");
      await client.until(new RegExp(`\\[i am binary\\] ${STAMP}\\n`));
      await client.type("i am handsome\n");
      await client.until(new RegExp(`\\[i am handsome\\] ${STAMP}\\n`));
      await server.until(/"i am binary" from [^]*"i am handsome" from .*\n/);
      await client.type("\n");
      await client.ends(0);
      await server.until(/has broken the connection...\nwaiting connection...\n/);
    });

    withPeer("python3", "our client talks to server V2, no flag on either side", async () => {
      const { server, port } = await pythonServer("V2");
      await using _server = server;
      await using client = startClient(["localhost", port]);
      await client.type("i am binary\ni am handsome\n\n");
      await client.ends(0);
      assertEquals(
        unstamped(client.stdout),
        ">>:i am binary\nClient received data: [i am binary] STAMP\n" +
          ">>:i am handsome\nClient received data: [i am handsome] STAMP\n>>:\n",
      );
      await server.until(/b'i am handsome'\nclinet has broken the connection...\nwaiting/);
    });

    withPeer("python3", "our client --once talks to server V1", async () => {
      const { server, port } = await pythonServer("V1");
      await using _server = server;
      await using client = startClient(["-p", port, "--once"]);
      await client.type("i am binary\n");
      await client.ends(0);
      assertEquals(
        unstamped(client.stdout),
        ">>:i am binary\nClient received data: [i am binary] STAMP\n",
      );
      await server.ends(0);
    });
  });

  describe("the tools people use today", () => {
    const telnet = requires("telnet", "tmux");
    it("telnet: lines end in CRLF, both ways", telnet, async () => {
      await using screen = await Screen.open(["telnet", "127.0.0.1", String(server.port)]);
      await screen.shows("Escape character");
      await screen.type("i am binary");
      await screen.press("Enter");
      await screen.shows(new RegExp(`\\[i am binary\\] ${STAMP}`));
      const [, client = ""] = await server.until(/"i am binary" from (.*)\n/);
      await screen.press("C-]");
      await screen.shows("telnet>");
      await screen.type("quit");
      await screen.press("Enter");
      await screen.shows("Connection closed");
      await server.until(`client ${client} has broken the connection...`);
    });

    for (
      const [peer, command] of [
        ["nc", "nc -N 127.0.0.1 "],
        ["ncat", "ncat 127.0.0.1 "],
        ["socat", "socat -t 20 - TCP:127.0.0.1:"],
      ] as const
    ) {
      withPeer(peer, "four endings and 5,000 messages: replies in order, end-of-file", async () => {
        const replies = await shell(
          `{ printf 'a\\r\\nb\\n\\n'; seq 5000; printf last; } | ${command}${server.port}`,
        );
        const numbers = Array.from({ length: 5000 }, (_, at) => `[${at + 1}] STAMP\n`).join("");
        const right = `[a] STAMP\r\n[b] STAMP\n[] STAMP\n${numbers}[last] STAMP`;
        assert(unstamped(replies) === right, `a reply is wrong:\n${shortened(replies)}`);
      });
    }

    withPeer("nc", "no newline, no half-close: answered", async () => {
      await using nc = new Program(["nc", "127.0.0.1", String(server.port)]);
      await nc.type("hello");
      await nc.endInput();
      await nc.until(new RegExp(`^\\[hello\\] ${STAMP}$`));
    });
  });
});
