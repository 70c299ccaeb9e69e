/** Clients that send far too much, and what the others meet meanwhile. */

import { describe, it } from "@std/testing/bdd";
import { startServer } from "../../lib/testing/readback.ts";
import { requires } from "../../lib/testing/requires.ts";
import { fullSpeed, longLine, neverReads, readsLate } from "../battery/floods.ts";

describe("a client that sends too much", requires("linux", "python3"), () => {
  it("a line of 4 MB", async () => {
    await using server = await startServer();
    await longLine(server, 4);
  });

  it("sends for ever and never reads: cut, and cheap until then", async () => {
    await using server = await startServer(["--quiet", "--idle-timeout", "500ms"]);
    await neverReads(server, 500);
  });

  it("sends for ever and reads late: all replies are there", async () => {
    await using server = await startServer(["--quiet"]);
    await readsLate(server);
  });

  for (const size of [1000, 1]) {
    it(`others beside a client at full speed, lines of ${size} bytes`, async () => {
      await using server = await startServer(["--quiet"]);
      await fullSpeed(server, size, 0.4, { p50: 20 }); // p99 is for the soak: other tests run beside
    });
  }
});
