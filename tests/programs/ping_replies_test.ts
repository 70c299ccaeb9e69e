/** The measuring client in the test's own process: whose reply a line is, and what is printed of it. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readback, serve, serveDatagrams } from "../../lib/mod.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { sleep } from "../../lib/wait.ts";
import { events, Measuring, ping, range } from "../support/measuring.ts";
import { echo, freePort, lines, reply } from "../support/servers.ts";
import { measured, reported, summary, timed } from "../support/reported.ts";
import { Udp } from "../support/udp.ts";

/** The lines of replies with 33 bytes, to the messages of these numbers. */
const answers = (...numbers: number[]) =>
  numbers.map((seq) => `33 bytes from HERE: seq=${seq} time=T ms`);

describe("--ping and whose reply it is", () => {
  it("sends the messages of --message in turn, and reports them in JSON", async () => {
    await using server = serve(readback());
    const args = ["--ping", "-c", 3, "-i", 0, "-m", "a", "-m", "b c", "--log", "json"];
    await using client = Measuring.start(["-p", server.port, ...args]);
    await client.ends(0);
    const replies = [timed(1, "a"), timed(2, "b c"), timed(3, "a")];
    assertEquals(reported(client.stdout), [...replies, { ...summary(3), ...measured }]);
  });

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
      lines: answers(1, 2, 3),
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
      const args = ["-c", 3, "-i", "50ms", ...any];
      const { lines: printed, summary } = await ping(server.port, args, 0);
      const replies = printed.filter((line) => / bytes from /.test(line));
      assertEquals(replies, answers(1, 2, 3));
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
    const lost = "no reply from HERE: seq=2"; // before or after the third, on a busy machine
    assert(printed.indexOf(lost) > 0 && printed.indexOf(lost) < 3, printed.join("\n"));
    const late = "late reply from HERE: seq=2 time=T ms";
    const others = printed.filter((line) => line !== lost);
    assertEquals(others, [...answers(1, 3), late, ...answers(4)]);
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

describe("--ping that was never answered", () => {
  it("fails at Ctrl-C and after --timeout", async () => {
    await using server = FakeServer.start(
      async (conn) => void await conn.read(new Uint8Array(10)),
      { keepOpen: true },
    );
    await using patient = Measuring.start(["-p", server.port, "--ping", "-t", 0]);
    while (server.received === "") await sleep(1);
    patient.signal("SIGINT");
    await patient.ends(1);
    assertEquals(patient.stdout.split("\n")[1], "1 sent, 0 answered, 1 lost (100 %)");
    assertEquals(patient.stderr, "client: 0 of 1 messages were answered\n");
    await using hasty = Measuring.start(["-p", server.port, "--ping", "-c", 1, "-t", "100ms"]);
    await hasty.ends(1);
    assertEquals(hasty.stdout.split("\n")[2], "1 sent, 0 answered, 1 lost (100 %)");
    assertEquals(hasty.stderr, "client: no reply within 0.1s\n");
  });

  it("fails with one sentence, if not even that can be written", async () => {
    await using server = await Udp.open();
    const broken = new Error("cannot write the replies: no space");
    const args = ["-p", server.port, "--udp", "--ping", "-c", 2, "-i", 0, "-t", "50ms"];
    await using client = Measuring.start(args, { broken });
    await client.ends(1);
    assertEquals(client.stderr, "client: cannot write the replies: no space\n");
  });

  it("ends at once where the first connection can't be made", async () => {
    await using client = Measuring.start(["-p", 1, "--ping"]);
    await client.ends(1);
    assertMatch(
      client.stderr,
      /^client: cannot connect to 127\.0\.0\.1:1: connection refused: .*\n$/,
    );
  });

  it("has a summary if no connection was made", async () => {
    const port = await freePort();
    for (const mode of ["--ping", "--connect"]) {
      const args = ["-p", port, mode, "-c", 2, "-i", "1ms", "--log", "json"];
      await using client = Measuring.start(args);
      await client.ends(1);
      const { event, answered, connects, reason, rate } = events(client.stdout).at(-1) ?? {};
      assertEquals([event, answered, connects, rate], ["summary", 0, 0, 0]);
      assertMatch(String(reason), /^cannot connect to 127\.0\.0\.1:\d+: /);
    }
  });

  it("has no address to measure: an IPv4 address with -6", async () => {
    await using client = Measuring.start(["127.0.0.1", "1", "-6", "--ping", "-c", 1]);
    await client.ends(1);
    assertMatch(client.stderr, /^client: cannot connect to .*: it has no IPv6 address: [^\n]*\n$/);
  });
});

describe("--ping --connect", () => {
  it("measures connections, and sends nothing", async () => {
    const messages: number[] = [];
    const all = Promise.withResolvers<void>();
    await using server = serve(readback(), {
      onClose: (client) => void (messages.push(client.messages) === 3 && all.resolve()),
    });
    assertEquals(await ping(server.port, ["--connect", "-c", 3, "-i", 0], 0), {
      lines: range(3).map((seq) => `connected to HERE: seq=${seq} time=T ms`),
      summary: "3 tried, 3 connected, 0 lost (0 %)",
      stderr: "",
    });
    await all.promise;
    assertEquals(messages, [0, 0, 0]);
  });

  it("reports each that was not made, and why; exit 1", async () => {
    const sentence =
      "cannot connect to HERE: connection refused: start a server, or check --host and --port";
    const printed = await ping(1, ["--connect", "-c", 2, "-i", "1ms"], 1);
    assertEquals(printed.lines, range(2).map((seq) => `no connection: seq=${seq} ${sentence}`));
    assertEquals(printed.summary, "2 tried, 0 connected, 2 lost (100 %)");
    assertEquals(printed.stderr, `client: ${sentence.replace("HERE", "127.0.0.1:1")}\n`);
  });
});

describe("--ping --quiet", () => {
  it("is the summary alone, in JSON too", async () => {
    await using server = serve(readback());
    const args = ["-c", 3, "-i", 0, "-q"];
    const { lines: printed, summary } = await ping(server.port, [...args, "-m", "a"], 0);
    assertEquals([printed, summary], [[], "3 sent, 3 answered, 0 lost (0 %)"]);
    await using client = Measuring.start(["-p", server.port, "--ping", ...args, "--log", "json"]);
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

describe("--ping --connections", () => {
  it("goes on where some connections are lost, and says so once", async () => {
    await using server = echo({ from: 21 }); // 20 connections are dropped at their first message
    const args = ["--ping", "--connections", 40, "-i", "100ms", "-c", 200, "--log", "json"];
    await using client = Measuring.start(["-p", server.port, ...args]);
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
      await using client = Measuring.start(["-p", port, ...mode, ...args]);
      await client.ends(0);
      const { answered, connects } = events(client.stdout)[0] ?? {};
      assertEquals([answered, connects], [100, mode.length === 1 ? 100 : 0]);
    }
  });
});
