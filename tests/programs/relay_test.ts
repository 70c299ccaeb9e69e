/** `--to`, as its user meets it: what it prints, how it ends, and what is wrong usage. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, startClient, startServer } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";

describe("a relay", requires("signals"), () => {
  it("prints the transcript of its clients, and its faults, and ends with 0", async () => {
    await using server = await startServer(["--framing", "line", "--reply", "<{message}>"]);
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
    const place = await startServer();
    const { port } = place;
    place.signal("SIGTERM");
    await place.ends(0);
    await place[Symbol.asyncDispose]();
    await using relay = await startServer(["--to", `127.0.0.1:${port}`]);
    for (let round = 0; round < 3; round++) {
      await using client = startClient(["--port", relay.port, "--message", "hello"]);
      await client.ends(1);
      await relay.until(
        `cannot connect to 127.0.0.1:${port}: connection refused: start a server, or check --to\n`,
      );
    }
    assertEquals(
      relay.stderr,
      `server: cannot connect to 127.0.0.1:${port}: connection refused: start a server, or check --to\n`,
    );
    await using server = new Program([...program("server"), "--port", `${port}`]);
    await server.until("listening");
    await using client = startClient(["--port", relay.port, "--message", "hello"]);
    await client.ends(0);
  });

  it(
    "relays to the path of a Unix socket, and with a command beside it",
    requires("unix sockets", "sh", "nc"),
    async () => {
      const path = `${await Deno.makeTempDir({ prefix: "readback-" })}/socket`;
      await using _server = await startServer(["--unix", path, "--reply", "<{message}>"]);
      const ask = 'printf hello | nc -N "$READBACK_HOST" "$READBACK_PORT"';
      const args = ["--to", path, "--fault", "slice=1", "--", "sh", "-c", ask];
      await using relay = new Program([...program("server", ["--unix", "--"]), ...args]);
      await relay.ends(0);
      assertEquals(relay.stdout, "<hello>");
    },
  );
});
