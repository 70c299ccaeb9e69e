/** The client as an instrument: what it measures, and how it reports that. */

import { assert, assertAlmostEquals, assertEquals, assertMatch, fail } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readback, serve, serveDatagrams } from "../../lib/mod.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, startClient, startServer } from "../../lib/testing/readback.ts";
import { range } from "../support/measuring.ts";
import { reply } from "../support/servers.ts";
import { answered, measured, reported, summary, timed } from "../support/reported.ts";

const LINE = /^\d+ bytes from 127\.0\.0\.1:\d+: seq=(\d+) time=(\d+\.\d{3}) ms$/;

/** The beginning of a summary. */
const SUMMARY =
  /^--- .* ---\n\d+ sent, \d+ answered, \d+ lost \(\d+ %\)\nelapsed .*\n(the client .*\n)?min\/avg/m;

const SIGNALS = requires("signals");

describe("--ping", () => {
  it("has a line a reply, a summary and a histogram; the figures are those of the lines", async () => {
    const count = 100;
    await using server = await startServer();
    await using client = startClient(["-p", server.port, "--ping", "-c", count, "-i", "2ms"]);
    await client.ends(0);
    const [lines = "", end = ""] = client.stdout.split(/^--- .* ---\n/m);
    const replies = lines.trim().split("\n").map((line) => LINE.exec(line) ?? fail(line));
    assertEquals(replies.map(([, seq]) => Number(seq)), range(count));
    const [counts, elapsed = "", ...rest] = end.trim().split("\n");
    assertEquals(counts, "100 sent, 100 answered, 0 lost (0 %)");
    const [, seconds, rate] = /^elapsed ([\d.]+) s, ([\d.]+) replies\/s$/.exec(elapsed) ??
      fail(elapsed);
    assertAlmostEquals(Number(rate), count / Number(seconds), Number(rate) / 3);
    const [figures = "", picture = "", ...bars] = rest.slice(rest[0]?.startsWith("min") ? 0 : 1);
    assertMatch(picture, /^[▁▂▃▄▅▆▇█ ]{20,} █ [\d.]+ ms, [\d.]+ s$/);
    assertEquals([...picture].length, 80);
    const [, min, avg, p50, p90, p99, max] =
      /^min\/avg\/p50\/p90\/p99\/max = (.*)\/(.*)\/(.*)\/(.*)\/(.*)\/(.*) ms$/.exec(figures)
        ?.map(Number) as [number, number, number, number, number, number, number];
    const times = replies.map(([, , time]) => Number(time)).toSorted((a, b) => a - b);
    assertEquals([min, max], [times[0], times.at(-1)]);
    assertAlmostEquals(avg, times.reduce((sum, time) => sum + time) / count, 0.002);
    for (const [is, rank] of [[p50, 50], [p90, 90], [p99, 99]] as const) {
      assertAlmostEquals(is, times[rank - 1] as number, 0.002 + is / 1000);
    }
    assertEquals(bars.reduce((sum, bar) => sum + Number(bar.split(" ").at(-1)), 0), count);
    await server.until(`"ping ${count}" from`);
    assertEquals(server.stdout.match(/data: "ping \d+"/g)?.length, count);
    // Nothing is drawn meanwhile, since this is no terminal.
    assertEquals(client.stdout.match(/ ms, \d\.\d s\n/g)?.length, 1);
    assertEquals([client.stderr, client.stdout.includes("\x1b")], ["", false]);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it(`has a summary so far at SIGQUIT, and ends with one at ${signal}`, SIGNALS, async () => {
      await using server = serve(readback());
      await using client = startClient(["-p", server.port, "--ping", "-i", "10ms"]);
      await client.until(/seq=5 .*\n/);
      client.signal("SIGQUIT");
      await client.until(SUMMARY);
      await client.until(/^\d+ bytes/m);
      client.signal(signal);
      await client.until(SUMMARY);
      await client.ends(0);
      assertEquals([client.stdout.match(/^--- /gm)?.length, client.stderr], [2, ""]);
    });
  }

  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    it(`whose summary is not read ends with ${code} at a second ${signal}`, SIGNALS, async () => {
      const sent = Promise.withResolvers<void>();
      const left = Promise.withResolvers<void>();
      await using server = serve(readback(), {
        onMessage: (_, { messages }) => void (messages === 300 && sent.resolve()), // more than a pipe holds
        onClose: () => left.resolve(),
      });
      const [name = "", ...client] = program("client");
      const message = "x".repeat(1000);
      const how = ["--ping", "-i", "0", "--log", "json", "-m", message];
      const args = [...client, "-p", String(server.port), ...how];
      await using child = new Deno.Command(name, { args, stdout: "piped", stderr: "null" }).spawn();
      await sent.promise;
      child.kill(signal);
      await left.promise;
      child.kill(signal);
      assertEquals((await child.status).code, code);
      await child.stdout.cancel();
    });
  }

  it("to a full disk: one sentence", requires("linux"), async () => {
    await using server = serve(readback());
    const args = ["-p", `${server.port}`, "--ping", "-c", "2", "-i", "0"];
    const full = ["sh", "-c", 'exec "$@" > /dev/full', "sh"];
    await using client = new Program([...full, ...program("client"), ...args]);
    await client.ends(1);
    assertMatch(client.stderr, /^client: cannot write the replies: [^\n]*\n$/);
  });

  it(
    "loses exactly what was lost, when the server is killed and started again",
    SIGNALS,
    async () => {
      await using first = await startServer(["--log", "json"]);
      await using client = startClient(["-p", first.port, "--ping", "-i", "20ms", "--log", "json"]);
      await client.until(/"seq":10,/);
      first.signal("SIGKILL");
      await first.exitCode();
      await client.until(/"event":"lost"[^]*"event":"lost"/);
      const again = [...program("server"), "--log", "json", "--port", String(first.port)];
      await using second = new Program(again);
      await client.until(/"event":"reply"[^]*"event":"reply"/);
      client.signal("SIGINT");
      await client.ends(0);
      const events = client.stdout.trim().split("\n").map((line) => JSON.parse(line));
      const of = (name: string) => events.filter(({ event }) => event === name);
      const received = [first, second].flatMap(({ stdout }) =>
        [...stdout.matchAll(/"data":"ping (\d+)"/g)].map(([, number]) => Number(number))
      );
      const summary = events.at(-1);
      const answered = of("reply").map(({ seq }) => seq);
      const lost = of("lost").map(({ seq }) => seq);
      // What the first received just before its end may be unanswered; all else that was received was answered.
      const unanswered = received.filter((seq) => !answered.includes(seq));
      const known = Math.max(...answered); // what was sent after that was pending at Ctrl-C
      assertEquals(unanswered.filter((seq) => seq < known && !lost.includes(seq)), []);
      assertEquals(lost.filter((seq) => received.includes(seq)).length <= 1, true);
      assertEquals(
        [...answered, ...lost].toSorted((a, b) => a - b).slice(0, lost.at(-1)),
        range(lost.at(-1)),
      );
      assertEquals(summary.answered, answered.length);
      const disconnects = of("disconnected").length;
      assertEquals(summary.connects, disconnects + 1);
      // A program that is killed closes its connections first: another may reach its queue.
      assert(disconnects === 1 || disconnects === 2, client.stdout);
    },
  );
});

