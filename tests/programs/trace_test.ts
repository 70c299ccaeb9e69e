/** The trace: every read and write as it happened, on both programs, and how connections end. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { TraceText } from "../../lib/cli/output/trace.ts";
import { readback, serve } from "../../lib/mod.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, startClient, startServer } from "../../lib/testing/readback.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { resetAfter } from "../battery/vanishing.ts";
import { STAMP } from "../support/replies.ts";

/** A trace with its times, ports and stamps replaced. */
function steady(trace: string): string {
  return trace.replaceAll(/^ *\d+\.\d{3} 127\.0\.0\.1:\d+/gm, "ADDRESS")
    .replaceAll(new RegExp(STAMP, "g"), "STAMP");
}

describe("--trace", () => {
  it("on the server: reads, messages, writes and both ends", async () => {
    await using server = await startServer(["--framing", "line", "--trace"]);
    using wire = await Wire.dial(server.port);
    await wire.send("i am bin");
    await server.until('"i am bin"\n');
    await wire.send("ary\nx\n");
    await wire.until(/\[x\] .*\n/);
    await wire.end();
    await wire.rest();
    await server.until("< end\n");
    assertEquals(
      steady(server.stdout),
      `listening on 127.0.0.1:${server.port}\n` +
        "ADDRESS   connected\n" +
        'ADDRESS >  8 bytes "i am bin"\n' +
        'ADDRESS >  6 bytes "ary\\nx\\n"\n' +
        'ADDRESS   message 1: 11 bytes "i am binary"\n' +
        'ADDRESS   message 2: 1 byte "x"\n' +
        'ADDRESS < 68 bytes "[i am binary] STAMP\\n[x…"\n' +
        "ADDRESS > end (half-close)\n" +
        "ADDRESS < end\n",
    );
    for (const line of server.stdout.split("\n")) assert(line.length <= 80, line);
  });

  it("on the server: the decision of auto, resets by either side, and a cut", async () => {
    await using server = await startServer(["--trace", "--idle-timeout", "100ms", "--orders"]);
    for (const message of ["a\n", "b"]) {
      using wire = await Wire.dial(server.port);
      await wire.send(message);
      await wire.until(/STAMP|\d{4}/);
    }
    await server.until(/ {2}framing line: an LF came\n.* {2}message 1: 1 byte "a"\n/);
    await server.until(/ {2}framing raw: 50 ms without an LF\n.* {2}message 1: 1 byte "b"\n/);
    await resetAfter(server.port, "hello\n", 1);
    await server.until("> reset\n");
    using wire = await Wire.dial(server.port);
    await server.until("< cut\n");
    using other = await Wire.dial(server.port);
    await other.send("!reset hello\n");
    await server.until(/ fault reset\n.* < reset\n/);
    void wire;
  });

  it("on the client: on standard error, beside the replies", async () => {
    await using server = serve(readback());
    await using client = startClient(["-p", server.port, "-q", "--trace"]);
    await client.type("a\n");
    await client.until("[a]");
    await client.endInput();
    await client.ends(0);
    assertEquals(
      steady(client.stderr),
      'ADDRESS   connected\nADDRESS >  2 bytes "a\\n"\nADDRESS < 29 bytes "[a] STAMP\\n"\n' +
        "ADDRESS > end (half-close)\nADDRESS < end\n",
    );
    assertMatch(client.stdout, /^\[a\] .*\n$/);
    await using other = startClient(["-p", server.port, "-m", "b", "--trace"]);
    await other.ends(0);
    assertMatch(
      steady(other.stderr),
      /^ADDRESS {3}connected\n[^]*\nADDRESS > end \(half-close\)\nADDRESS > cut\n$/,
    );
  });

  it("has the system calls of the same run, in their order", requires("strace"), async () => {
    const folder = await Deno.makeTempDir({ prefix: "readback-trace-" });
    try {
      const calls = [
        "strace",
        "-ff",
        "-e",
        "accept4,recvfrom,sendto,shutdown",
        "-o",
        `${folder}/c`,
      ];
      const args = ["--port", "0", "--framing", "line", "--trace"];
      await using server = new Program([...calls, ...program("server"), ...args]);
      const [, port] = await server.until(/listening on .*:(\d+)\n/);
      using wire = await Wire.dial(Number(port));
      for (
        const [piece, reply] of [["i am bin", ""], ["ary\nx\n", "[x]"], ["y\n", "[y]"]] as const
      ) {
        await wire.send(piece);
        await server.until(JSON.stringify(piece));
        await wire.until(reply);
      }
      await wire.send("z".repeat(5000) + "\n");
      await wire.until(/\[z+\] .*\n/);
      await wire.end();
      await wire.rest();
      await server.until("< end\n");
      const { pid, steps } = await systemCalls(folder);
      assert(steps.length >= 11, `${steps}`); // long lines may take several reads
      assertEquals(stepsOf(server.stdout), steps);
      Deno.kill(pid, "SIGTERM");
      await server.ends(0);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
});

/** Reads, writes and ends of a trace: `> 8`, `< 29`, `> end`. */
function stepsOf(trace: string): string[] {
  return [...trace.matchAll(/ ([<>]) +(\d+|end)/g)].map(([, mark, what]) => `${mark} ${what}`);
}

/** The same of the connection that was accepted, from the calls of the thread that did. */
async function systemCalls(folder: string): Promise<{ pid: number; steps: string[] }> {
  for (const { name } of Deno.readDirSync(folder)) {
    const text = await Deno.readTextFile(`${folder}/${name}`);
    const [, fd, calls = ""] = /^accept4\(.* = (\d+)$([^]*)/m.exec(text) ?? [];
    if (fd === undefined) continue;
    const all = calls.matchAll(/^(recvfrom|sendto|shutdown)\((\d+), .* = (\d+)$/gm);
    const steps = [...all].filter(([, , of]) => of === fd).map(([, call, , result]) => {
      const mark = call === "recvfrom" ? ">" : "<";
      return `${mark} ${call === "shutdown" || (mark === ">" && result === "0") ? "end" : result}`;
    });
    return { pid: Number(name.split(".").at(-1)), steps };
  }
  throw new Error("no connection was accepted");
}

describe("a line of a trace", () => {
  const line = (data: string, columns?: number, address = "127.0.0.1:1") =>
    new TraceText("peer", () => columns).line(
      { kind: "data", from: "peer", data: new TextEncoder().encode(data), time: 951.4 },
      address,
    );

  it("is as wide as the terminal, or 80 characters", () => {
    assertEquals(line("a"), '  0.951 127.0.0.1:1 >  1 byte  "a"');
    for (const columns of [60, 80, 200]) {
      const text = line("x".repeat(500), columns);
      assertEquals([text.length, text.slice(-2)], [columns, '…"']);
    }
    assertEquals(line("x".repeat(500)).length, 80);
  });

  it("counts wide characters as two, and cuts no escape", () => {
    assertEquals(
      line("漢".repeat(50), 60),
      '  0.951 127.0.0.1:1 > 150 bytes "漢漢漢漢漢漢漢漢漢漢漢漢…"',
    );
    for (let columns = 45; columns < 60; columns++) {
      assertMatch(line("\x00".repeat(50), columns), /"(\\x00)+…"$/);
    }
  });

  it("is aligned with those before it", () => {
    const trace = new TraceText("peer", () => 80);
    const event = { kind: "connected", from: "peer", data: new Uint8Array(), time: 0 } as const;
    trace.line(event, "[::1]:50412");
    assertEquals(trace.line(event, "[::1]:1"), "  0.000 [::1]:1       connected");
  });
});
