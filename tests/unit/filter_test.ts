/** The filter in this process, over a real connection: what it does when its server or its input ends. */

import { assertEquals, assertLess, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Filter } from "../../lib/cli/filter.ts";
import { cutIntoLines, type Input, standardInput } from "../../lib/cli/pipes.ts";
import { readback, serve } from "../../lib/mod.ts";
import { BufferedConn } from "../../lib/net/buffered_conn.ts";
import { Closed, TimeoutError } from "../../lib/net/errors.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";
import { unstamped } from "../support/replies.ts";
import type { Framing } from "../../lib/wire/framing.ts";

type Conn = Parameters<Parameters<typeof FakeServer.start>[0]>[0];

/** An input of some pieces; then it ends, or stays open. */
function inputOf(pieces: readonly string[], isOpen = false): Input {
  const left = [...pieces];
  return {
    read(into) {
      const piece = left.shift();
      if (piece === undefined) return isOpen ? new Promise(() => {}) : Promise.resolve(null);
      into.set(latin1(piece));
      return Promise.resolve(piece.length);
    },
  };
}

/** Runs the filter before a server; `output` is what it wrote. */
async function filterBefore(
  server: { readonly port: number },
  input: Input,
  { framing, timeout }: { framing: Framing; timeout: number },
) {
  let output = "";
  const write = (bytes: Uint8Array) => Promise.resolve(output += text(bytes));
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  const buffered = new BufferedConn(conn, timeout);
  const filter = new Filter(buffered, framing);
  const running = filter.run(input, { write }).finally(() => buffered.close());
  return { filter, running, output: () => output };
}

async function readLines(conn: Conn, count: number): Promise<void> {
  const buffer = new Uint8Array(1000);
  for (let seen = ""; seen.split("\n").length <= count;) {
    const read = await conn.read(buffer);
    if (read === null) return;
    seen += text(buffer.subarray(0, read));
  }
}

/** Sends back every byte. */
async function echo(conn: Conn): Promise<void> {
  const buffer = new Uint8Array(1000);
  for (let read; (read = await conn.read(buffer)) !== null;) {
    await conn.write(buffer.slice(0, read));
  }
}

describe("the filter's server closes the connection", () => {
  for (const framing of ["line", "auto"] as const) {
    for (const timeout of [0, 60_000]) {
      it(`before all is answered (${framing}, time limit ${timeout} ms): rejects at once`, async () => {
        await using server = FakeServer.start(async (conn) => {
          await readLines(conn, 1);
          await conn.write(latin1("[a] now\n"));
          if (framing === "auto") await readLines(conn, 1);
        });
        const input = inputOf(["a\nb\n"]);
        const { filter, running, output } = await filterBefore(server, input, { framing, timeout });
        await assertRejects(() => running, Closed, "the server has");
        assertEquals([output(), filter.answered, filter.sent], ["[a] now\n", 1, 2]);
      });
    }

    it(`while the input is open (${framing}): rejects at once`, async () => {
      await using server = FakeServer.start(async () => {});
      const input = inputOf([], true);
      const { running } = await filterBefore(server, input, { framing, timeout: 0 });
      await assertRejects(() => running, Closed, "the server has closed the connection");
    });
  }

  it("after the last reply, when the input ends: that is no failure", async () => {
    for (let time = 0; time < 20; time++) {
      await using server = FakeServer.start(async (conn) => {
        await readLines(conn, 1);
        await conn.write(latin1("[a] now\n"));
      });
      const how = { framing: "auto", timeout: 5000 } as const;
      const { running, output } = await filterBefore(server, inputOf(["a\n"]), how);
      await running;
      assertEquals(output(), "[a] now\n");
    }
  });

  it("at a half-close, which comes only when all is answered", async () => {
    await using server = FakeServer.start(async (conn) => {
      for (let told = 0; told < 3; told++) {
        const closed = readLines(conn, 1000).then(() => "closed");
        if (await Promise.race([closed, sleep(50)]) === "closed") return;
        await conn.write(latin1(`[${told}]\n`));
      }
    });
    const how = { framing: "line", timeout: 5000 } as const;
    const { running, output } = await filterBefore(server, inputOf(["0\n1\n2\n"]), how);
    await running;
    assertEquals(output(), "[0]\n[1]\n[2]\n");
  });
});

