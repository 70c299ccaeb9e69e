/** The client as an instrument: what it measures, and how it reports that. */

import { assert, assertAlmostEquals, assertEquals, assertMatch, fail } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readback, serve } from "../../lib/mod.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { Peer } from "../../lib/client/peer.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, startClient, startServer } from "../../lib/testing/readback.ts";
import { Proxy } from "../../lib/testing/proxy.ts";
import { Screen } from "../../lib/testing/screen.ts";
import { text, Wire } from "../../lib/testing/wire.ts";
import { Certificates } from "../support/certificates.ts";
import { Framer, messagesOf } from "../../lib/wire/framing.ts";
import { Udp } from "../support/udp.ts";
import { sleep } from "../../lib/wait.ts";

const LINE = /^\d+ bytes from 127\.0\.0\.1:\d+: seq=(\d+) time=(\d+\.\d{3}) ms$/;

/** The numbers from 1 on. */
function range(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at + 1);
}

/**
 * A server of lines.
 * @param answer sends anything for a line; false closes the connection
 */
function lines(
  answer: (line: string, send: (text: string) => Promise<void>) => Promise<boolean | void>,
  how: { port?: number } = {},
): FakeServer {
  return FakeServer.start(async (conn) => {
    const send = async (text: string) => void await conn.write(new TextEncoder().encode(text));
    const framer = new Framer("line", 1 << 20);
    for await (const message of messagesOf(conn, framer)) {
      if (await answer(text(message), send) === false) return;
    }
  }, how);
}

const reply = (line: string) => `[${line}] Mon Dec  9 18:15:50 2019\n`;

/** A server that reads once and never answers. */
const silent = () =>
  FakeServer.start(async (conn) => void await conn.read(new Uint8Array(10)), { keepOpen: true });

const BAR = /^ *[\d.]+ - /;

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
  });

  it("behind 50 ms of latency measures 50 ms, within 5 %", async () => {
    await using server = await startServer();
    await using proxy = await Proxy.start(server, { up: "delay=20ms", down: "delay=30ms" });
    const args = ["-p", proxy.port, "--ping", "-c", 20, "-i", 0, "--log", "json"];
    await using client = startClient(args);
    using wire = await Wire.dial(proxy.port);
    let least = Infinity; // as it is meanwhile: on a busy machine the network is late too
    for (let trip = 0; trip < 20; trip++) {
      const start = performance.now();
      await wire.send("ours\n");
      await wire.until(/\n/);
      least = Math.min(least, performance.now() - start);
    }
    await client.ends(0);
    const { min } = JSON.parse(client.stdout.trim().split("\n").at(-1) ?? "");
    const right = min > 47.5 && min < 1.05 * Math.max(50, least);
    assert(right, `the least is ${min} ms, ours ${least}\n${client.stdout}`);
  });

  it("sends the messages of --message in turn", async () => {
    await using server = await startServer();
    await using client = startClient(
      ["-p", server.port, "--ping", "-c", 3, "-i", 0, "-m", "a", "-m", "b"],
    );
    await client.ends(0);
    await server.until(/("[ab]" from [^]*){3}\n/);
    assertEquals(server.stdout.match(/data: ".*"/g), ['data: "a"', 'data: "b"', 'data: "a"']);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it(`ends with a summary at ${signal}`, SIGNALS, async () => {
      await using server = serve(readback());
      await using client = startClient(["-p", server.port, "--ping", "-i", "1m"]);
      await client.until(/seq=1 .*\n/);
      client.signal(signal);
      await client.until(
        /\n1 sent, 1 answered, 0 lost \(0 %\)\nelapsed .*\n(the client .*\n)?min\/avg/,
      );
      await client.ends(0);
      assertEquals(client.stderr, "");
    });
  }

  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    it(`whose summary is not read ends with ${code} at a second ${signal}`, SIGNALS, async () => {
      const sent = Promise.withResolvers<void>();
      const left = Promise.withResolvers<void>();
      await using server = serve(readback(), {
        onMessage: ({ text }) => void (text === "ping 2500" && sent.resolve()), // more than a pipe holds
        onClose: () => left.resolve(),
      });
      const [name = "", ...client] = program("client");
      const args = [...client, "-p", String(server.port), "--ping", "-i", "0"];
      await using child = new Deno.Command(name, { args, stdout: "piped", stderr: "null" }).spawn();
      await sent.promise;
      child.kill(signal);
      await left.promise;
      child.kill(signal);
      assertEquals((await child.status).code, code);
      await child.stdout.cancel();
    });
  }

  it(
    "that was never answered: exit 1, at Ctrl-C and after --timeout",
    requires("signals"),
    async () => {
      await using server = silent();
      await using patient = startClient(["-p", server.port, "--ping", "-t", 0]);
      while (server.received === "") await sleep(1);
      patient.signal("SIGINT");
      await patient.ends(1);
      assertEquals(patient.stdout.split("\n")[1], "1 sent, 0 answered, 1 lost (100 %)");
      assertEquals(patient.stderr, "client: 0 of 1 messages were answered\n");
      await using hasty = startClient(["-p", server.port, "--ping", "-c", 1, "-t", "100ms"]);
      await hasty.ends(1);
      assertEquals(hasty.stdout.split("\n")[2], "1 sent, 0 answered, 1 lost (100 %)");
      assertEquals(hasty.stderr, "client: no reply within 0.1s\n");
    },
  );

  it(
    "to a full disk: one sentence, whether replies come or are lost",
    requires("linux"),
    async () => {
      await using server = serve(readback());
      await using silent = await Udp.open();
      for (const where of [["-p", `${server.port}`], ["-p", `${silent.port}`, "--udp"]]) {
        const args = [...where, "--ping", "-c", "2", "-i", "0", "-t", "50ms"];
        const full = ["sh", "-c", 'exec "$@" > /dev/full', "sh"];
        await using client = new Program([...full, ...program("client"), ...args]);
        await client.ends(1);
        assertMatch(client.stderr, /^client: cannot write the replies: [^\n]*\n$/);
      }
    },
  );

  it("draws no wider than the terminal", requires("tmux"), async () => {
    await using server = serve(readback());
    const ping = [...program("client"), "-p", `${server.port}`, "--ping", "-c", "50", "-i", "0"];
    await using screen = await Screen.open(ping, { columns: 40 });
    const [, end = ""] = (await screen.ends(0)).split(/^--- .* ---\n.*\n/m);
    const lines = end.split("\n");
    const bars = lines.slice(lines.findIndex((line) => BAR.test(line)));
    assert(bars.length >= 10 && bars.every((line) => BAR.test(line)), end); // none has a second row
    assertEquals(Math.max(...bars.map((bar) => [...bar].length)), 40, end);
  });
});

