/** What a reply says: the formats of `readback`, and `--reply`. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { endlessFormat, isReply, readback } from "../../lib/server/readback.ts";
import type { Client } from "../../lib/server/handler.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Peer } from "../../lib/client/peer.ts";
import { serveDatagrams } from "../../lib/server/datagrams.ts";
import { serve } from "../../lib/server/serve.ts";
import { startServer } from "../../lib/testing/readback.ts";
import { latin1, text, Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";
import { MessageView } from "../../lib/wire/message.ts";
import { Udp } from "../support/udp.ts";

/** 2019-12-09 18:15:50, local time. */
const HEARD = new Date(2019, 11, 9, 18, 15, 50).getTime();

const client: Client = {
  addr: { transport: "tcp", hostname: "10.0.0.1", port: 50412 },
  localAddr: { transport: "tcp", hostname: "::1", port: 6969 },
  messages: 3,
  ...{ idle: 0, isHealthCheck: false, state: undefined, write: () => true, end: () => {} },
  signal: new AbortController().signal,
  drained: () => Promise.resolve(true),
};

/** What a handler replies; a character a byte. */
function reply(answer: ReturnType<typeof readback>, message: string, receivedAt = HEARD): string {
  let reply = "";
  answer(Object.assign(new MessageView(latin1(message)), { receivedAt }), {
    write: (part) => {
      if (typeof part === "string") reply += part;
      else reply += text(part instanceof Uint8Array ? part : part.bytes);
    },
  }, client);
  return reply;
}

describe("readback", () => {
  it("reads the message's bytes back unchanged, with the time it is handed", () => {
    const answer = readback();
    assertEquals(reply(answer, "i am binary"), "[i am binary] Mon Dec  9 18:15:50 2019");
    assertEquals(reply(answer, "\0\xff\r", HEARD + 999), "[\0\xff\r] Mon Dec  9 18:15:50 2019");
    assertEquals(reply(answer, "", HEARD + 1000), "[] Mon Dec  9 18:15:51 2019");
    assertEquals(reply(answer, "back", HEARD - 3600_000), "[back] Mon Dec  9 17:15:50 2019");
  });

  for (
    const [format, is] of [
      ["{message}", "a\xff"],
      ["ok", "ok"],
      ["{seq}: {bytes} of {client} to {server}", "3: 2 of 10.0.0.1:50412 to [::1]:6969"],
      ["{time}", "Mon Dec  9 18:15:50 2019"],
      ["{time}{message}{time}", "Mon Dec  9 18:15:50 2019a\xffMon Dec  9 18:15:50 2019"],
      ["{message}{message}{seq}{time}.", "a\xffa\xff3Mon Dec  9 18:15:50 2019."],
      ["{{}} {{message}} {{{message}}}", "{} {message} {a\xff}"],
      ["{{{{{bytes}", "{{2"],
      ["<{message}>", "<a\xff>"],
      ["我 {seq}", "\xe6\x88\x91 3"],
    ] as const
  ) {
    it(format, () => assertEquals(reply(readback({ format }), "a\xff"), is));
  }

  it("renews the time wherever it stands", () => {
    const answer = readback({ stamp: "iso", format: "{seq} {time} {message}" });
    assertMatch(reply(answer, "a"), /^3 2019-12-09T18:15:50\.000[+-]\d\d:\d\d a$/);
    assertMatch(reply(answer, "a", HEARD + 1), /^3 2019-12-09T18:15:50\.001[+-]\d\d:\d\d a$/);
  });

  it("names a client as it is told to", () => {
    assertEquals(reply(readback({ format: "{client}", nameOf: () => "unix#1" }), ""), "unix#1");
  });
});

describe("format", () => {
  const ALL = "choose among {message}, {time}, {client}, {server}, {seq}, {bytes}";
  for (
    const [wrong, sentence] of [
      ["{mesage}", `there is no "{mesage}": ${ALL}`],
      ["{}", `there is no "{}": ${ALL}`],
      ["a { b", "the { stands alone: write {{ for a brace"],
      ["a}", "the } stands alone: write }} for a brace"],
      ["{mess age}", "the { stands alone: write {{ for a brace"],
      ["{{{message}}", "the } stands alone: write }} for a brace"],
      ["a\nb", "must be one line"],
      ["a\r", "must be one line"],
    ] as const
  ) {
    it(JSON.stringify(wrong), () => {
      assertThrows(() => readback({ format: wrong }), RangeError, sentence);
    });
  }
});

describe("endlessFormat", () => {
  for (const good of ["[{message}] {time}", "[{seq}] {message}] {time}", "[] {time}"]) {
    it(`${good} is always known for a reply`, () => {
      assertEquals(endlessFormat(good), undefined);
      for (const message of ["", "a", "] b [\n"]) {
        assertEquals(
          isReply(
            new MessageView(latin1(reply(readback({ stamp: "iso", format: good }), message))),
          ),
          true,
        );
      }
    });
  }
  for (
    const bad of ["{message}", "ok", "[{message}]", "[{message}] {{time}}", " [{message}] {time}"]
  ) {
    it(`${bad} is not`, () => assertMatch(endlessFormat(bad) ?? "", /: two servers would/));
  }
});

describe("a server with a format", () => {
  it("{message} is an echo, in raw framing byte for byte", async () => {
    await using server = serve(readback({ format: "{message}" }), { framing: "raw" });
    using wire = await Wire.dial(server.port);
    const all = text(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    for (const bytes of [all, "\n", "a\r\n", "x"]) {
      await wire.send(bytes);
      let echo = "";
      while (echo.length < bytes.length) echo += await wire.read();
      assertEquals(echo, bytes);
    }
  });

  it("over UDP {seq} counts all datagrams", async () => {
    const handler = readback({ format: "[{seq} {message}] {time}" });
    await using server = await serveDatagrams(handler, { port: 0 });
    await using udp = await Udp.open();
    for (const seq of [1, 2]) {
      assertEquals(unstamped(await udp.ask("x\n", server.addr.port)), `[${seq} x] STAMP\n`);
    }
  });
});

describe("--reply", () => {
  it("says who, where, which and how long; what ends a reply is added as ever", async () => {
    const format = "{seq} {bytes} {client} {server} {message}";
    await using server = await startServer(["--reply", format]);
    using wire = await Wire.dial(server.port);
    const { port } = wire.conn.localAddr as Deno.NetAddr;
    const ends = `127.0.0.1:${port} 127.0.0.1:${server.port}`;
    await wire.send("hello\nyou\r\n");
    await wire.end();
    assertEquals(await wire.rest(), `1 5 ${ends} hello\n2 3 ${ends} you\r\n`);
  });

  it(
    "a client of a Unix socket is called as in the transcript",
    requires("unix sockets"),
    async () => {
      const path = await Deno.makeTempFile({ prefix: "readback-format-" });
      await Deno.remove(path);
      const ask = async () => {
        using peer = await Peer.connect({ path, framing: "line" });
        return (await peer.request("hello")).text;
      };
      {
        await using server = await startServer(["--unix", path, "--reply", "{client} {server}"]);
        for (const name of ["unix#1", "unix#2"]) {
          assertEquals(await ask(), `${name} ${path}`);
          await server.until(`from ${name}\n`);
        }
      }
      await Deno.remove(path).catch(() => {});
      await using quiet = await startServer(["--quiet", "--unix", path, "--reply", "{client}"]);
      assertEquals([await ask(), quiet.stderr], ["unix#1", ""]);
    },
  );
});
