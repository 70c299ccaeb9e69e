/** A conversation's output to a client that takes nothing: how much of it there may be, and what waits. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Outbox, type OutboxConn } from "../../lib/server/outbox.ts";
import type { LateReply } from "../../lib/server/reply.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { isPending, turn } from "../../lib/wait.ts";

const LF = latin1("\n");

/** An outbox whose connection takes bytes when it is told to. */
function open(separate = false, isPacing?: boolean) {
  const written: string[] = [];
  const log: string[] = [];
  let taken = Promise.withResolvers<void>();
  const conn = {
    ...isPacing === undefined ? {} : { isPacing },
    async write(bytes: Uint8Array) {
      written.push(text(bytes));
      await taken.promise;
      return bytes.length;
    },
  };
  const config = { framing: "line" as const, handlerTimeout: 0, separate };
  const outbox = new Outbox(conn as unknown as OutboxConn, config, {
    failed: (error) => log.push(`failed: ${error}`),
    cut: (ending) => log.push(`cut: ${ending}`),
  });
  /** Lets the writes succeed, or fail. */
  const take = async (failure?: Error) => {
    const { resolve, reject } = taken;
    taken = Promise.withResolvers();
    if (failure) reject(failure);
    else resolve();
    await turn();
  };
  return { outbox, written, log, take };
}

describe("output that is not sent", () => {
  it("is of at most 1,024 replies: then nothing more is read", () => {
    const { outbox } = open();
    assertEquals([outbox.outstanding, outbox.isIdle], [0, true]);
    for (let count = 1; count < 1024; count++) outbox.queue(latin1("a"));
    assertEquals([outbox.outstanding, outbox.isIdle], [1023, false]);
    outbox.queue(latin1("a"));
    assertEquals(outbox.outstanding, Infinity);
  });

  it("is of at most 1 MiB of replies", () => {
    const { outbox } = open();
    outbox.queue(new Uint8Array((1 << 20) - 1));
    assertEquals(outbox.outstanding, 1);
    outbox.queue(latin1("a"));
    assertEquals(outbox.outstanding, Infinity);
  });

  it("is of 64 KiB of pushes, the last of which may be longer", async () => {
    const { outbox, take } = open();
    assertEquals(outbox.push(new Uint8Array(65_535)), true);
    assertEquals(outbox.push(new Uint8Array(100_000)), true);
    assertEquals([outbox.push("a"), outbox.push("")], [false, false]);
    const drained = outbox.drained();
    assertEquals(await isPending(drained, 0), true);
    await take();
    await take();
    await drained;
    assertEquals([outbox.push("a"), outbox.outstanding], [true, 0]);
    outbox.giveUp();
    await outbox.drained();
  });

  it("is written in order, all that gathers during a write at once", async () => {
    const { outbox, written, take } = open();
    outbox.push("a");
    await turn();
    outbox.queue(latin1("b\n"));
    outbox.push("c");
    const empty = outbox.empty();
    await take();
    assertEquals([written, outbox.outstanding], [["a", "b\nc"], 1]);
    assertEquals(await isPending(empty, 0), true);
    await take();
    await empty;
    assertEquals([outbox.outstanding, outbox.isIdle], [0, true]);
  });

  it("is written one by one, and counts as sent, where replies are separate", async () => {
    const { outbox, written, take } = open(true);
    outbox.queue(latin1("a"));
    outbox.queue(latin1("b"));
    assertEquals(outbox.outstanding, 0);
    await turn();
    await take();
    await take();
    assertEquals(written, ["a", "b"]);
    assertEquals(outbox.plain(), undefined);
  });

  it("follows the replies that are finished, and not those that are late", async () => {
    const { outbox, written, take } = open();
    const plain = outbox.plain();
    plain?.write("one");
    plain?.end(LF);
    const done = Promise.withResolvers<void>();
    const late = outbox.next(LF);
    late.write("two");
    outbox.add(late, LF, done.promise);
    assertEquals([outbox.outstanding, outbox.plain(), outbox.isClientWaiting], [
      2,
      undefined,
      true,
    ]);
    const third = outbox.next(LF) as LateReply;
    third.write("three");
    outbox.add(third, LF);
    assertEquals(outbox.outstanding, 3);
    outbox.push("(push)");
    await turn();
    assertEquals([written, outbox.isClientWaiting], [["one\n(push)"], false]);
    await take();
    assertEquals([outbox.outstanding, outbox.isClientWaiting], [2, true]);
    done.resolve();
    await turn();
    await take();
    assertEquals([written.slice(1), outbox.outstanding], [["two\nthree\n"], 0]);
  });

  it("makes no client idle while its connection delays it on purpose", () => {
    assertEquals(open(false, true).outbox.isClientWaiting, true);
    assertEquals(open(false, false).outbox.isClientWaiting, false);
    assertEquals(open().outbox.isClientWaiting, false);
  });

  it("is given up with the connection, and when a write fails", async () => {
    const { outbox, log, take, written } = open();
    outbox.push("a");
    await turn();
    await take(new Error("gone"));
    assertEquals(log, ["cut: reset"]);
    const other = open();
    const done = Promise.withResolvers<void>();
    const late = other.outbox.next(LF);
    other.outbox.add(late, LF, done.promise);
    other.outbox.giveUp();
    assertEquals(other.outbox.outstanding, 0);
    await other.outbox.empty();
    other.outbox.push("a");
    await turn();
    assertEquals([written, other.written], [["a"], []]);
    done.resolve();
    await turn();
    assertEquals(other.log, []);
  });

  it("of a handler that fails is nothing, and what was late after it neither", async () => {
    const { outbox, log, written } = open();
    const done = Promise.withResolvers<void>();
    const late = outbox.next(LF);
    late.write("half");
    outbox.add(late, LF, done.promise);
    const next = outbox.next(LF) as LateReply;
    next.write("next");
    outbox.add(next, LF);
    done.reject("no");
    await turn();
    assertEquals([log, written, outbox.outstanding], [["failed: no"], [], 0]);
  });

  it("that is not finished is discarded", () => {
    const { outbox } = open();
    const plain = outbox.plain();
    plain?.write("one");
    plain?.end(LF);
    plain?.write("ha");
    outbox.undo();
    assertEquals(text(outbox.take(1)), "one\n");
    outbox.release();
    assertEquals(outbox.take(1).length, 0);
    outbox.release();
    const crowd = outbox.plain();
    crowd?.write("in a crowd");
    crowd?.end(LF);
    assertEquals(text(outbox.take(1025)), "in a crowd\n");
  });
});
