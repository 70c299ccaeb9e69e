/** Services that are built on lib/: docs/library.md shows them as they are. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { chat } from "../battery/floods.ts";
import { Program } from "../../lib/testing/program.ts";
import { Wire } from "../../lib/testing/wire.ts";

/** Starts a service; says where it listens. */
async function start(name: string): Promise<{ service: Program; port: number }> {
  const service = new Program([
    Deno.execPath(),
    "run",
    "--allow-net",
    `tests/support/services/${name}.ts`,
  ]);
  try {
    const [, port] = await service.until(/listening on .*:(\d+)\n/);
    return { service, port: Number(port) };
  } catch (error) {
    await service[Symbol.asyncDispose]();
    throw error;
  }
}

describe("a service", () => {
  it("reads back what was said and when", async () => {
    const { service, port } = await start("stamp");
    await using _service = service;
    using wire = await Wire.dial(port);
    await wire.send("hello\n");
    assertMatch(await wire.until(/\n/), /^\[hello\] \d{4}-\d\d-\d\dT[\d:.]+Z\n$/);
  });

  it("keeps state for each conversation, and ends it", async () => {
    const { service, port } = await start("sum");
    await using _service = service;
    using one = await Wire.dial(port);
    using other = await Wire.dial(port);
    await one.send("1\n2\n");
    assertEquals(await one.until(/3\n/), "1\n3\n");
    await other.send("10\nten\n5\nexit\n6\n");
    assertEquals(await other.rest(), "10\nerror: not a number: ten\n15\n");
    await one.send("4\n");
    assertEquals(await one.until(/\n/), "7\n");
  });

  it("works out of order and answers in order", async () => {
    const { service, port } = await start("slow");
    await using _service = service;
    using wire = await Wire.dial(port);
    await wire.send("60 first\n20 second\n");
    await wire.send("0 third\n");
    await wire.end();
    assertEquals(await wire.rest(), "first\nsecond\nthird\n");
    await service.until(/done third\ndone second\ndone first\n/);
  });

  it("frames messages in its own way", async () => {
    const { service, port } = await start("netstring");
    await using _service = service;
    using wire = await Wire.dial(port);
    for (const piece of ["5:he", "llo,0:,2:a\n", ",12", ":twelve bytes,"]) await wire.send(piece);
    assertEquals(await wire.until(/twelve bytes,/), "5:hello,0:,2:a\n,12:twelve bytes,");
    await wire.send("twelve");
    assertEquals(await wire.rest(), "");
    await service.untilError("cannot answer: not a netstring: it does not begin with a length\n");
  });

  it("speaks to others; who does not listen holds nobody up", async () => {
    const { service, port } = await start("chat");
    await using _service = service;
    using one = await Wire.dial(port);
    assertEquals(await one.until(/\n/), "welcome, guest 1\n");
    using two = await Wire.dial(port);
    assertEquals(await two.until(/\n/), "welcome, guest 2\n");
    assertEquals(await one.until(/\n/), "guest 2 is here\n");
    {
      using _deaf = await Wire.dial(port); // never reads
      assertEquals(await one.until(/\n/), "guest 3 is here\n");
      assertEquals(await two.until(/\n/), "guest 3 is here\n");
      await chat(one, two, 20);
    }
    assertEquals(await two.until(/\n/), "guest 3 has left\n");
  });
});
