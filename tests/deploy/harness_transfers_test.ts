/** The harness and large transfers: it keeps a part of them, and searches them in linear time. */

import { assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { Program } from "../../lib/testing/program.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Wire } from "../../lib/testing/wire.ts";

/** Runs a shell script. */
const sh = (script: string) => new Program(["sh", "-c", script]);

describe("a program", requires("linux"), () => {
  it("that prints more than is kept is searched all the same, and the error says so", async () => {
    const talk = "head -c 70000000 /dev/zero | tr '\\0' a";
    await using program = sh(`echo begin; read line; ${talk}; echo end`);
    await program.until("begin\n");
    await program.type("\n");
    await program.ends(0);
    await program.until("end\n");
    assertLess(program.stdout.length, 64 << 20);
    assertEquals([program.stdout.slice(0, 5), program.stdout.slice(-5)], ["aaaaa", "aend\n"]);
    assertLess(program.stdoutBytes.length, 64 << 20);
    const { message } = await assertRejects(() => program.until("more"), Error);
    assertMatch(message, /--- stdout \(its first \d{8} characters were dropped\)\n/);
  });

  it("of 64 MB is searched in linear time: quadratic, it would take minutes", async () => {
    await using program = sh("yes 0123456789 | head -c 64000000; echo; echo END");
    const begin = performance.now();
    const { index, input } = await program.until(/^E(N)D\n/m);
    assertLess(performance.now() - begin, 10_000);
    assertEquals(input.slice(index - 4).replace(/\d/g, "x"), "xxx\nEND\n");
    assertEquals(program.stdoutBytes.length, 64_000_005);
    assertEquals(program.stdout.length, 64_000_005);
  });
});

describe("a wire", () => {
  it("of 32 MB is searched in linear time", async () => {
    const bytes = new Uint8Array(32_000_000).fill(120, 0, -3);
    await using server = FakeServer.start(async (conn) => {
      for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
    });
    using wire = await Wire.dial(server.port);
    const begin = performance.now();
    assertEquals((await wire.until("\0\0")).length, bytes.length - 1);
    assertLess(performance.now() - begin, 8_000);
    assertEquals(await wire.rest(), "\0");
  });
});
