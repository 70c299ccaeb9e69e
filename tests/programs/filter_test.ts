/** The filter against servers that stop, are late, or take a half-close for the end; and how its lines are counted. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { countLines } from "../../lib/cli/pipes.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, startClient, startServer } from "../../lib/testing/readback.ts";
import { unstamped } from "../support/replies.ts";
import { sleep } from "../../lib/wait.ts";
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

/** Starts the filter. */
const startFilter = (port: number, ...args: readonly string[]) =>
  startClient(["-p", port, "--quiet", "--framing", "line", ...args]);

describe("the filter's server", () => {
  for (const [how, late] of [["at once", ""], ["late", "sleep 0.2; "]] as const) {
    it(
      `goes in mid-reply: as many are printed as counted, none in part, read ${how}`,
      requires("sh"),
      async () => {
        await Promise.all(Array.from({ length: 4 }, async (_, run) => {
          await using server = FakeServer.start(async (conn) => {
            await hear(conn, 1); // the rest stays unread: the end is a reset
            await say(conn, "[a reply]\n".repeat(run * 97) + "[half a re");
          });
          const client = [...program("client"), "-p", `${server.port}`, "-q", "-f", "line"].join(
            " ",
          );
          const script = `yes hello | head -n 200000 | ${client} | { ${late}cat; }`;
          await using shell = new Program(["sh", "-c", script]);
          await shell.ends(0);
          const [, counted] = /: (\d+) of \d+ messages were answered\n$/.exec(shell.stderr) ?? [];
          assertMatch(shell.stdout, /^(\[a reply\]\n)*$/);
          assertEquals(`${shell.stdout.length / "[a reply]\n".length}`, counted, shell.stderr);
        }));
      },
    );
  }

  it("takes a half-close for the end: it comes when all is answered", async () => {
    await using server = FakeServer.start(async (conn) => {
      for (let told = 0; told < 3; told++) {
        const closed = hear(conn, 1000).then(() => "closed");
        if (await Promise.race([closed, sleep(100)]) === "closed") return;
        await say(conn, `[${told}]\n`);
      }
    });
    await using client = startFilter(server.port);
    await client.type("0\n1\n2\n");
    await client.endInput();
    await client.ends(0);
    assertEquals(client.stdout, "[0]\n[1]\n[2]\n");
  });

  it("refuses the last message and stays: said at once", async () => {
    await using server = FakeServer.start(async (conn) => {
      await hear(conn, 2);
      await say(conn, "[one]\nerror: not today\n");
      await hear(conn, 1000); // until the half-close
    });
    await using client = startFilter(server.port);
    await client.type("one\ntwo\n");
    await client.endInput();
    await client.ends(1);
    assertEquals([client.stdout, client.stderr], [
      "[one]\n",
      "client: the server refused: not today: 1 of 2 messages were answered\n",
    ]);
  });
});

describe("the filter's deadline", () => {
  const TIMEOUT = ["--timeout", "500ms"];

  it("is put off by each reply", async () => {
    await using server = FakeServer.start(async (conn) => {
      for (const line of await hear(conn, 6)) {
        await sleep(200);
        await say(conn, `[${line}]\n`);
      }
      await hear(conn, 1);
    });
    await using client = startFilter(server.port, ...TIMEOUT);
    await client.type("1\n2\n3\n4\n5\n6\n");
    await client.endInput();
    await client.ends(0);
    assertEquals(client.stdout, "[1]\n[2]\n[3]\n[4]\n[5]\n[6]\n");
  });

  it("waits while nothing is due, and then gives a message all of its time", async () => {
    await using server = FakeServer.start(async (conn) => {
      await hear(conn, 1);
      await say(conn, "[one]\n");
      await hear(conn, 1);
      await sleep(350);
      await say(conn, "[two]\n");
      await hear(conn, 1);
    });
    await using client = startFilter(server.port, ...TIMEOUT);
    await client.type("one\n");
    await client.until("[one]\n");
    await sleep(800);
    await client.type("two\n");
    await client.until("[two]\n");
    await client.endInput();
    await client.ends(0);
  });

  it("is not put off by what is sent meanwhile", async () => {
    await using server = FakeServer.start(async (conn) => void await hear(conn, Infinity));
    await using client = startFilter(server.port, ...TIMEOUT);
    let isOver = false;
    const typing = (async () => {
      for (let line = 0; line < 100 && !isOver; line++) {
        await client.type("again\n").catch(() => {});
        await sleep(100);
      }
    })();
    await client.ends(1);
    isOver = true;
    await typing;
    assertMatch(client.stderr, /^client: no reply within 0.5s: 0 of \d+ messages were answered\n$/);
  });

  it("that passes after the input's end is told as such", async () => {
    await using server = FakeServer.start(async (conn) => {
      await hear(conn, 2);
      await say(conn, "[one]\n");
    }, { keepOpen: true });
    await using client = startFilter(server.port, ...TIMEOUT);
    await client.type("one\ntwo\n");
    await client.endInput();
    await client.ends(1);
    assertEquals(
      client.stderr,
      "client: no reply within 0.5s: 1 of 2 messages were answered\n",
    );
  });
});

describe("the filter", () => {
  it("says lines of any length that the server takes, first or not", async () => {
    await using server = await startServer([
      ...["--quiet", "--framing", "line"], // auto takes a pause of a busy machine within a line for raw
      ...["--max-message", String(4 << 20)],
    ]);
    const long = "x".repeat(2 << 20);
    for (const args of [[], ["--framing", "line"]]) {
      await using client = startClient(["-p", server.port, "--quiet", ...args]);
      await client.type(`${long}\nshort\n${long}\n`);
      await client.endInput();
      await client.ends(0);
      const lengths = unstamped(client.stdout).split("\n").map(({ length }) => length);
      const reply = "[] STAMP".length;
      assertEquals(lengths, [long.length + reply, 5 + reply, long.length + reply, 0]);
    }
  });

  it("with --framing raw sends what was read, uncut, and copies what comes", async () => {
    await using server = FakeServer.start(async (conn) => {
      const buffer = new Uint8Array(65536);
      for (let count; (count = await conn.read(buffer)) !== null;) {
        for (let left = buffer.subarray(0, count); left.length > 0;) {
          left = left.subarray(await conn.write(left));
        }
      }
    });
    const bytes = Uint8Array.from({ length: 300_000 }, (_, at) => at * at >> 3);
    await using client = startClient(["-p", server.port, "--quiet", "--framing", "raw"]);
    await client.type(bytes);
    await client.endInput();
    await client.ends(0);
    assertEquals(client.stdoutBytes.length, bytes.length);
    assertEquals(client.stdoutBytes.every((byte, at) => byte === bytes[at]), true);
  });

  it("over UDP ends each reply as its line", async () => {
    await using server = await startServer(["--udp"]);
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