/** Runs a measurement to its end; addresses become HERE, times T. */
async function ping(
  port: number,
  args: readonly (string | number)[],
  code: number,
): Promise<{ lines: string[]; summary: string; stderr: string }> {
  await using client = startClient(["-p", port, "--ping", ...args]);
  await client.ends(code);
  const output = client.stdout.replaceAll(/127\.0\.0\.1:\d+/g, "HERE")
    .replaceAll(/time=[\d.]+/g, "time=T");
  const [lines = "", end = ""] = output.split("--- HERE ---\n");
  const [summary = ""] = end.split("\n");
  return { lines: lines.split("\n").slice(0, -1), summary, stderr: client.stderr };
}

describe("--ping and whose reply it is", () => {
  it("counts a line that does not hold its message as wrong, and fails", async () => {
    await using server = lines(async (line, send) => {
      await send(line === "ping 2" ? "<html>\x1b\n" : reply(line));
    });
    assertEquals(await ping(server.port, ["-c", 3, "-i", "5ms"], 1), {
      lines: [
        "33 bytes from HERE: seq=1 time=T ms",
        'wrong reply from HERE: seq=2 "<html>\\x1b"',
        "33 bytes from HERE: seq=3 time=T ms",
      ],
      summary: "3 sent, 2 answered, 1 wrong, 0 lost (0 %)",
      stderr: "client: 2 of 3 messages were answered: " +
        "1 wrong (a reply holds its message; with --any, any line is one)\n",
    });
  });

  it("takes a reply that comes in pieces for one", async () => {
    await using server = lines(async (line, send) => {
      const whole = reply(line);
      await send(whole.slice(0, 20)); // the message is in it
      await sleep(20); // else the system may join the rest to it
      await send(whole.slice(20));
    });
    assertEquals(await ping(server.port, ["-c", 3, "-i", "5ms"], 0), {
      lines: range(3).map((seq) => `33 bytes from HERE: seq=${seq} time=T ms`),
      summary: "3 sent, 3 answered, 0 lost (0 %)",
      stderr: "",
    });
  });

  it("with --any takes any line", async () => {
    await using server = lines((_, send) => send("+PONG\r\n"));
    const { lines: printed, summary } = await ping(server.port, ["-c", 2, "-i", 0, "--any"], 0);
    assertEquals(printed, range(2).map((seq) => `5 bytes from HERE: seq=${seq} time=T ms`));
    assertEquals(summary, "2 sent, 2 answered, 0 lost (0 %)");
  });

  it("takes no line too many for a later message's reply, be any line one", async () => {
    for (const any of [[], ["--any"]]) {
      await using server = lines((line, send) => send(reply(line) + "and\nmore\n"));
      const { lines: printed, summary } = await ping(
        server.port,
        ["-c", 3, "-i", "50ms", ...any],
        0,
      );
      const answers = printed.filter((line) => / bytes from /.test(line));
      assertEquals(answers, range(3).map((seq) => `33 bytes from HERE: seq=${seq} time=T ms`));
      assertEquals(printed.slice(1, 3), ["Server says: and", "Server says: more"]);
      assertEquals(summary, "3 sent, 3 answered, 0 lost (0 %)");
    }
  });

  it("reports a duplicate reply, and takes it for no other message's", async () => {
    await using server = lines((line, send) =>
      send(reply(line) + (line === "ping 1" ? reply(line) : ""))
    );
    const { lines: printed, summary } = await ping(server.port, ["-c", 2, "-i", "20ms"], 0);
    assertEquals(printed, [
      "33 bytes from HERE: seq=1 time=T ms",
      "duplicate reply from HERE: seq=1",
      "33 bytes from HERE: seq=2 time=T ms",
    ]);
    assertEquals(summary, "2 sent, 2 answered, 0 lost (0 %), 1 duplicate");
  });

  it("reports a late reply when it comes, and goes on", async () => {
    await using server = lines(async (line, send) => {
      if (line !== "ping 2") await send((line === "ping 4" ? reply("ping 2") : "") + reply(line));
    });
    const args = ["-c", 4, "-i", "150ms", "-t", "100ms"];
    const { lines: printed, summary, stderr } = await ping(server.port, args, 1);
    const answer = (seq: number) => `33 bytes from HERE: seq=${seq} time=T ms`;
    const lost = "no reply from HERE: seq=2"; // before or after the third, on a busy machine
    assert(printed.indexOf(lost) > 0 && printed.indexOf(lost) < 3, printed.join("\n"));
    const late = "late reply from HERE: seq=2 time=T ms";
    assertEquals(printed.filter((line) => line !== lost), [answer(1), answer(3), late, answer(4)]);
    assertEquals(summary, "4 sent, 3 answered, 1 lost (25 %), 1 late");
    assertEquals(stderr, "client: 3 of 4 messages were answered\n"); // the last came in time
  });

  it("drops a connection on which a late reply could be taken for the next", async () => {
    await using server = lines(async (line, send) => {
      if (server.received.length > "same\n".length) await send(`${line}\n`);
    });
    const args = ["-c", 2, "-i", "150ms", "-t", "100ms", "-m", "same"];
    const { lines: printed, summary } = await ping(server.port, args, 1);
    assertEquals(printed, ["no reply from HERE: seq=1", "4 bytes from HERE: seq=2 time=T ms"]);
    assertEquals(summary, "2 sent, 1 answered, 1 lost (50 %), 2 connects");
  });
});

