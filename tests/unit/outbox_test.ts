/** The one queue of a conversation's output, and what a wrapper of handlers and connections builds on. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Outbox, type OutboxConn } from "../../lib/server/outbox.ts";
import { type LateReply, ReplyBuffer } from "../../lib/server/reply.ts";
import { serve } from "../../lib/server/serve.ts";
import { latin1, text, Wire } from "../../lib/testing/wire.ts";
import { sleep, turn } from "../../lib/wait.ts";

const LF = latin1("\n");

/** An outbox whose connection takes at most `most` bytes per write, and lists the writes. */
function makeOutbox(
  options: { handlerTimeout?: number; separate?: boolean } = {},
  most = Infinity,
) {
  const written: string[] = [];
  const failures: unknown[] = [];
  const conn: Pick<OutboxConn, "write"> = {
    write(bytes, message) {
      const taken = bytes.subarray(0, most);
      written.push(`${message ?? "-"}: ${JSON.stringify(text(taken))}`);
      return Promise.resolve(taken.length);
    },
  };
  const config = { framing: "line" as const, handlerTimeout: 0, separate: true, ...options };
  const outbox = new Outbox(conn as OutboxConn, config, {
    failed: (error) => failures.push(error),
    cut: () => failures.push("cut"),
  });
  return { outbox, written, failures };
}

/** The place of the reply to a message, tagged with its number. */
function next(outbox: Outbox, message: number): LateReply {
  const late = outbox.next(LF) as LateReply;
  late.tag = message;
  return late;
}

/** Adds the reply to a message. */
function answer(outbox: Outbox, message: number, reply: string, done?: Promise<void>): LateReply {
  const late = next(outbox, message);
  late.write(reply);
  outbox.add(late, LF, done);
  return late;
}

describe("separate replies", () => {
  it("are written one by one, each with the number of its message; pushes have none", async () => {
    const { outbox, written } = makeOutbox({}, 3);
    answer(outbox, 1, "one");
    outbox.push("push");
    answer(outbox, 2, "two");
    await outbox.empty();
    assertEquals(written, ['1: "one"', '1: "\\n"', '-: "pus"', '-: "h"', '2: "two"', '2: "\\n"']);
  });

  it("are written even if they are empty", async () => {
    const { outbox, written } = makeOutbox();
    outbox.add(next(outbox, 1), LF);
    await outbox.empty();
    assertEquals(written, ['1: ""']);
  });

  it("may be several to one message", async () => {
    const { outbox, written } = makeOutbox();
    const late = next(outbox, 1);
    for (const part of ["one", "more"]) {
      late.write(part);
      late.finish();
    }
    outbox.add(late, LF);
    await outbox.empty();
    assertEquals(written, ['1: "one\\nmore\\n"']);
  });

  it("wait for their time in order, and do not count as late meanwhile", async () => {
    const { outbox, written } = makeOutbox({ handlerTimeout: 5 });
    const times = [1, 2, 3].map(() => Promise.withResolvers<void>());
    for (const [at, { promise }] of times.entries()) {
      const late = next(outbox, at + 1);
      late.write(`reply ${at + 1}`);
      late.until = promise;
      outbox.add(late, LF);
    }
    assertEquals([outbox.outstanding, outbox.isClientWaiting], [0, true]);
    times[2]?.resolve();
    times[1]?.resolve();
    await sleep(20); // longer than the time limit of handlers
    assertEquals(written, []);
    times[0]?.resolve();
    await outbox.empty();
    assertEquals(written, ['1: "reply 1\\n"', '2: "reply 2\\n"', '3: "reply 3\\n"']);
  });

  it("of which 1,024, or 1 MiB, are unsent let no message be read", () => {
    for (const [count, size, isFull] of [[1023, 1, false], [1024, 1, true], [2, 1 << 19, true]]) {
      const { outbox } = makeOutbox();
      for (let message = 1; message <= Number(count); message++) {
        const late = next(outbox, message);
        late.write("x".repeat(Number(size)));
        late.until = new Promise(() => {});
        outbox.add(late, LF);
      }
      assertEquals(outbox.outstanding === Infinity, isFull);
      outbox.giveUp();
    }
  });
});

describe("late replies", () => {
  it("count as late until they are sent", async () => {
    const { outbox, written } = makeOutbox({ separate: false });
    const done = Promise.withResolvers<void>();
    const reply = outbox.next(LF);
    outbox.writing = new Promise(() => {}); // a push, say
    outbox.add(reply, LF, done.promise);
    reply.write("late");
    done.resolve();
    await turn();
    assertEquals([outbox.outstanding, outbox.isIdle, written], [1, false, []]);
  });

  it("of a handler that takes too long fail; what it writes then throws", async () => {
    const { outbox, written, failures } = makeOutbox({ handlerTimeout: 5 });
    const late = answer(outbox, 1, "one", new Promise(() => {}));
    answer(outbox, 2, "two");
    await outbox.empty();
    assertEquals(String(failures), "Error: the handler took longer than 0.005s");
    assertEquals(written, []);
    assertEquals(late.buffer.bytes.length, 0);
    ReplyBuffer.take().write("reuses the buffer");
  });
});

describe("output", () => {
  it("is in the order of the calls: a push follows the replies before it", async () => {
    await using server = serve((message, reply, client) => {
      if (message.text === "b") client.write("news\n");
      reply.write(message);
    }, { framing: "line" });
    using wire = await Wire.dial(server.port);
    await wire.send("a\nb\nc\n");
    assertEquals(await wire.until(/c\n/), "a\nnews\nb\nc\n");
  });

  it("is in order though a reply becomes ready while earlier output is being written", async () => {
    const news = "x".repeat(8_000_000);
    await using server = serve((message, reply, client) => {
      if (message.text === "b") return sleep(0).then(() => reply.write("b"));
      if (message.text === "a") client.write(`${news}\n`);
      return reply.write(message);
    }, { framing: "line" });
    using wire = await Wire.dial(server.port);
    await wire.send("a\nb\nc\nd\n");
    await wire.end();
    await sleep(50); // the client reads late
    assertEquals((await wire.rest()).replace(`${news}\n`, ""), "a\nb\nc\nd\n");
  });
});
