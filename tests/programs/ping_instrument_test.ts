/** The instrument as a program: what its first message takes, many connections, a terminal, and the page about it. */

import { assert, assertEquals, assertMatch, fail } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { DatagramPeer, Peer, readback, serve, serveDatagrams } from "../../lib/mod.ts";
import { program, startClient } from "../../lib/testing/readback.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Screen } from "../../lib/testing/screen.ts";
import { Certificates } from "../support/certificates.ts";
import { events, Measuring } from "../support/measuring.ts";
import { echo } from "../support/servers.ts";

/** A row of a histogram. */
const BAR = /^ *[\d.]+ - /;

describe("the first takes no longer than the others:", () => {
  /**
   * Looks at the first of some durations. One good run of ten is enough, on a busy machine.
   * @returns its events
   */
  async function measure(args: readonly (string | number)[]): Promise<Record<string, unknown>[]> {
    for (let run = 1;; run++) {
      await using client = startClient([...args, "-c", 16, "-i", "10ms", "--log", "json"]);
      await client.ends(0);
      const all = events(client.stdout);
      const [first = NaN, ...rest] = all
        .flatMap(({ duration }) => typeof duration === "number" ? [duration] : []);
      const median = rest.toSorted((a, b) => a - b)[7] ?? NaN;
      if (first < Math.max(4 * median, 2)) return all;
      assert(run < 10, `${first} ms, and then ${median} ms`);
    }
  }

  it("reply", async () => {
    await using server = serve(readback());
    using warm = await Peer.connect({ port: server.port });
    for (let count = 0; count < 50; count++) await warm.request("warm");
    await measure(["-p", server.port, "--ping"]);
  });

  it("connection", async () => {
    await using server = echo();
    await measure(["-p", server.port, "--connect"]);
  });

  it("connection to a name", async () => {
    await using server = echo();
    await measure(["--host", "localhost", "-p", server.port, "--connect"]);
  });

  it("TLS handshake, which JSON has apart", async () => {
    await using made = await Certificates.make();
    await made.sign("here", "IP:127.0.0.1");
    const [cert, key] = await Promise.all(
      ["here.pem", "here.key"].map((name) => Deno.readTextFile(made.path(name))),
    );
    await using server = serve(readback(), { cert, key });
    const args = ["-p", server.port, "--tls", "--ca", made.path("ca.pem"), "--connect"];
    await using warm = Measuring.start([...args, "-c", 5, "-i", 0]);
    await warm.ends(0);
    const [one] = await measure(args);
    const [connect, handshake, duration] = [one?.["connect"], one?.["handshake"], one?.["duration"]]
      .map(Number) as [number, number, number];
    assert(connect > 0 && handshake > 0, JSON.stringify(one));
    assert(duration >= connect + handshake - 0.01, JSON.stringify(one));
  });

  it("datagram", async () => {
    await using server = await serveDatagrams(readback());
    using warm = await DatagramPeer.connect({ port: server.port });
    for (let count = 0; count < 50; count++) await warm.request("warm");
    await measure(["-p", server.port, "--udp", "--ping"]);
  });
});

describe("--connections", () => {
  it("prints one summary, and no line for each reply", async () => {
    await using server = echo();
    const args = ["--ping", "--connections", 120, "-i", "100ms", "-c", 600];
    await using client = startClient(["-p", server.port, ...args]);
    await client.ends(0);
    assertMatch(
      client.stdout,
      /^--- .* ---\n600 sent, 600 answered, 0 lost \(0 %\)\nelapsed (0\.[5-9]|[1-9]\.\d) s, /,
    );
  });
});

describe("on a terminal", requires("tmux"), () => {
  it("the run over time is drawn live, and nothing is wider than the terminal", async () => {
    await using server = echo();
    const ping = [...program("client"), "-p", `${server.port}`, "--ping", "-i", "5ms"];
    await using screen = await Screen.open(ping, { columns: 50 });
    await screen.shows(/[▁▂▃▄▅▆▇█]{20,}[▁▂▃▄▅▆▇█ ]* █ [\d.]+ ms, 0\.\d s/);
    await screen.press("C-c");
    const shown = await screen.ends(0);
    assertEquals(shown.match(/ █ [\d.]+ ms, \d\.\d s$/gm)?.length, 1, shown); // the one that stays
    const lines = shown.split("\n");
    const bars = lines.slice(lines.findIndex((line) => BAR.test(line)));
    assert(bars.length >= 10 && bars.every((line) => BAR.test(line)), shown); // none has a second row
    assertEquals(Math.max(...bars.map((bar) => [...bar].length)), 50, shown);
  });
});

describe("-4 and -D", () => {
  it("choose an address of a name, and print the local time before each line", async () => {
    await using server = echo(); // on IPv4
    const args = ["localhost", "-4", "-p", server.port, "--connect", "-D", "-c", 2, "-i", 0];
    await using client = startClient(args);
    await client.ends(0);
    const [first = "", second = "", rest = ""] = client.stdout.split("\n");
    for (const line of [first, second]) {
      const [, hours, minutes] = /^(\d\d):(\d\d):\d\d\.\d{3} connected to /.exec(line) ??
        fail(line);
      const now = new Date();
      const apart = (now.getHours() - Number(hours)) * 60 + now.getMinutes() - Number(minutes);
      assert([0, 1, -1439].includes(apart), line);
    }
    assertMatch(rest, /^--- /);
  });
});

/** A summary without what differs from run to run. */
function normalized(output: string): string[] {
  return output.trim().split("\n")
    .filter((line) => !line.startsWith("the client itself was late"))
    .map((line) =>
      line.trim().replaceAll(/[\d.]+/g, "0")
        .replace(/^[▁▂▃▄▅▆▇█ ]{20,} █/, "▁ █")
        .replace(/ ms [█▉▊▋▌▍▎▏]* 0$/, " ms █ 0")
    );
}

describe("docs/measure.md", () => {
  it("begins with an example that is what a run prints", async () => {
    const page = await Deno.readTextFile(new URL("../../docs/measure.md", import.meta.url));
    const [, faults = ""] = /`deno task server --fault (\S+)`/.exec(page) ?? fail("no fault");
    const [, command = "", output = ""] =
      /^```\n\$ deno task client (.*)\n([^]*?)^```$/m.exec(page) ??
        fail("no example");
    await using server = serve(readback(), { faults });
    await using client = startClient(["-p", server.port, ...command.split(" ")]);
    await client.ends(0);
    assertEquals(normalized(client.stdout), normalized(output));
  });
});