describe("--ping in an outage", () => {
  it("reports how long it was silent, counts pending messages as lost, and connects again", async () => {
    let conversations = 0;
    await using server = FakeServer.start(async (conn) => {
      const isFirst = conversations++ === 0;
      const framer = new Framer("line", 1000);
      for await (const message of messagesOf(conn, framer)) {
        const line = text(message);
        if (isFirst && line === "ping 3") return await sleep(200) as void;
        await conn.write(new TextEncoder().encode(reply(line)));
      }
    });
    const printed = await ping(server.port, ["-c", 10, "-i", "100ms"], 1);
    const answer = (seq: number) => `33 bytes from HERE: seq=${seq} time=T ms`;
    const lost = (seq: number) => `no reply from HERE: seq=${seq}`;
    assertEquals(printed.lines.slice(0, 2), [answer(1), answer(2)]);
    assertEquals(printed.lines.includes(lost(3)), true);
    assertEquals(printed.lines.at(-1), answer(10).replace("33", "34"));
    assertMatch(printed.summary, /^10 sent, [5-9] answered, [1-5] lost \(\d+ %\), 2 connects$/);
    assertMatch(
      printed.stderr,
      /^client: the server has closed the connection after 0\.[0-2] s of silence\nclient: \d of 10 messages were answered\n$/,
    );
  });

  it("of a balancer that cuts idle connections: how long that took", async () => {
    await using server = await startServer(["--idle-timeout", "300ms"]);
    const { summary, stderr } = await ping(server.port, ["-c", 2, "-i", "1s"], 0);
    assertEquals(summary, "2 sent, 2 answered, 0 lost (0 %), 2 connects");
    assertMatch(
      stderr,
      /^client: the server has closed the connection after 0\.[3-5] s of silence\n$/,
    );
  });

  it(
    "loses exactly what was lost, when the server is killed and started again",
    SIGNALS,
    async () => {
      const first = await startServer(["--log", "json"]);
      await using client = startClient(["-p", first.port, "--ping", "-i", "20ms", "--log", "json"]);
      let second;
      try {
        await client.until(/"seq":10,/);
        first.signal("SIGKILL");
        await first.exitCode();
        await client.until(/"event":"lost"[^]*"event":"lost"/);
        const again = [...program("server"), "--log", "json", "--port", String(first.port)];
        second = new Program(again);
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
      } finally {
        await first[Symbol.asyncDispose]();
        await second?.[Symbol.asyncDispose]();
      }
    },
  );

  it("ends at once where the first connection can't be made", async () => {
    await using client = startClient(["-p", 1, "--ping"]);
    await client.ends(1);
    assertMatch(
      client.stderr,
      /^client: cannot connect to 127\.0\.0\.1:1: connection refused: .*\n$/,
    );
  });
});