describe("--log json on the client", () => {
  /** What it reports of a run. */
  async function run(args: readonly (string | number)[], input = ""): Promise<unknown[]> {
    await using client = startClient([...args, "--log", "json"]);
    await client.type(input);
    await client.endInput();
    await client.exitCode();
    return reported(client.stdout);
  }

  it("is an object a reply and one at the end, whatever the mode", async () => {
    await using server = serve(readback());
    const where = ["-p", server.port];
    const both = [timed(1, "a"), timed(2, "b c")];
    const end = (sent: number) => ({ ...summary(sent), ...measured });
    assertEquals(await run(where, "a\nb c\n\nd"), [...both, end(2)]);
    assertEquals(await run([...where, "--once"], "a\nb\n"), [timed(1, "a"), end(1)]);
    const escaped = { ...timed(3, '\\\\x41\\x1b"'), bytes: 33 }; // what is no text, and what escapes it
    assertEquals(
      await run([...where, "-m", "a", "-m", "b c", "-m", '\\x41\x1b"']),
      [...both, escaped, end(3)],
    );
    assertEquals(await run([...where, "--quiet"], "a\n\r\nb c"), [
      answered(1, "a"),
      answered(2, ""),
      answered(3, "b c"),
      summary(3),
    ]);
    assertEquals(await run([...where, "--quiet"]), [summary(0)]);
  });

  it("numbers the replies upwards over UDP, where none was lost", async () => {
    await using server = await serveDatagrams(readback());
    const replies = ["a", "b", "c"].map((message, at) => answered(at + 1, message));
    const args = ["-p", server.port, "--udp", "--quiet"];
    assertEquals((await run(args, "a\nb\nc\n")).slice(0, 3), replies);
  });

  it("has the reason why it failed, escaped, since the server's words are in it", async () => {
    await using limited = serve(readback(), { maxMessage: 3 });
    assertEquals(await run(["-p", limited.port, "-q"], "a\nlong\n"), [
      answered(1, "a"),
      { ...summary(2, 1), reason: "the server refused: message longer than 3 bytes" },
    ]);
    await using rude = FakeServer.start(async (conn) => {
      for (const words of [reply("a"), "error: \\ \u202e \u009b \u2028 x\n"]) {
        await conn.read(new Uint8Array(10));
        await conn.write(new TextEncoder().encode(words));
      }
    });
    assertEquals(await run(["-p", rude.port, "-m", "a", "-m", "b"]), [timed(1, "a"), {
      ...summary(2, 1),
      reason: "the server refused: \\\\ \\xe2\\x80\\xae \\xc2\\x9b \\xe2\\x80\\xa8 x",
      ...measured,
    }]);
  });
});
