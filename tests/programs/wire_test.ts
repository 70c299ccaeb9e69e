/** The wire, as the server speaks it: literal bytes in, literal bytes out. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readback, serve } from "../../lib/mod.ts";
import { startServer } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { assertReplies, STAMP, unstamped } from "../support/replies.ts";
import { sleep } from "../../lib/wait.ts";

describe("line framing", () => {
  for (
    const [what, sent, replies] of [
      ["a line", "a\n", "[a] STAMP\n"],
      ["several lines in one segment", "a\nb\nc\n", "[a] STAMP\n[b] STAMP\n[c] STAMP\n"],
      ["CRLF answers CRLF", "a\r\nb\n", "[a] STAMP\r\n[b] STAMP\n"],
      ["a blank line", "\n\r\n", "[] STAMP\n[] STAMP\r\n"],
      ["a last line without an ending", "a\nlast", "[a] STAMP\n[last] STAMP"],
      ["a CR inside is data", "a\rb\r\r\n", "[a\rb\r] STAMP\r\n"],
      ["a last CR is data", "a\nb\r", "[a] STAMP\n[b\r] STAMP"],
      ["the four endings", "a\r\nb\n\nlast", "[a] STAMP\r\n[b] STAMP\n[] STAMP\n[last] STAMP"],
      ["nothing at all", "", ""],
      ["printf directives", "%s %d %%\n", "[%s %d %%] STAMP\n"],
      ["half a UTF-8 character", "\xe4\xbd\n\xff\n", "[\xe4\xbd] STAMP\n[\xff] STAMP\n"],
    ] as const
  ) {
    it(what, async () => {
      await using server = serve(readback());
      await assertReplies(server.port, sent, replies);
    });
  }

  it("any byte but LF comes back unchanged", async () => {
    await using server = serve(readback());
    const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
      .filter((byte) => byte !== "\n").map((byte) => `<${byte}>`);
    await assertReplies(
      server.port,
      bytes.map((byte) => `${byte}\n`).join(""),
      bytes.map((byte) => `[${byte}] STAMP\n`).join(""),
    );
  });

  it("waits for the rest of a line that began with others", async () => {
    await using server = serve(readback());
    using wire = await Wire.dial(server.port);
    await wire.send("a\nb");
    assertEquals(unstamped(await wire.until(/\n/)), "[a] STAMP\n");
    await wire.send("c\n");
    assertEquals(unstamped(await wire.until(/\n/)), "[bc] STAMP\n");
  });

  it("one byte at a time is the same as all at once", async () => {
    await using server = serve(readback(), { framing: "line" });
    using wire = await Wire.dial(server.port);
    for (const byte of "hello\r\nworld\n!") await wire.send(byte);
    await wire.end();
    assertEquals(
      unstamped(await wire.rest()),
      "[hello] STAMP\r\n[world] STAMP\n[!] STAMP",
    );
  });

  it("5,000 messages in one go, then half-close: 5,000 replies in order", async () => {
    await using server = serve(readback());
    const numbers = Array.from({ length: 5000 }, (_, number) => number);
    await assertReplies(
      server.port,
      numbers.map((number) => `${number}\n`).join(""),
      numbers.map((number) => `[${number}] STAMP\n`).join(""),
    );
  });
});

describe("raw framing", () => {
  it("auto takes bytes without LF and a pause for a message, and adds nothing", async () => {
    await using server = serve(readback());
    using wire = await Wire.dial(server.port);
    await wire.send("i am binary");
    assertMatch(await wire.read(), new RegExp(`^\\[i am binary\\] ${STAMP}$`));
    await wire.send("i am handsome");
    assertMatch(await wire.read(), new RegExp(`^\\[i am handsome\\] ${STAMP}$`));
  });

  it("auto stays raw when an LF comes later: it is data", async () => {
    await using server = serve(readback());
    using wire = await Wire.dial(server.port);
    await wire.send("a");
    assertEquals(unstamped(await wire.read()), "[a] STAMP");
    await wire.send("b\nc\n");
    assertEquals(unstamped(await wire.read()), "[b\nc\n] STAMP");
  });

  it("auto takes bytes without LF and end-of-file for a message", async () => {
    await using server = serve(readback());
    await assertReplies(server.port, "hello", "[hello] STAMP");
  });

  it("auto stays with lines when a later one pauses", async () => {
    await using server = serve(readback());
    using wire = await Wire.dial(server.port);
    await wire.send("a\n");
    await wire.until(/\n/);
    await wire.send("b");
    await sleep(150); // longer than the pause: that is the point
    await wire.send("c\n");
    assertEquals(unstamped(await wire.until(/\n/)), "[bc] STAMP\n");
  });

  it("auto's first message may be longer than a read", async () => {
    await using server = serve(readback());
    using wire = await Wire.dial(server.port);
    const long = "x".repeat(5000);
    await wire.send(long);
    assertEquals(unstamped(await wire.until(/\d{4}$/)), `[${long}] STAMP`);
    await wire.send(long);
    assertEquals(unstamped(await wire.until(/\d{4}$/)), `[${long}] STAMP`);
  });

  it("--framing raw answers at once, LF and all", async () => {
    await using server = serve(readback(), { framing: "raw" });
    using wire = await Wire.dial(server.port);
    await wire.send("a\r\n");
    assertEquals(unstamped(await wire.read()), "[a\r\n] STAMP");
  });

  it("--framing line waits for the LF however long", async () => {
    await using server = serve(readback(), { framing: "line" });
    using wire = await Wire.dial(server.port);
    await wire.send("slow");
    await sleep(150); // longer than auto's pause: that is the point
    await wire.send("ly\n");
    assertEquals(unstamped(await wire.until(/\n/)), "[slowly] STAMP\n");
  });
});

describe("--max-message", () => {
  it("refuses a longer one with a line, after the replies to those before", async () => {
    await using server = serve(readback(), { maxMessage: 5 });
    await assertReplies(
      server.port,
      "12345\n12345\r\n123456\nno\n",
      "[12345] STAMP\n[12345] STAMP\r\nerror: message longer than 5 bytes\n",
    );
  });

  it("refuses it before its end is seen, and the line arrives however much is still sent", async () => {
    await using server = serve(readback());
    await assertReplies(
      server.port,
      "x".repeat(2_000_000),
      "error: message longer than 65536 bytes\n",
    );
  });
});

describe("the program", () => {
  it("--stamp iso tells milliseconds and the offset; --max-message closes, even if the client does not", async () => {
    const args = ["--max-message", "5", "--stamp", "iso"];
    await using server = await startServer(args, { env: { TZ: "Asia/Shanghai" } });
    using wire = await Wire.dial(server.port);
    await wire.send("a\n123456789\n");
    assertMatch(
      await wire.until(/\n/),
      /^\[a\] \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+08:00\n$/,
    );
    assertEquals(await wire.rest(), "error: message longer than 5 bytes\n");
    await server.until("message too long");
  });
});