describe("--ping on time", () => {
  /** The times of all replies, in ms, by their messages' numbers. */
  async function times(port: number, args: readonly (string | number)[]): Promise<number[]> {
    await using client = startClient(["-p", port, "--ping", "--log", "json", ...args]);
    await client.ends(0);
    return client.stdout.trim().split("\n").map((line) => JSON.parse(line))
      .filter(({ event }) => event === "reply")
      .toSorted((a, b) => a.seq - b.seq).map(({ duration }) => duration);
  }

  it("a stall shows in every message that it delayed", async () => {
    await using server = lines(async (line, send) => {
      if (line === "ping 3") await sleep(500);
      await send(reply(line));
    });
    const took = await times(server.port, ["-c", 40, "-i", "25ms"]);
    for (let seq = 3; seq <= 20; seq++) { // due 25 ms after the one before, answered with it
      const [time = 0, due = 500 - 25 * (seq - 3)] = [took[seq - 1]];
      assert(time > due - 30, `seq ${seq}: ${time}, due ${due}\n${took}`);
    }
    assert((took[39] ?? 0) < 100, `${took}`);
  });

  it("replies slower than the interval hold no message up", async () => {
    await using server = lines((line, send) => {
      setTimeout(() => send(reply(line)).catch(() => {}), 200);
      return Promise.resolve();
    });
    const took = await times(server.port, ["-f", "line", "-c", 30, "-i", "20ms"]);
    assert(Math.min(...took) > 190 && Math.max(...took) < 400, `${took}`);
  });

  it("asks a server that speaks raw one at a time, and counts from when each was due", async () => {
    await using server = FakeServer.start(async (conn) => {
      const buffer = new Uint8Array(1000);
      for (let count; (count = await conn.read(buffer)) !== null;) {
        await sleep(60);
        await conn.write(new TextEncoder().encode(`[${text(buffer.subarray(0, count))}] now`));
      }
    });
    const took = await times(server.port, ["-f", "raw", "-c", 5, "-i", "20ms"]);
    for (const [at, time] of took.entries()) assert(time > 55 + 40 * at, `${took}`);
  });

  it("--interval 0: 1,000 round trips within a few times what a loop of requests takes", async () => {
    await using server = serve(readback());
    using peer = await Peer.connect({ port: server.port, framing: "line", timeout: 10_000 });
    const loop = async () => {
      const since = performance.now();
      for (let number = 1; number <= 1000; number++) await peer.request(`ping ${number}`);
      return performance.now() - since;
    };
    await loop();
    const plain = await loop();
    await using client = startClient([
      "-p",
      server.port,
      "--ping",
      "--log",
      "json",
      "-qc",
      1000,
      "-i",
      0,
    ]);
    await client.ends(0);
    const { answered, p50 } = JSON.parse(client.stdout);
    assertEquals(answered, 1000);
    // The median: what a machine that is busy with other tests adds hits a few.
    assert(p50 < 5 * plain / 1000 + 0.1, `${p50} ms, in a plain loop ${plain / 1000} ms`);
  });

  it("complains when the server takes no more, and closes the connection in time", async () => {
    await using server = FakeServer.start(async (conn) => void await conn.read(new Uint8Array(1)), {
      keepOpen: true,
    });
    const big = "x".repeat(100_000);
    const args = [
      "-f",
      "line",
      "-c",
      400,
      "-i",
      "5ms",
      "-t",
      "1500ms",
      "-q",
      "--log",
      "json",
      "-m",
      big,
    ];
    await using client = startClient([
      "-p",
      server.port,
      "--ping",
      ...args.filter((arg) => arg !== "-q"),
    ]);
    await client.ends(1);
    assertMatch(client.stderr, /^client: the server has stopped reading: .*\n/);
    const { sent, lost, connects } = JSON.parse(client.stdout.trim().split("\n").at(-1) ?? "");
    assertEquals([sent, lost], [400, 400]);
    assert(connects > 1, `${connects} connects`);
  });
});

