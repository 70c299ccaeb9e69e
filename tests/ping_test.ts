/** The client as an instrument: what it measures and how it says so. */

import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { FakeServer } from "../lib/testing/fake_server.ts";
import { needs } from "../lib/testing/needs.ts";
import { program, startClient, startServer } from "../lib/testing/program.ts";
import { latency, startProxy } from "../lib/testing/proxy.ts";
import { Screen } from "../lib/testing/screen.ts";

const LINE = /^\d+ bytes from 127\.0\.0\.1:\d+: seq=(\d+) time=(\d+\.\d{3}) ms$/;

/** A server that reads once and never answers. */
const silent = () =>
  FakeServer.start(async (conn) => void await conn.read(new Uint8Array(10)), { keepOpen: true });

const SIGNALS = needs("signals");

describe("--ping", () => {
  it("has a line a reply, a summary and a histogram; the figures are those of the lines", async () => {
    await using server = await startServer();
    await using client = startClient(["-p", server.port, "--ping", "-c", 5, "-i", "10ms"]);
    await client.ends(0);
    const [lines = "", end = ""] = client.stdout.split(/^--- .* ---\n/m);
    const replies = lines.trim().split("\n").map((line) => LINE.exec(line) ?? assert(false, line));
    assertEquals(replies.map(([, seq]) => Number(seq)), [1, 2, 3, 4, 5]);
    const [counts, figures = "", ...bars] = end.trim().split("\n");
    assertEquals(counts, "5 sent, 5 answered, 0 lost (0 %)");
    const [, min, avg, p50, p90, p99, max] =
      /^min\/avg\/p50\/p90\/p99\/max = (.*)\/(.*)\/(.*)\/(.*)\/(.*)\/(.*) ms$/.exec(figures)
        ?.map(Number) as [number, number, number, number, number, number, number];
    const times = replies.map(([, , time]) => Number(time)).toSorted((a, b) => a - b);
    assertEquals([min, max], [times[0], times[4]]);
    assertAlmostEquals(avg, times.reduce((sum, time) => sum + time) / 5, 0.002);
    assertAlmostEquals(p50, times[2] as number, 0.002 + p50 / 1000);
    for (const last of [p90, p99]) assertAlmostEquals(last, max, 0.002 + max / 1000);
    assertEquals(bars.reduce((sum, bar) => sum + Number(bar.split(" ").at(-1)), 0), 5);
    assertEquals(server.stdout.match(/data: "ping \d+"/g)?.length, 5);
  });

  it("behind 50 ms of latency measures 50 ms, within 5 %", async () => {
    await using server = await startServer();
    await using proxy = await startProxy(server.port, { up: [latency(20)], down: [latency(30)] });
    const args = ["-p", proxy.port, "--ping", "-c", 20, "-i", 0, "--log", "json"];
    await using client = startClient(args);
    await client.ends(0);
    // The least, since a machine that is busy with other tests adds to all but a few.
    const { min } = JSON.parse(client.stdout.trim().split("\n").at(-1) ?? "");
    assert(min > 47.5 && min < 52.5, `the least is ${min} ms\n${client.stdout}`);
  });

  it("says what it is told to, in turn", async () => {
    await using server = await startServer();
    await using client = startClient(
      ["-p", server.port, "--ping", "-c", 3, "-i", 0, "-m", "a", "-m", "b"],
    );
    await client.ends(0);
    assertEquals(server.stdout.match(/data: ".*"/g), ['data: "a"', 'data: "b"', 'data: "a"']);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it(`ends with a summary at ${signal}`, SIGNALS, async () => {
      await using server = await startServer();
      await using client = startClient(["-p", server.port, "--ping", "-i", "1m"]);
      await client.until(/seq=1 .*\n/);
      client.signal(signal);
      await client.until("1 sent, 1 answered, 0 lost (0 %)\nmin/avg");
      await client.ends(0);
      assertEquals(client.stderr, "");
    });
  }

  it(
    "that was never answered: exit 1, at Ctrl-C and after --timeout",
    SIGNALS,
    needs("signals"),
    async () => {
      await using server = silent();
      await using patient = startClient(["-p", server.port, "--ping", "-t", 0]);
      while (server.heard === "") await new Promise((resolve) => setTimeout(resolve, 1));
      patient.signal("SIGINT");
      await patient.ends(1);
      assertEquals(patient.stdout.split("\n")[1], "1 sent, 0 answered, 1 lost (100 %)");
      await using hasty = startClient(["-p", server.port, "--ping", "-t", "100ms"]);
      await hasty.ends(1);
      assertEquals(hasty.stdout.split("\n")[1], "1 sent, 0 answered, 1 lost (100 %)");
      assertEquals(hasty.stderr, "client: no reply within 0.1s\n");
    },
  );

  it(
    "says at once when the server goes away between two; what was measured stands",
    SIGNALS,
    async () => {
      await using server = await startServer();
      await using client = startClient(["-p", server.port, "--ping", "-i", "1m"]);
      await client.until(/seq=1 .*\n/);
      server.signal("SIGTERM");
      await client.ends(0);
      assertEquals(client.stderr, "client: the server has closed the connection\n");
      await client.until("1 sent, 1 answered, 0 lost (0 %)");
    },
  );

  it("draws no wider than the terminal", needs("tmux"), async () => {
    await using server = await startServer();
    const ping = [...program("client"), "-p", `${server.port}`, "--ping", "-c", "50", "-i", "0"];
    await using screen = await Screen.open(ping, { columns: 40 });
    const [, end = ""] = (await screen.ends(0)).split(/^--- .* ---\n.*\n/m);
    const bars = end.split("\n").filter((line) => /^ *[\d.]+ - /.test(line));
    assert(bars.length >= 10, end);
    assertEquals(Math.max(...bars.map((bar) => [...bar].length)), 40, end);
  });

  for (
    const [args, sentence] of [
      [["-c", "1"], "--count makes sense only with --ping: add that, or leave it out"],
      [["-i", "1"], "--interval makes sense only with --ping: add that, or leave it out"],
      [["--ping", "-q"], "cannot combine --quiet and --ping: choose one of them"],
      [["--ping", "--once"], "cannot combine --once and --ping: choose one of them"],
    ] as const
  ) {
    it(`${args.join(" ")}: exit 2`, async () => {
      await using client = startClient(args);
      await client.ends(2);
      assertEquals(client.stderr, `client: ${sentence}\n`);
    });
  }
});

describe("--log json on the client", () => {
  /** What it tells of a run, without what differs from run to run. */
  async function told(args: readonly (string | number)[], input = ""): Promise<unknown[]> {
    await using client = startClient([...args, "--log", "json"]);
    await client.type(input);
    await client.endInput();
    await client.exitCode();
    return client.stdout.trim().split("\n").map((line) => {
      const { time, server, ...fields } = JSON.parse(line);
      assertMatch(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assertMatch(server, /^127\.0\.0\.1:\d+$/);
      for (const name of ["duration", "min", "avg", "p50", "p90", "p99", "max"]) {
        if (name in fields) fields[name] = typeof fields[name];
      }
      fields.data &&= fields.data.replace(/\] .{24}$/, "] STAMP");
      return fields;
    });
  }
  const reply = (seq: number, said: string) => (
    { event: "reply", seq, bytes: said.length + 27, data: `[${said}] STAMP` }
  );
  const duration = "number";
  const figures = { min: "number", avg: "number", p50: "number", p90: "number", p99: "number" };
  const measured = { ...figures, max: "number" };
  const summary = (sent: number, answered = sent) => (
    { event: "summary", sent, answered, lost: sent - answered }
  );

  it("is an object a reply and one at the end, whatever the mode", async () => {
    await using server = await startServer();
    const where = ["-p", server.port];
    const timed = (seq: number, said: string) => ({ ...reply(seq, said), duration });
    const both = [timed(1, "a"), timed(2, "b c"), { ...summary(2), ...measured }];
    assertEquals(await told([...where, "-m", "a", "-m", "b c"]), both);
    assertEquals(await told(where, "a\nb c\n\nd"), both);
    assertEquals(await told([...where, "--ping", "-c", 2, "-i", 0, "-m", "a", "-m", "b c"]), both);
    assertEquals(await told([...where, "--once"], "a\nb\n"), [
      timed(1, "a"),
      { ...summary(1), ...measured },
    ]);
    assertEquals(await told([...where, "--quiet"], "a\n\r\nb c"), [
      reply(1, "a"),
      reply(2, ""),
      reply(3, "b c"),
      summary(3),
    ]);
    assertEquals(await told([...where, "--quiet"]), [summary(0)]);
  });

  it("says why it failed", async () => {
    await using server = await startServer(["--max-message", "3"]);
    const reason = "the server refused: message longer than 3 bytes";
    const failed = { ...summary(2, 1), reason };
    assertEquals(await told(["-p", server.port, "-m", "a", "-m", "long"]), [
      { ...reply(1, "a"), duration },
      { ...failed, ...measured },
    ]);
    assertEquals(await told(["-p", server.port, "-q"], "a\nlong\n"), [reply(1, "a"), failed]);
  });

  it("escapes what is no text, and what escapes it", async () => {
    await using server = await startServer();
    await using client = startClient(["-p", server.port, "--log", "json", "-m", '\\x41\x1b"']);
    await client.ends(0);
    const { data, bytes } = JSON.parse(client.stdout.split("\n")[0] ?? "");
    assertEquals([data.slice(0, 13), bytes], ['[\\\\x41\\x1b"] ', 33]);
  });
});
