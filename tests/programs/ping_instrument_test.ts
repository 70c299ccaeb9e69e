/** The instrument: what is part of a figure, many connections, outages, pictures, and how it ends. */

import { assert, assertAlmostEquals, assertEquals, assertMatch, fail } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { DatagramPeer, Peer, readback, serve, serveDatagrams } from "../../lib/mod.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, startClient, startServer } from "../../lib/testing/readback.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Screen } from "../../lib/testing/screen.ts";
import { Certificates } from "../support/certificates.ts";
import { sleep } from "../../lib/wait.ts";

const SIGNALS = requires("signals");

/** The events that a client printed. */
function events(stdout: string): Record<string, unknown>[] {
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

/** Sends back what it receives, from the connection of this number on; drops those before. */
function echo(options: { port?: number; from?: number } = {}): FakeServer {
  let connections = 0;
  return FakeServer.start(async (conn) => {
    const isDropped = ++connections < (options.from ?? 1);
    const buffer = new Uint8Array(65536);
    for (let size; (size = await conn.read(buffer)) !== null && !isDropped;) {
      await conn.write(buffer.subarray(0, size));
    }
  }, options);
}

/** A port of which nobody knows. */
async function freePort(): Promise<number> {
  await using server = echo();
  return server.port;
}

describe("the first takes no longer than the others:", () => {
  /** Looks at the first of some durations. One good run of ten is enough, on a busy machine. */
  async function measure(args: readonly (string | number)[]): Promise<void> {
    for (let run = 1;; run++) {
      await using client = startClient([...args, "-c", 16, "-i", "10ms", "--log", "json"]);
      await client.ends(0);
      const [first = NaN, ...rest] = events(client.stdout)
        .flatMap(({ duration }) => typeof duration === "number" ? [duration] : []);
      const median = rest.toSorted((a, b) => a - b)[7] ?? NaN;
      if (first < Math.max(4 * median, 2)) return;
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

  it("TLS handshake", requires("openssl"), async () => {
    await using made = await Certificates.make();
    await using server = await startServer(await made.sign("here", "IP:127.0.0.1"));
    const tls = ["-p", server.port, "--tls", "--ca", made.path("ca.pem")];
    await using warm = startClient([...tls, "--connect", "-c", 5, "-i", 0]);
    await warm.ends(0);
    await measure([...tls, "--connect"]);
  });

  it("datagram", async () => {
    await using server = await serveDatagrams(readback());
    using warm = await DatagramPeer.connect({ port: server.port });
    for (let count = 0; count < 50; count++) await warm.request("warm");
    await measure(["-p", server.port, "--udp", "--ping"]);
  });
});

describe("--wait", () => {
  for (const mode of ["--ping", "--connect"]) {
    it(`is no part of a figure: ${mode}`, async () => {
      const port = await freePort();
      const args = ["-p", port, mode, "--wait", "20s", "-c", 2, "-i", 0, "--log", "json"];
      await using client = startClient(args);
      await sleep(600);
      await using _server = echo({ port });
      await client.ends(0);
      for (const { event, duration = 0, elapsed = 0, max = 0 } of events(client.stdout)) {
        assert(
          Math.max(...[duration, elapsed, max].map(Number)) < 500,
          `${event} ${client.stdout}`,
        );
      }
    });
  }
});

describe("a summary", () => {
  it("is there if no connection was made", async () => {
    const port = await freePort();
    for (const mode of ["--ping", "--connect"]) {
      const args = ["-p", port, mode, "-c", 2, "-i", "1ms", "--log", "json"];
      await using client = startClient(args);
      await client.ends(1);
      const { event, answered, connects, reason, rate } = events(client.stdout).at(-1) ?? {};
      assertEquals([event, answered, connects, rate], ["summary", 0, 0, 0]);
      assertMatch(String(reason), /^cannot connect to 127\.0\.0\.1:\d+: /);
    }
  });

  it("has elapsed and rate, and p99.9 from 1,000 replies on", async () => {
    await using server = echo();
    const args = ["-p", server.port, "--ping", "-q", "-i", "500us", "--log", "json"];
    await using client = startClient([...args, "-c", 1000]);
    await client.ends(0);
    const { elapsed, rate, p999, outages } = events(client.stdout)[0] ?? {};
    assertAlmostEquals(Number(rate), 1000 * 1000 / Number(elapsed), 0.1);
    assert(Number(elapsed) > 490, client.stdout);
    assertEquals([typeof p999, outages], ["number", []]);
  });

  it("follows --for, in time", async () => {
    await using server = echo();
    const args = ["-p", server.port, "--ping", "-i", "400ms", "--for", "1s", "--log", "json"];
    await using client = startClient(args);
    await client.ends(0);
    const { sent, answered, elapsed } = events(client.stdout).at(-1) ?? {};
    assertEquals([sent, answered], [3, 3]);
    assert(Number(elapsed) >= 999 && Number(elapsed) < 1400, client.stdout);
  });

  it("in text so far at SIGQUIT, and the measurement goes on", SIGNALS, async () => {
    await using server = echo();
    await using client = startClient(["-p", server.port, "--ping", "-i", "10ms"]);
    await client.until(/seq=5 /);
    client.signal("SIGQUIT");
    await client.until(
      /^--- .* ---\n\d+ sent, \d+ answered, .*\nelapsed .*\n(the client .*\n)?min\/avg[^]*^\d bytes/m,
    );
    client.signal("SIGINT");
    await client.ends(0);
    assertEquals(client.stdout.match(/^--- /gm)?.length, 2);
  });
});

describe("an outage", () => {
  it("is reported with its times, and the last line is no old error", SIGNALS, async () => {
    const port = await freePort();
    const first = echo({ port });
    const args = ["-p", port, "--ping", "-i", "50ms", "-c", 40, "--log", "json"];
    await using client = startClient(args);
    await client.until(/"seq":5,/);
    await first[Symbol.asyncDispose]();
    await client.until(/("lost"[^]*){6}/);
    await using _second = echo({ port });
    await client.ends(1);
    const all = events(client.stdout);
    const lost = all.filter(({ event }) => event === "lost").map(({ seq }) => Number(seq));
    const outages = all.filter(({ event }) => event === "outage");
    assertEquals(outages.map((outage) => outage["lost"]), [lost.length]);
    const { from, to, duration } = outages[0] ?? {};
    assertAlmostEquals(Date.parse(String(to)) - Date.parse(String(from)), Number(duration), 2);
    assertAlmostEquals(Number(duration), 50 * lost.length, 40); // from due to due
    assertEquals(
      client.stderr.trim().split("\n").at(-1),
      `client: ${40 - lost.length} of 40 messages were answered`,
    );
  });

  it("in text, with the crosses over time", async () => {
    await using server = echo({ from: 2 }); // the first connection is dropped at its message
    await using client = startClient(["-p", server.port, "--ping", "-i", "10ms", "-c", 30]);
    await client.ends(1);
    const time = "\\d\\d:\\d\\d:\\d\\d\\.\\d";
    const outage = new RegExp(`^outage ${time} to ${time}: 0\\.[0-9] s, [1-9] lost$`, "gm");
    assertEquals(client.stdout.match(outage)?.length, 2); // when it ended, and in the summary
    assertMatch(client.stdout, /^×[×▁▂▃▄▅▆▇█ ]{29} █ [\d.]+ ms, × lost, 0\.\d s$/m);
  });
});

describe("--connections", () => {
  it("prints one summary, and no line for each reply", async () => {
    await using server = echo();
    const args = ["--ping", "--connections", 200, "-i", "100ms", "-c", 1000];
    await using client = startClient(["-p", server.port, ...args]);
    await client.ends(0);
    assertMatch(
      client.stdout,
      /^--- .* ---\n1000 sent, 1000 answered, 0 lost \(0 %\)\nelapsed 0\.[5-9] s, /,
    );
  });

  it("goes on where some connections are lost, and says so once", async () => {
    await using server = echo({ from: 21 }); // 20 connections are dropped at their first message
    const args = ["--ping", "--connections", 40, "-i", "100ms", "-c", 200, "--log", "json"];
    await using client = startClient(["-p", server.port, ...args]);
    await client.ends(1);
    const { answered, lost, connects } = events(client.stdout).at(-1) ?? {};
    assertEquals([answered, lost, connects], [180, 20, 60]);
    assertEquals(client.stderr.match(/the server has closed/g)?.length, 1);
  });

  it("measures datagrams and connections too", async () => {
    await using udp = await serveDatagrams(readback());
    await using tcp = serve(readback());
    for (const [{ port }, ...mode] of [[udp, "--ping", "--udp"], [tcp, "--connect"]] as const) {
      const args = ["--connections", 10, "-i", 0, "-c", 100, "-q", "--log", "json"];
      await using client = startClient(["-p", port, ...mode, ...args]);
      await client.ends(0);
      const { answered, connects } = events(client.stdout)[0] ?? {};
      assertEquals([answered, connects], [100, mode.length === 1 ? 100 : 0]);
    }
  });

  it(
    "counts from when messages were due if the server takes none, and can be interrupted",
    SIGNALS,
    async () => {
      await using server = FakeServer.start(async (conn) => {
        await sleep(1300); // 10,000 are due meanwhile
        const buffer = new Uint8Array(65536);
        for (let size; (size = await conn.read(buffer)) !== null;) {
          await conn.write(buffer.subarray(0, size));
        }
      });
      const args = ["--ping", "-q", "-i", "100us", "--log", "json"];
      await using whole = startClient(["-p", server.port, ...args, "-c", 10_000]);
      await whole.ends(0);
      const { answered, max } = events(whole.stdout)[0] ?? {};
      assertEquals(answered, 10_000);
      assert(Number(max) > 1200, whole.stdout);
      await using client = startClient(["-p", server.port, ...args]);
      await sleep(1000);
      const since = performance.now();
      client.signal("SIGINT");
      await client.exitCode();
      assert(performance.now() - since < 1500, `${performance.now() - since} ms`);
    },
  );
});

describe("on a terminal", requires("tmux"), () => {
  it("the run over time is drawn live, with --quiet too", async () => {
    await using server = echo();
    const ping = [...program("client"), "-p", `${server.port}`, "--ping", "-i", "20ms"];
    for (const quiet of [[], ["--quiet"]]) {
      await using screen = await Screen.open([...ping, ...quiet], { columns: 60 });
      await screen.shows(/[▁▂▃▄▅▆▇█]{20,}[▁▂▃▄▅▆▇█ ]* █ [\d.]+ ms, 1\.\d s/);
      await screen.press("C-c");
      const end = await screen.ends(0);
      assertEquals(end.match(/ █ [\d.]+ ms, \d\.\d s$/gm)?.length, 1, end); // the one that stays
    }
  });

  it("--wait can be interrupted, and there is a summary", async () => {
    const port = await freePort();
    const ping = [...program("client"), "-p", `${port}`, "--ping", "--wait", "20s"];
    await using screen = await Screen.open(ping, { columns: 100 });
    await screen.shows(/^connecting to 127\.0\.0\.1:\d+: \d s/);
    await screen.press("C-c");
    const end = await screen.ends(1);
    assertMatch(
      end,
      /--- .* ---\n0 sent, 0 answered, 0 lost \(0 %\)\nelapsed 0.0 s, 0 replies\/s\n/,
    );
    assertMatch(end, /^client: cannot connect to /m);
  });

  it("and in pipes only at the end", async () => {
    await using server = echo();
    const ping = [...program("client"), "-p", `${server.port}`, "--ping", "-i", "5ms"];
    await using client = new Program([...ping, "-c", "60", "-q"]);
    await client.ends(0);
    assertEquals([client.stdout.match(/ ms, \d\.\d s\n/g)?.length, client.stderr], [1, ""]);
    assert(!client.stdout.includes("\x1b"), client.stdout);
  });
});

describe("-4, -6 and -D", () => {
  it("choose among the addresses of a name", async () => {
    await using server = echo(); // on IPv4
    const args = ["-p", server.port, "--ping", "-c", 1];
    await using four = startClient(["localhost", "-4", ...args]);
    await four.ends(0);
    await using literal = startClient(["127.0.0.1", "-6", ...args]);
    await literal.ends(1);
    assertMatch(literal.stderr, /^client: cannot connect to .*: it has no IPv6 address: [^\n]*\n$/);
  });

  it("print the local time before each line", async () => {
    await using server = echo();
    await using client = startClient(["-p", server.port, "--connect", "-D", "-c", 2, "-i", 0]);
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
    const [, fault = ""] = /`deno task server (--fault \S+)`/.exec(page) ?? fail("no fault");
    const [, command = "", output = ""] =
      /^```\n\$ deno task client (.*)\n([^]*?)^```$/m.exec(page) ??
        fail("no example");
    await using server = await startServer(["--quiet", ...fault.split(" ")]);
    await using client = startClient(["-p", server.port, ...command.split(" ")]);
    await client.ends(0);
    assertEquals(normalized(client.stdout), normalized(output));
  });
});