describe("--ping --connect", () => {
  it("measures connections, and sends nothing", async () => {
    await using server = await startServer(["--log", "json"]);
    const printed = await ping(server.port, ["--connect", "-c", 3, "-i", 0], 0);
    assertEquals(printed, {
      lines: range(3).map((seq) => `connected to HERE: seq=${seq} time=T ms`),
      summary: "3 tried, 3 connected, 0 lost (0 %)",
      stderr: "",
    });
    await server.until(/("ended"[^]*){3}/);
    assertEquals(server.stdout.match(/"messages":0,/g)?.length, 3);
  });

  it("reports each that was not made, and why; exit 1", async () => {
    const sentence =
      "cannot connect to HERE: connection refused: start a server, or check --host and --port";
    const printed = await ping(1, ["--connect", "-c", 2, "-i", "1ms"], 1);
    assertEquals(printed.lines, range(2).map((seq) => `no connection: seq=${seq} ${sentence}`));
    assertEquals(printed.summary, "2 tried, 0 connected, 2 lost (100 %)");
    assertEquals(printed.stderr, `client: ${sentence.replace("HERE", "127.0.0.1:1")}\n`);
  });

  it("with TLS has the handshake apart, in JSON", requires("openssl"), async () => {
    await using made = await Certificates.make();
    await using server = await startServer(await made.sign("here", "IP:127.0.0.1"));
    const args = ["--ping", "--connect", "--tls", "--ca", made.path("ca.pem"), "-c", 2, "-i", 0];
    await using client = startClient(["-p", server.port, ...args, "--log", "json"]);
    await client.ends(0);
    const [one] = client.stdout.split("\n").map((line) => JSON.parse(line || "{}"));
    assert(one.connect > 0 && one.handshake > 0, client.stdout);
    assert(one.duration >= one.connect + one.handshake - 0.01, client.stdout);
  });
});

describe("--ping --quiet", () => {
  it("is the summary alone, in JSON too", async () => {
    await using server = serve(readback());
    const { lines: printed, summary } = await ping(
      server.port,
      ["-c", 3, "-i", 0, "-q", "-m", "a"],
      0,
    );
    assertEquals([printed, summary], [[], "3 sent, 3 answered, 0 lost (0 %)"]);
    await using client = startClient(
      ["-p", server.port, "--ping", "-c", 3, "-i", 0, "--log", "json", "-q"],
    );
    await client.ends(0);
    assertEquals(JSON.parse(client.stdout).event, "summary");
  });

  it("complains of no disconnection where all was answered", async () => {
    await using server = lines(async (line, send) => {
      await send(reply(line));
      return false;
    });
    const printed = await ping(server.port, ["-c", 3, "-i", "50ms", "-q"], 0);
    assertEquals(printed.summary, "3 sent, 3 answered, 0 lost (0 %), 3 connects");
    assertEquals(printed.stderr, "");
  });
});

