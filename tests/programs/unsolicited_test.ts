/** What a server says that nobody asked for: greetings, pushes, lines too many; in each way of asking. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { requires } from "../../lib/testing/requires.ts";
import { program, startClient } from "../../lib/testing/readback.ts";
import { Screen } from "../../lib/testing/screen.ts";
import { text } from "../../lib/testing/wire.ts";
import { Framer, messagesOf } from "../../lib/wire/framing.ts";
import { sleep } from "../../lib/wait.ts";
import { run } from "../support/run.ts";

const encoder = new TextEncoder();

/** A server that greets, echoes lines, and says news once it is told to. */
function talkative(greeting = "220 welcome\r\n"): { server: FakeServer; news(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = FakeServer.start(async (conn) => {
    const say = async (words: string) => void await conn.write(encoder.encode(words));
    await say(greeting);
    promise.then(() => say("news\x1b\n")).catch(() => {});
    const framer = new Framer("line", 1000);
    for await (const message of messagesOf(conn, framer)) await say(`[${text(message)}] now\n`);
  });
  return { server, news: resolve };
}

describe("words that nobody asked for", () => {
  it("in a conversation are shown when they come, a --greeting first, and are no reply", async () => {
    const { server, news } = talkative();
    await using _server = server;
    await using client = startClient(["-p", server.port, "--greeting"]);
    await client.until("Server says: 220 welcome\n>>:");
    await client.type("one\n");
    await client.until("[one] now\n>>:");
    news();
    await client.until("\nServer says: news\x1b\n>>:");
    await client.type("two\n\n");
    await client.ends(0);
    assertEquals(
      client.stdout,
      "Server says: 220 welcome\n" +
        ">>:one\nClient received data: [one] now\n>>:\nServer says: news\x1b\n" +
        ">>:two\nClient received data: [two] now\n>>:\n",
    );
  });

  it("are an event in JSON", async () => {
    const { server, news } = talkative("");
    await using _server = server;
    await using client = startClient(["-p", server.port, "--log", "json"]);
    await client.type("one\n");
    await client.until('"event":"reply"');
    news();
    const [, told = ""] = await client.until(/(\{[^{}]*"unsolicited"[^{}]*\})\n/);
    const { event, server: address, bytes, data } = JSON.parse(told);
    const here = `127.0.0.1:${server.port}`;
    assertEquals([event, address, bytes, data], ["unsolicited", here, 5, "news\\x1b"]);
    await client.endInput();
    await client.ends(0);
  });

  it("leave on a terminal what was typed as it was", requires("tmux"), async () => {
    const { server, news } = talkative("");
    await using _server = server;
    const command = [...program("client"), "-p", String(server.port)];
    await using screen = await Screen.open(command, { columns: 40 });
    await screen.shows(">>:");
    await screen.type("one");
    await screen.press("Enter");
    await screen.shows(/\[one\] now\n>>:$/);
    await screen.type("half a line, which is wider than the window is");
    await screen.press("C-a", "X");
    await screen.shows(/>>:Xhalf a line[^]* window is$/);
    news();
    const shown = await screen.shows(/news[^]*window is$/);
    const typed = ">>:Xhalf a line, which is wider than the\n window is";
    assertEquals(
      shown.split("\n").slice(1).join("\n"),
      [
        ...["Client received data: [one] now", "Server says: news\\x1b", typed],
      ].join("\n"),
    );
    await screen.press("Y", "Enter"); // where the cursor was
    await screen.shows(/\[XYhalf[^]*window is\]\s+now\n>>:$/);
  });
});

describe("--greeting", () => {
  it("waits for the server's first line and tells it, before anything is said", async () => {
    for (
      const [args, input, stdout] of [
        [["-m", "one"], "", "[one] now\n"],
        [["--quiet"], "one\ntwo\n", "[one] now\n[two] now\n"],
      ] as const
    ) {
      const { server } = talkative();
      await using _server = server;
      const client = startClient(["-p", server.port, "--greeting", ...args]);
      const ended = await run(client, { code: 0, input });
      assertEquals(ended, { code: 0, stdout, stderr: "Server says: 220 welcome\n" });
    }
  });

  it("with --ping too, on each connection", async () => {
    let conversations = 0;
    await using server = FakeServer.start(async (conn) => {
      conversations++;
      await sleep(100);
      await conn.write(encoder.encode("220 welcome\r\n"));
      const buffer = new Uint8Array(100);
      const count = await conn.read(buffer) ?? 0;
      await conn.write(buffer.subarray(0, count)); // and that is the end
    });
    const args = ["--ping", "--greeting", "-c", 2, "-i", "400ms"];
    await using client = startClient(["-p", server.port, ...args]);
    await client.ends(0);
    const lines = client.stdout.replaceAll(/ from .*|---/g, "").split("\n").slice(0, 6);
    assertEquals(lines.filter((line) => /Server|bytes|sent/.test(line)), [
      ...["Server says: 220 welcome", "6 bytes", "Server says: 220 welcome", "6 bytes"],
      "2 sent, 2 answered, 0 lost (0 %), 2 connects",
    ]);
    assertEquals(conversations, 2);
  });

  it("of a server that says nothing: exit 1", async () => {
    await using server = FakeServer.start(async (conn) => void await conn.read(new Uint8Array(9)));
    await using client = startClient(["-p", server.port, "--greeting", "-t", "200ms", "-m", "a"]);
    await client.ends(1);
    assertEquals(
      client.stderr,
      "client: no greeting within 0.2s: 0 of 1 messages were answered\n",
    );
    assertEquals(server.received, "");
  });
});
