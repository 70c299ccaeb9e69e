/** Lines in the background: in order, whatever the reader does; what is too much is dropped and counted. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Log } from "../../lib/log.ts";
import { text } from "../../lib/testing/wire.ts";
import { turn } from "../../lib/wait.ts";

/** While something happens, timers of 1 s fire at once; returns how many there were. */
async function withoutSeconds(
  happens: () => Promise<void>,
  passed: () => void = () => {},
): Promise<number> {
  const { setTimeout } = globalThis;
  let count = 0;
  Object.assign(globalThis, {
    setTimeout: (call: () => void, after?: number) => {
      if (after === 1000) count++;
      if (after !== 1000) return setTimeout(call, after);
      return setTimeout(() => {
        passed();
        call();
      }, 20);
    },
  });
  try {
    await happens();
  } finally {
    Object.assign(globalThis, { setTimeout });
  }
  return count;
}

describe("a log", () => {
  it("writes lines in order, those that gather during a write at once, all of each", async () => {
    const writes: string[] = [];
    const write = async (bytes: Uint8Array) => {
      await turn();
      writes.push(text(bytes.subarray(0, 4)));
      return Math.min(bytes.length, 4);
    };
    const log = new Log({ write }, () => "");
    for (const line of ["one", "two", "three"]) log.line(line);
    await log.flush();
    assertEquals(writes, ["one\n", "two\n", "thre", "e\n"]);
    log.line("four");
    await log.flush();
    await log.flush();
    assertEquals(writes.slice(4), ["four", "\n"]);
  });

  it("holds 32 batches of 64 KiB beside the one that is written, and counts what is dropped", async () => {
    const lines: string[] = [];
    const reader = Promise.withResolvers<void>();
    const write = async (bytes: Uint8Array) => {
      await reader.promise;
      lines.push(...text(bytes).trimEnd().split("\n").map((line) => line.replace(/x+$/, "")));
      return bytes.length;
    };
    const log = new Log({ write }, (dropped) => `${dropped} dropped`);
    for (let number = 1; number <= 40; number++) log.line(`${number}${"x".repeat(65536)}`);
    reader.resolve();
    await log.flush();
    log.line("more");
    await log.flush();
    const kept = Array.from({ length: 33 }, (_, at) => `${at + 1}`);
    assertEquals(lines, [...kept, "7 dropped", "more"]);
  });

  it("makes a batch of lines up to 64 KiB", async () => {
    const sizes: number[] = [];
    const write = async (bytes: Uint8Array) => {
      await turn();
      return sizes.push(bytes.length) && bytes.length;
    };
    const log = new Log({ write }, () => "");
    log.line("first");
    for (const length of [65534, 1, 2]) log.line("x".repeat(length));
    await log.flush();
    assertEquals(sizes, [6, 65535 + 2 + 3]);
    log.line("first");
    for (const length of [65534, 2, 2]) log.line("x".repeat(length));
    await log.flush();
    assertEquals(sizes.slice(2), [6, 65535 + 3, 3]);
  });

  it("tries again after a second what could not be written, and reports that once", async () => {
    const events: string[] = [];
    const outcomes = ["full", "full", "", "full", "", ""];
    const write = async (bytes: Uint8Array) => {
      await turn();
      const failure = outcomes.shift();
      events.push(failure || text(bytes));
      return failure ? Promise.reject(failure) : 1;
    };
    const log = new Log({ write }, () => "", (error) => events.push(`reported: ${error}`));
    await withoutSeconds(async () => {
      log.line("ab");
      while (outcomes.length > 0) await turn();
    }, () => events.push("a second later"));
    const again = "a second later";
    assertEquals(events, [
      ...["full", "reported: full", again, "full", again, "ab\n"],
      ...["full", "reported: full", again, "b\n", "\n"],
    ]);
  });

  it("is not waited for longer than a second by the end of a program", async () => {
    const read = Promise.withResolvers<number>();
    const log = new Log({ write: () => read.promise }, () => "");
    const seconds = await withoutSeconds(async () => {
      log.line("a");
      await log.flush();
    });
    assertEquals(seconds, 1);
    read.resolve(2);
    await log.flush();
  });
});
