/** The measuring client in the test's own process: what counts into a figure, outages, and how a run is drawn. */

import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Peer, readback, serve } from "../../lib/mod.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { Proxy } from "../../lib/testing/proxy.ts";
import { text, Wire } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";
import { events, Measuring, ping } from "../support/measuring.ts";
import { echo, freePort, lines, reply } from "../support/servers.ts";

/** The times of all replies, in ms, by their messages' numbers. */
async function times(port: number, args: readonly (string | number)[]): Promise<number[]> {
  await using client = Measuring.start(["-p", port, "--ping", "--log", "json", ...args]);
  await client.ends(0);
  return events(client.stdout).filter(({ event }) => event === "reply")
    .toSorted((a, b) => Number(a["seq"]) - Number(b["seq"])).map(({ duration }) =>
      Number(duration)
    );
}

describe("--ping on time", () => {
  it("behind 50 ms of latency measures 50 ms, within 5 %", async () => {
    await using server = serve(readback());
    await using proxy = await Proxy.start(server, { up: "delay=20ms", down: "delay=30ms" });
    await using client = Measuring.start(
      ["-p", proxy.port, "--ping", "-c", 10, "-i", 0, "--log", "json"],
    );
    using wire = await Wire.dial(proxy.port);
    let least = Infinity; // as it is meanwhile: on a busy machine the network is late too
    for (let trip = 0; trip < 10; trip++) {
      const start = performance.now();
      await wire.send("ours\n");
      await wire.until(/\n/);
      least = Math.min(least, performance.now() - start);
    }
    await client.ends(0);
    const min = Number(events(client.stdout).at(-1)?.["min"]);
    const right = min > 47.5 && min < 1.05 * Math.max(50, least);
    assert(right, `the least is ${min} ms, ours ${least}\n${client.stdout}`);
  });

  it("a stall shows in every message that it delayed", async () => {
    await using server = lines(async (line, send) => {
      if (line === "ping 3") await sleep(300);
      await send(reply(line));
    });
    const took = await times(server.port, ["-c", 30, "-i", "20ms"]);
    for (let seq = 3; seq <= 15; seq++) { // due 20 ms after the one before, answered with it
      const [time = 0, due = 300 - 20 * (seq - 3)] = [took[seq - 1]];
      assert(time > due - 30, `seq ${seq}: ${time}, due ${due}\n${took}`);
    }
    assert((took[29] ?? 0) < 100, `${took}`);
  });

  it("replies slower than the interval hold no message up", async () => {
    await using server = lines((line, send) => {
      setTimeout(() => send(reply(line)).catch(() => {}), 200);
      return Promise.resolve();
    });
    const took = await times(server.port, ["-f", "line", "-c", 15, "-i", "20ms"]);
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

  it("--interval 0: 500 round trips within a few times what a loop of requests takes", async () => {
    await using server = serve(readback());
    using peer = await Peer.connect({ port: server.port, framing: "line", timeout: 10_000 });
    const loop = async () => {
      const since = performance.now();
      for (let number = 1; number <= 500; number++) await peer.request(`ping ${number}`);
      return performance.now() - since;
    };
    await loop();
    const plain = await loop();
    const args = ["--ping", "--log", "json", "-qc", 500, "-i", 0];
    await using client = Measuring.start(["-p", server.port, ...args]);
    await client.ends(0);
    const { answered, p50 } = events(client.stdout)[0] ?? {};
    assertEquals(answered, 500);
    // The median: what a machine that is busy with other tests adds hits a few.
    assert(Number(p50) < 5 * plain / 500 + 0.1, `${p50} ms, in a plain loop ${plain / 500} ms`);
  });

  it("complains when the server takes no more, and closes the connection in time", async () => {
    await using server = FakeServer.start(async (conn) => void await conn.read(new Uint8Array(1)), {
      keepOpen: true,
    });
    const big = "x".repeat(250_000); // all of them are more than the system holds
    const args = ["-f", "line", "-c", 80, "-i", "10ms", "-t", "500ms", "--log", "json", "-m", big];
    await using client = Measuring.start(["-p", server.port, "--ping", ...args]);
    await client.ends(1);
    assertMatch(client.stderr, /^client: the server has stopped reading: .*\n/);
    const { sent, lost, connects } = events(client.stdout).at(-1) ?? {};
    assertEquals([sent, lost], [80, 80]);
    assert(Number(connects) > 1, `${connects} connects`);
  });

  it("counts from when messages were due if the server takes none, and can be interrupted", async () => {
    await using server = FakeServer.start(async (conn) => {
      await sleep(700); // 5,000 are due meanwhile
      const buffer = new Uint8Array(65536);
      for (let size; (size = await conn.read(buffer)) !== null;) {
        await conn.write(buffer.subarray(0, size));
      }
    });
    const args = ["--ping", "-q", "-i", "100us", "--log", "json", "-c", 5000];
    await using whole = Measuring.start(["-p", server.port, ...args]);
    await whole.ends(0);
    const { answered, max } = events(whole.stdout)[0] ?? {};
    assertEquals(answered, 5000);
    assert(Number(max) > 600, whole.stdout);
    await using client = Measuring.start(["-p", server.port, ...args]);
    await sleep(300);
    const since = performance.now();
    client.signal("SIGINT");
    await client.ends(1);
    assert(performance.now() - since < 500, `${performance.now() - since} ms`);
  });

  for (const mode of ["--ping", "--connect"]) {
    it(`--wait is no part of a figure: ${mode}`, async () => {
      const port = await freePort();
      const args = ["-p", port, mode, "--wait", "20s", "-c", 2, "-i", 0, "--log", "json"];
      await using client = Measuring.start(args);
      await sleep(600);
      await using _server = echo({ port });
      await client.ends(0);
      for (const { event, duration = 0, elapsed = 0, max = 0 } of events(client.stdout)) {
        const longest = Math.max(...[duration, elapsed, max].map(Number));
        assert(longest < 500, `${event} ${client.stdout}`);
      }
    });
  }
});

describe("a summary", () => {
  it("has elapsed and rate, and p99.9 from 1,000 replies on", async () => {
    await using server = echo();
    const args = ["--ping", "-q", "-i", "500us", "-c", 1000, "--log", "json"];
    await using client = Measuring.start(["-p", server.port, ...args]);
    await client.ends(0);
    const { elapsed, rate, p999, outages } = events(client.stdout)[0] ?? {};
    assertAlmostEquals(Number(rate), 1000 * 1000 / Number(elapsed), 0.1);
    assert(Number(elapsed) > 490, client.stdout);
    assertEquals([typeof p999, outages], ["number", []]);
  });

  it("follows --for, in time", async () => {
    await using server = echo();
    const args = ["-p", server.port, "--ping", "-i", "200ms", "--for", "500ms", "--log", "json"];
    await using client = Measuring.start(args);
    await client.ends(0);
    const { sent, answered, elapsed } = events(client.stdout).at(-1) ?? {};
    assertEquals([sent, answered], [3, 3]);
    assert(Number(elapsed) >= 499 && Number(elapsed) < 900, client.stdout);
  });
});

describe("an outage", () => {
  it("has its silence reported, its pending messages lost, and another connection", async () => {
    await using server = lines(async (line, send) => {
      if (line !== "ping 3") return await send(reply(line));
      await sleep(200);
      return false;
    });
    const printed = await ping(server.port, ["-c", 10, "-i", "100ms"], 1);
    const answer = (seq: number) => `33 bytes from HERE: seq=${seq} time=T ms`;
    assertEquals(printed.lines.slice(0, 2), [answer(1), answer(2)]);
    assert(printed.lines.includes("no reply from HERE: seq=3"), printed.lines.join("\n"));
    assertEquals(printed.lines.at(-1), answer(10).replace("33", "34"));
    assertMatch(printed.summary, /^10 sent, [5-9] answered, [1-5] lost \(\d+ %\), 2 connects$/);
    assertMatch(
      printed.stderr,
      /^client: the server has closed the connection after 0\.[0-2] s of silence\nclient: \d of 10 messages were answered\n$/,
    );
  });

  it("of a balancer that cuts idle connections: how long that took", async () => {
    await using server = serve(readback(), { idleTimeout: 200 });
    const { summary, stderr } = await ping(server.port, ["-c", 2, "-i", "600ms"], 0);
    assertEquals(summary, "2 sent, 2 answered, 0 lost (0 %), 2 connects");
    assertMatch(
      stderr,
      /^client: the server has closed the connection after 0\.[2-4] s of silence\n$/,
    );
  });

  it("is reported with its times, and the last line is no old error", async () => {
    const port = await freePort();
    const first = echo({ port });
    const args = ["-p", port, "--ping", "-i", "30ms", "-c", 40, "--log", "json"];
    await using client = Measuring.start(args);
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
    assertAlmostEquals(Number(duration), 30 * lost.length, 25); // from due to due
    assertEquals(
      client.stderr.trim().split("\n").at(-1),
      `client: ${40 - lost.length} of 40 messages were answered`,
    );
  });

  it("in text, with the crosses over time", async () => {
    await using server = echo({ from: 2 }); // the first connection is dropped at its message
    await using client = Measuring.start(["-p", server.port, "--ping", "-i", "10ms", "-c", 30]);
    await client.ends(1);
    const time = "\\d\\d:\\d\\d:\\d\\d\\.\\d";
    const outage = new RegExp(`^outage ${time} to ${time}: 0\\.[0-9] s, [1-9] lost$`, "gm");
    assertEquals(client.stdout.match(outage)?.length, 2); // when it ended, and in the summary
    assertMatch(client.stdout, /^×[×▁▂▃▄▅▆▇█ ]{29} █ [\d.]+ ms, × lost, 0\.\d s$/m);
  });
});

describe("on a terminal", () => {
  it("the run over time is drawn live with --quiet too, and stays once at the end", async () => {
    await using server = echo();
    const args = ["-p", server.port, "--ping", "-i", "5ms", "--quiet"];
    await using client = Measuring.start(args, { columns: 60 });
    while (!/\r[▁▂▃▄▅▆▇█]{20}[▁▂▃▄▅▆▇█ ]* █ [\d.]+ ms, 0\.\d s/.test(client.drawn)) await sleep(5);
    client.signal("SIGINT");
    await client.ends(0);
    assertEquals(client.stdout.match(/ █ [\d.]+ ms, \d\.\d s$/gm)?.length, 1, client.stdout);
  });

  it("--wait can be interrupted, and there is a summary", async () => {
    const args = ["-p", await freePort(), "--ping", "--wait", "20s"];
    await using client = Measuring.start(args, { columns: 100 });
    while (!/\rconnecting to 127\.0\.0\.1:\d+: \d s/.test(client.drawn)) await sleep(5);
    client.signal("SIGINT");
    await client.ends(1);
    assertMatch(
      client.stdout,
      /^--- .* ---\n0 sent, 0 answered, 0 lost \(0 %\)\nelapsed 0.0 s, 0 replies\/s\n/,
    );
    assertMatch(client.stderr, /^client: cannot connect to /);
  });
});
