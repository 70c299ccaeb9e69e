/** Whose turn it is, as conversations ask for it; what it is worth, the floods and crowds of the battery show. */

import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { FairReads } from "../../lib/server/fair_reads.ts";
import { turn } from "../../lib/wait.ts";

const SMALL = 30, LARGE = 65536; // bytes of a reply

/** This many conversations begin. */
function enter(turns: FairReads, count: number): void {
  turns.conversations += count;
}

/** So many conversations were served in one round. */
function serveAll(turns: FairReads, count: number, bytes = SMALL): (Promise<void> | undefined)[] {
  enter(turns, count);
  return Array.from({ length: count }, () => turns.waitForTurn(bytes));
}

describe("turns", () => {
  it("nobody waits where few are", () => {
    using turns = new FairReads();
    assertEquals(serveAll(turns, 100).filter(Boolean), []);
  });

  it("of a crowd that leaves nobody out, few need not wait, and the next few go a round later, the oldest first", async () => {
    using turns = new FairReads();
    enter(turns, 1000);
    const gone: number[] = [];
    for (let who = 0; who < 90; who++) void turns.waitForTurn(SMALL)?.then(() => gone.push(who));
    await turn(); // and the round is over
    assertEquals(gone, Array.from({ length: 32 }, (_, index) => 32 + index));
  });

  it("of a crowd with a large reply, 8 go a round later, and 32 again after the next round", async () => {
    using turns = new FairReads();
    enter(turns, 1000);
    let gone = 0;
    const serve = (count: number, bytes = SMALL) => {
      for (let who = 0; who < count; who++) void turns.waitForTurn(bytes)?.then(() => gone++);
    };
    serve(40);
    serve(1, LARGE);
    serve(49);
    await turn(); // and the round is over
    assertEquals(gone, 8);
    serve(40);
    await turn(); // and the round is over
    assertEquals(gone, 8 + 32);
  });

  it("counts the turns of a crowd with 16 reads or more", async () => {
    using turns = new FairReads();
    enter(turns, 100);
    const serve = async (count: number) => {
      for (let who = 0; who < count; who++) void turns.waitForTurn(SMALL);
      await turn();
      await turn();
      return turns.crowdedTurns;
    };
    assertEquals(await serve(20), 0);
    enter(turns, 1);
    assertEquals([await serve(15), await serve(16), await serve(15)], [0, 1, 1]);
  });

  it("nobody who was served goes while others may have been left out", async () => {
    using turns = new FairReads();
    enter(turns, 1000);
    let gone = 0;
    for (let who = 0; who < 128; who++) void turns.waitForTurn(SMALL)?.then(() => gone++);
    await turn(); // and the round is over
    assertEquals(gone, 0);
  });

  it("a crowd that falls silent is let go as one", async () => {
    using turns = new FairReads();
    const began = performance.now();
    await Promise.all(serveAll(turns, 10_000));
    assertLess(performance.now() - began, 200); // in pieces it would take 600
  });

  it("who gets much rests now and then, alone too", async () => {
    using turns = new FairReads();
    enter(turns, 1);
    const rest = turns.waitForTurn(LARGE);
    assert(rest !== undefined);
    await rest;
    assertEquals(turns.waitForTurn(LARGE), undefined);
  });

  it("a rest lasts until a timer: before that the runtime has not looked for others' input", async () => {
    using turns = new FairReads();
    enter(turns, 1);
    let isOver = false;
    void turns.waitForTurn(LARGE)?.then(() => isOver = true);
    for (let microtask = 0; microtask < 100; microtask++) await undefined;
    assertEquals(isOver, false);
  });
});