describe("the filter", () => {
  for (const framing of ["auto", "line"] as const) {
    it(`sends lines of any length that the server takes, first or not (${framing})`, async () => {
      await using server = serve(readback(), { framing: "line", maxMessage: 1 << 20 });
      const long = "x".repeat(1 << 20);
      let left = latin1(`${long}\nshort\n${long}\n`);
      const input: Input = {
        read(into) {
          const bytes = left.subarray(0, into.length);
          left = left.subarray(bytes.length);
          into.set(bytes);
          return Promise.resolve(bytes.length || null);
        },
      };
      const { running, output } = await filterBefore(server, input, { framing, timeout: 20_000 });
      await running;
      const lengths = unstamped(output()).split("\n").map(({ length }) => length);
      const reply = "[] STAMP".length;
      assertEquals(lengths, [long.length + reply, 5 + reply, long.length + reply, 0]);
    });
  }
});

describe("the filter's input", () => {
  for (
    const [input, output] of [
      ["", ""],
      ["\n", "[] STAMP\n"],
      ["one", "[one] STAMP"],
      ["one\r\n", "[one] STAMP\r\n"],
      ["one\ntwo", "[one] STAMP\n[two] STAMP"],
    ] as const
  ) {
    it(`${JSON.stringify(input)} gives ${JSON.stringify(output)}, whatever the framing`, async () => {
      await using server = serve(readback());
      for (const framing of ["auto", "line"] as const) {
        const how = { framing, timeout: 5000 };
        const filter = await filterBefore(server, inputOf(input === "" ? [] : [input]), how);
        await filter.running;
        assertEquals(unstamped(filter.output()), output, framing);
      }
    });
  }

  for (const framing of ["line", "auto"] as const) {
    it(`ends a last line without an LF, after a CR with CRLF (${framing})`, async () => {
      for (const [input, received] of [["a", "a\n"], ["a\r", "a\r\r\n"]] as const) {
        if (framing !== "auto") continue;
        await using server = FakeServer.start(echo);
        const { running } = await filterBefore(server, inputOf([input]), {
          framing,
          timeout: 5000,
        });
        await running;
        assertEquals(server.received, received);
      }
    });

    it(`keeps a CR before a line ending (${framing})`, async () => {
      const lines = "abc\r\r\nx\r\r\n\r\r\nlast\r\n";
      await using server = FakeServer.start(echo);
      const how = { framing, timeout: 5000 };
      const { running, output } = await filterBefore(server, inputOf([lines]), how);
      await running;
      assertEquals(output(), lines);
    });

    it(`ends at the first end-of-file, though a terminal could be read again (${framing})`, async () => {
      const pieces: (string | null)[] = ["hi", null];
      const terminal: Input = {
        read(into) {
          const piece = pieces.shift();
          if (piece === undefined) return new Promise(() => {});
          into.set(latin1(piece ?? ""));
          return Promise.resolve(piece === null ? null : piece.length);
        },
      };
      await using server = FakeServer.start(async (conn) => {
        await conn.read(new Uint8Array(10));
        await conn.write(latin1("[hi] now\n"));
      });
      const how = { framing, timeout: 5000 };
      const { running, output } = await filterBefore(server, standardInput(terminal), how);
      await running;
      assertEquals(output().trimEnd(), "[hi] now");
    });
  }
});

