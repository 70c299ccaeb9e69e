/** The filter as a program, against servers that stop or refuse; and how its lines are counted. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { countLines } from "../../lib/cli/pipes.ts";
import { readback, serveDatagrams } from "../../lib/mod.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, startClient } from "../../lib/testing/readback.ts";
import { echo } from "../support/servers.ts";
import { unstamped } from "../support/replies.ts";
import { Random } from "../support/random.ts";

const encoder = new TextEncoder();

type Conn = Parameters<Parameters<typeof FakeServer.start>[0]>[0];

/** Reads lines until there are this many; gives those, or what came until end-of-file. */
async function hear(conn: Conn, count: number): Promise<string[]> {
  const buffer = new Uint8Array(65536);
  let text = "";
  while (text.split("\n").length <= count) {
    const read = await conn.read(buffer);
    if (read === null) break;
    text += new TextDecoder().decode(buffer.subarray(0, read));
  }
  return text.split("\n").slice(0, -1);
}

async function say(conn: Conn, text: string): Promise<void> {
  for (let left = encoder.encode(text); left.length > 0;) {
    left = left.subarray(await conn.write(left));
  }
}

describe("the filter's server", () => {
  for (
    const [how, late, runs] of [["at once", "", [0, 3]], ["late", "sleep 0.2; ", [2]]] as const
  ) {
    it(
      `goes in mid-reply: as many are printed as counted, none in part, read ${how}`,
      requires("sh"),
      async () => {
        await Promise.all(runs.map(async (run) => {
          await using server = FakeServer.start(async (conn) => {
            await hear(conn, 1); // the rest stays unread: the end is a reset
            await say(conn, "[a reply]\n".repeat(run * 97) + "[half a re");
          });
          const client = [...program("client"), "-p", `${server.port}`, "-q", "-f", "line"].join(
            " ",
          );
          const script = `yes hello | head -n 100000 | ${client} | { ${late}cat; }`;
          await using shell = new Program(["sh", "-c", script]);
          await shell.ends(0);
          const [, counted] = /: (\d+) of \d+ messages were answered\n$/.exec(shell.stderr) ?? [];
          assertMatch(shell.stdout, /^(\[a reply\]\n)*$/);
          assertEquals(`${shell.stdout.length / "[a reply]\n".length}`, counted, shell.stderr);
        }));
      },
    );
  }

  it("refuses the last message and stays: said at once", async () => {
    await using server = FakeServer.start(async (conn) => {
      await hear(conn, 2);
      await say(conn, "[one]\nerror: not today\n");
      await hear(conn, 1000); // until the half-close
    });
    await using client = startClient(["-p", server.port, "--quiet", "--framing", "line"]);
    await client.type("one\ntwo\n");
    await client.endInput();
    await client.ends(1);
    assertEquals([client.stdout, client.stderr], [
      "[one]\n",
      "client: the server refused: not today: 1 of 2 messages were answered\n",
    ]);
  });
});

describe("the filter", () => {
  it("with --framing raw sends what was read, uncut, and copies what comes", async () => {
    await using server = echo();
    const bytes = Uint8Array.from({ length: 300_000 }, (_, at) => at * at >> 3);
    await using client = startClient(["-p", server.port, "--quiet", "--framing", "raw"]);
    await client.type(bytes);
    await client.endInput();
    await client.ends(0);
    assertEquals(client.stdoutBytes.length, bytes.length);
    assertEquals(client.stdoutBytes.every((byte, at) => byte === bytes[at]), true);
  });

  it("over UDP ends each reply as its line", async () => {
    await using server = await serveDatagrams(readback());
    await using client = startClient(["--udp", "-p", server.port, "--quiet"]);
    await client.type("a\r\nb\nc\r\n");
    await client.endInput();
    await client.ends(0);
    assertEquals(unstamped(client.stdout), "[a] STAMP\r\n[b] STAMP\n[c] STAMP\r\n");
  });
});

describe("countLines", () => {
  const random = new Random();

  it(`counts LFs and nothing like them, wherever they are, seed ${random.seed}`, () => {
    const near = [0, 9, 10, 11, 0x8a, 0x7f, 0xff, 0xf5] as const;
    const bytes = Uint8Array.from({ length: 4096 }, () => random.of(near));
    for (let start = 0; start < 70; start++) {
      for (const length of [0, 1, 2, 3, 4, 5, 7, 64, 1001]) {
        const part = bytes.subarray(start, start + length);
        assertEquals(countLines(part), part.filter((byte) => byte === 10).length);
      }
    }
  });
});
