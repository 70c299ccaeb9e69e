/** Clients that come all at once: accepted first, then begun, in their order; a trickle starves nobody. */

import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { beginAll } from "../../lib/server/accept.ts";
import { turn } from "../../lib/wait.ts";

/** A rush of numbered clients; who has begun, and how many are over. */
function rushOf() {
  const begun: number[] = [];
  const over = Promise.withResolvers<void>();
  const waiting: number[] = [];
  const come = (who: number) => {
    if (waiting.push(who) > 1) return;
    void beginAll(waiting, (one) => void begun.push(one)).then(over.resolve);
  };
  return { begun, over: over.promise, come };
}

describe("a rush", () => {
  it("begins nobody while more come, then all in their order", async () => {
    const { begun, over, come } = rushOf();
    for (let who = 0; who < 200; who++) {
      come(who);
      if (who % 20 === 19 && who < 199) {
        await turn();
        assertEquals(begun, []);
      }
    }
    await over;
    assertEquals(begun, Array.from({ length: 200 }, (_, who) => who));
  });

  it("begins a client who comes alone a turn later", async () => {
    const { begun, come } = rushOf();
    come(1);
    await turn();
    await turn();
    assertEquals(begun, [1]);
  });

  it("begins clients in the end though others never stop coming", async () => {
    const { begun, over, come } = rushOf();
    const since = performance.now();
    for (let who = 0; begun.length === 0 && performance.now() - since < 5000; who++) {
      come(who);
      await turn();
    }
    assert(begun.length > 0);
    assertLess(performance.now() - since, 2000);
    await over;
  });
});