describe("the filter's time limit", () => {
  /** Stops this process, as SIGSTOP would. */
  const stop = (milliseconds: number) =>
    void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);

  for (const framing of ["line", "auto"] as const) {
    it(`does not count what came while the process was stopped (${framing})`, async () => {
      const reply = `[a] ${"x".repeat(1_000_000)}\n`;
      await using server = FakeServer.start(async (conn) => {
        await readLines(conn, 1);
        for (let left = latin1(reply); left.length > 0;) {
          left = left.subarray(await conn.write(left));
        }
        stop(400);
        await readLines(conn, 1);
      });
      const how = { framing, timeout: 200 };
      const { running, output } = await filterBefore(server, inputOf(["a\n"]), how);
      await running;
      assertEquals(output().length, reply.length);
    });
  }

  it("holds while a server sends for ever without an end", async () => {
    await using server = FakeServer.start(async (conn) => {
      for (;; await sleep(0)) await conn.write(latin1("x"));
    });
    const how = { framing: "line", timeout: 200 } as const;
    const { running } = await filterBefore(server, inputOf(["a\n"]), how);
    await assertRejects(() => running, TimeoutError, "no reply within 0.2s");
  });

  const LIMITED = { framing: "line", timeout: 300 } as const;

  it("is put off by each reply", async () => {
    await using server = FakeServer.start(async (conn) => {
      await readLines(conn, 6);
      for (let line = 1; line <= 6; line++) {
        await sleep(120);
        await conn.write(latin1(`[${line}]\n`));
      }
      await readLines(conn, 1);
    });
    const input = inputOf(["1\n2\n3\n4\n5\n6\n"]);
    const { running, output } = await filterBefore(server, input, LIMITED);
    await running;
    assertEquals(output(), "[1]\n[2]\n[3]\n[4]\n[5]\n[6]\n");
  });

  it("does not run while nothing is due, and then a message has all of its time", async () => {
    await using server = FakeServer.start(async (conn) => {
      await readLines(conn, 1);
      await conn.write(latin1("[one]\n"));
      await readLines(conn, 1);
      await sleep(200);
      await conn.write(latin1("[two]\n"));
      await readLines(conn, 1);
    });
    const said = inputOf(["one\n", "two\n"]);
    let reads = 0;
    const input: Input = {
      read: async (into) => {
        if (reads++ === 1) await sleep(450);
        return await said.read(into);
      },
    };
    const { running, output } = await filterBefore(server, input, LIMITED);
    await running;
    assertEquals(output(), "[one]\n[two]\n");
  });

  it("is not put off by what is sent meanwhile", async () => {
    await using server = FakeServer.start((conn) => readLines(conn, Infinity));
    const input: Input = {
      async read(into) {
        await sleep(50);
        into.set(latin1("again\n"));
        return 6;
      },
    };
    const { filter, running } = await filterBefore(server, input, LIMITED);
    const giveUp = setTimeout(() => filter.conn.close(), 10_000);
    await assertRejects(() => running, TimeoutError, "no reply within 0.3s");
    clearTimeout(giveUp);
    assertEquals(filter.answered, 0);
  });

  it("that passes after the input's end is told as such", async () => {
    await using server = FakeServer.start(async (conn) => {
      await readLines(conn, 2);
      await conn.write(latin1("[one]\n"));
    }, { keepOpen: true });
    const { filter, running } = await filterBefore(server, inputOf(["one\ntwo\n"]), LIMITED);
    await assertRejects(() => running, TimeoutError, "no reply within 0.3s");
    assertEquals([filter.answered, filter.sent], [1, 2]);
  });
});

describe("cutIntoLines", () => {
  /** The lines, of what is written in these pieces. */
  async function linesOf(pieces: Iterable<string>): Promise<string[]> {
    const lines: string[] = [];
    const output = cutIntoLines((line, seq) =>
      Promise.resolve(void lines.push(`${seq}: ${text(line)}`))
    );
    for (const piece of pieces) await output.write(latin1(piece));
    await output.end();
    return lines;
  }

  it("joins the pieces of a line, and passes on a last one without its ending", async () => {
    const pieces = ["a", "b\r", "\nc\n\nd", "", "e"];
    assertEquals(await linesOf(pieces), ["1: ab", "2: c", "3: ", "4: de"]);
  });

  it("takes linear time for a long line", async () => {
    const start = performance.now();
    let length = 0;
    const output = cutIntoLines((line) => Promise.resolve(void (length = line.length)));
    const piece = latin1("x".repeat(1000));
    for (let pieces = 0; pieces < 8000; pieces++) await output.write(piece);
    await output.end();
    assertEquals(length, 8_000_000);
    assertLess(performance.now() - start, 5000);
  });
});