describe("--log json on the client", () => {
  /** What it reports of a run, without what differs from run to run. */
  async function reported(args: readonly (string | number)[], input = ""): Promise<unknown[]> {
    await using client = startClient([...args, "--log", "json"]);
    await client.type(input);
    await client.endInput();
    await client.exitCode();
    return client.stdout.trim().split("\n").map((line) => {
      const { time, server, ...fields } = JSON.parse(line);
      assertMatch(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assertMatch(server, /^127\.0\.0\.1:\d+$/);
      for (const name of ["elapsed", "rate", "behind", "delayed", "outages"]) delete fields[name];
      for (const name of ["duration", "min", "avg", "p50", "p90", "p99", "max"]) {
        if (name in fields) fields[name] = typeof fields[name];
      }
      fields.data &&= fields.data.replace(/\] .{24}$/, "] STAMP");
      return fields;
    });
  }
  const reply = (seq: number, message: string) => (
    { event: "reply", seq, bytes: message.length + 27, data: `[${message}] STAMP` }
  );
  const duration = "number";
  const measured = { min: "number", avg: "number", p50: "number", max: "number" };
  const counts = { wrong: 0, late: 0, duplicate: 0, connects: 1 };
  const summary = (sent: number, answered = sent) => (
    { event: "summary", sent, answered, lost: sent - answered, ...counts }
  );

  it("is an object a reply and one at the end, whatever the mode", async () => {
    await using server = serve(readback());
    const where = ["-p", server.port];
    const timed = (seq: number, message: string) => ({ ...reply(seq, message), duration });
    const both = [timed(1, "a"), timed(2, "b c"), { ...summary(2), ...measured }];
    assertEquals(await reported([...where, "-m", "a", "-m", "b c"]), both);
    assertEquals(await reported(where, "a\nb c\n\nd"), both);
    assertEquals(
      await reported([...where, "--ping", "-c", 2, "-i", 0, "-m", "a", "-m", "b c"]),
      both,
    );
    assertEquals(await reported([...where, "--once"], "a\nb\n"), [
      timed(1, "a"),
      { ...summary(1), ...measured },
    ]);
    assertEquals(await reported([...where, "--quiet"], "a\n\r\nb c"), [
      reply(1, "a"),
      reply(2, ""),
      reply(3, "b c"),
      summary(3),
    ]);
    assertEquals(await reported([...where, "--quiet"]), [summary(0)]);
  });

  it("numbers the replies upwards over UDP, where none was lost", async () => {
    await using server = await startServer(["--udp"]);
    const replies = ["a", "b", "c"].map((message, at) => reply(at + 1, message));
    const args = ["-p", server.port, "--udp", "--quiet"];
    assertEquals((await reported(args, "a\nb\nc\n")).slice(0, 3), replies);
  });

  it("has the reason why it failed", async () => {
    await using server = await startServer(["--max-message", "3"]);
    const reason = "the server refused: message longer than 3 bytes";
    const failed = { ...summary(2, 1), reason };
    assertEquals(await reported(["-p", server.port, "-m", "a", "-m", "long"]), [
      { ...reply(1, "a"), duration },
      { ...failed, ...measured },
    ]);
    assertEquals(await reported(["-p", server.port, "-q"], "a\nlong\n"), [reply(1, "a"), failed]);
  });

  it("escapes why it failed, where the server's words are in it", async () => {
    const words = "error: \\ \u202e \u009b \u2028 x\n";
    await using server = FakeServer.start(async (conn) => {
      await conn.read(new Uint8Array(10));
      await conn.write(new TextEncoder().encode(words));
    });
    assertEquals(await reported(["-p", server.port, "-m", "a"]), [{
      ...summary(1, 0),
      reason: "the server refused: \\\\ \\xe2\\x80\\xae \\xc2\\x9b \\xe2\\x80\\xa8 x",
    }]);
  });

  it("escapes what is no text, and what escapes it", async () => {
    await using server = serve(readback());
    await using client = startClient(["-p", server.port, "--log", "json", "-m", '\\x41\x1b"']);
    await client.ends(0);
    const { data, bytes } = JSON.parse(client.stdout.split("\n")[0] ?? "");
    assertEquals([data.slice(0, 13), bytes], ['[\\\\x41\\x1b"] ', 33]);
  });
});
