/** `--to`, as its user meets it: what it prints, how it ends, and what is wrong usage. */

import { assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readback, serve } from "../../lib/mod.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, startServer } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { freePort } from "../support/servers.ts";

describe("a relay", requires("signals"), () => {
  it("prints the transcript of its clients, and its faults, and ends with 0", async () => {
    await using server = serve(readback({ format: "<{message}>" }), { framing: "line" });
    const faults = ["--fault", "delay=1ms..20ms,up:slice=2", "--seed", 3];
    const args = ["--to", `127.0.0.1:${server.port}`, ...faults].map(String);
    await using relay = await startServer(args);
    using wire = await Wire.dial(relay.port);
    await wire.send("hello\n");
    assertEquals(await wire.until("\n"), "<hello>\n");
    await wire.end();
    assertEquals(await wire.rest(), "");
    await relay.until("broken the connection...\n");
    relay.signal("SIGTERM");
    await relay.ends(0);
    const lines = relay.stdout.replaceAll(/127\.0\.0\.1:\d+/g, "ADDRESS").split("\n");
    assertEquals(lines.slice(0, 4), [
      "listening on ADDRESS",
      "faults: delay=1ms..20ms, up:slice=2; seed 3",
      "waiting connection...",
      "fault up:slice=2 for ADDRESS",
    ]);
    assertMatch(lines[4] ?? "", /^fault delay=\d+ms for ADDRESS$/);
    assertEquals(relay.stderr, "");
  });

  it("says once that its server is not there, and relays once it is", async () => {
    const port = await freePort();
    await using relay = await startServer(["--to", `127.0.0.1:${port}`]);
    const sentence =
      `cannot connect to 127.0.0.1:${port}: connection refused: start a server, or check --to\n`;
    for (let round = 0; round < 3; round++) {
      const wire = await Wire.dial(relay.port).catch((error) => error); // it may be as fast as that
      if (wire instanceof Wire) await wire.resets().finally(() => wire.close());
      else assertInstanceOf(wire, Deno.errors.ConnectionReset);
      await relay.until(sentence);
    }
    assertEquals(relay.stderr, `server: ${sentence}`);
    await using _server = serve(readback(), { port });
    using wire = await Wire.dial(relay.port);
    await wire.send("hello\n");
    await wire.until(/^\[hello\] .*\n/);
  });

  it(
    "relays to the path of a Unix socket, and with a command beside it",
    requires("unix sockets", "sh", "nc"),
    async () => {
      const path = `${await Deno.makeTempDir({ prefix: "readback-" })}/socket`;
      await using _server = serve(readback({ format: "<{message}>" }), { path });
      const ask = 'printf hello | nc -N "$READBACK_HOST" "$READBACK_PORT"';
      const args = ["--to", path, "--fault", "slice=1", "--", "sh", "-c", ask];
      await using relay = new Program([...program("server", ["--unix", "--"]), ...args]);
      await relay.ends(0);
      assertEquals(relay.stdout, "<hello>");
    },
  );
});
