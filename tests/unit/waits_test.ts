/** Waits: how long they take, what ends them, and what they leave behind. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import * as wait from "../../lib/wait.ts";

/** How long something takes, in ms. Timers count from the start of a turn, so they may seem early. */
async function timed(promise: Promise<unknown>): Promise<number> {
  const since = performance.now();
  await promise;
  return performance.now() - since;
}

const LONG = 60_000;

describe("sleeps", () => {
  it("end all when their signal is aborted, and those that begin later at once", async () => {
    const over = new AbortController();
    const { signal } = over;
    assert(await timed(wait.sleep(10, signal)) >= 5);
    const both = [wait.sleep(LONG, signal), wait.sleep(LONG, signal)];
    over.abort();
    await Promise.all(both);
    assert(await timed(wait.sleep(LONG, signal)) < 1000);
  });
});

describe("a time limit", () => {
  it("is more than one turn of the event loop, which has no time", async () => {
    const order: string[] = [];
    await Promise.all([
      wait.pause(0).then(() => order.push("pause")),
      wait.turn().then(() => order.push("turn")),
    ]);
    assertEquals(order, ["turn", "pause"]);
  });

  it("passes after its time, and not once it was cancelled", async () => {
    const passed: string[] = [];
    const cancel = wait.timeLimit(0, () => passed.push("cancelled"));
    wait.timeLimit(0, () => passed.push("passed"));
    cancel();
    assert(await timed(wait.pause(10)) >= 5);
    assertEquals(passed, ["passed"]);
  });

  it("of 0 lets three turns of timers pass, in which the runtime polls for input", async () => {
    const { setTimeout } = globalThis;
    let timers = 0;
    const counted = (call: () => void, after?: number) => (timers++, setTimeout(call, after));
    Object.assign(globalThis, { setTimeout: counted });
    await wait.pause(0).finally(() => Object.assign(globalThis, { setTimeout }));
    assertEquals(timers, 1 + 3);
  });

  it("tells whether a promise is pending, settled one way or the other", async () => {
    assertEquals(await wait.isPending(new Promise(() => {}), 1), true);
    assertEquals(await wait.isPending(Promise.resolve(1), LONG), false);
    assertEquals(await wait.isPending(Promise.reject(new Error()), LONG), false);
  });
});

describe("a deadline", () => {
  it("passes once, after its time; that of 0 and one that was disposed of never do", async () => {
    const passed: string[] = [];
    const one = new wait.Deadline(10, () => passed.push("10"));
    const none = new wait.Deadline(0, () => passed.push("0"));
    new wait.Deadline(10, () => passed.push("disposed"))[Symbol.dispose]();
    await wait.sleep(40);
    assertEquals(passed, ["10"]);
    for (const deadline of [one, none]) deadline[Symbol.dispose]();
  });

  it("begins anew when it is restarted, and while time does not count", async () => {
    for (const how of ["restart", "does not count"]) {
      let passedAt = 0, since = 0;
      while (passedAt <= since) { // again, where this machine was too late to restart it in time
        const passed = Promise.withResolvers<void>();
        let isCounting = how === "restart";
        passedAt = 0;
        using deadline = new wait.Deadline(50, () => {
          passedAt = performance.now();
          passed.resolve();
        }, () => isCounting);
        await wait.sleep(30);
        since = performance.now();
        if (how === "restart") deadline.restart();
        else await wait.sleep(40).then(() => isCounting = true);
        await passed.promise;
      }
      assert(passedAt - since >= (how === "restart" ? 49 : 39), how);
    }
  });

  it("does not pass while something is read, up to 50 times", async () => {
    let reads = 0;
    const passed = Promise.withResolvers<void>();
    using _deadline = new wait.Deadline(1, passed.resolve, () => true, () => reads++);
    await passed.promise;
    assertEquals(reads, 1 + 2 * 50 + 1); // at its start, and around each look
  });
});

describe("a wait for quiet", () => {
  it("ends when nothing new was counted, or after its time", async () => {
    const counts = [0, 0, 1, 1, 2, 2, 2];
    let looks = 0;
    await wait.untilQuiet(() => counts[looks++] ?? 2, 1, 1000);
    assertEquals(looks, 7);
    assert(await timed(wait.untilQuiet(() => 0, 20, 1000)) >= 10);
    looks = 0;
    await wait.untilQuiet(() => looks++, 1, 3);
    assertEquals(looks, 7); // two for each of 3 ms, and one to see that it goes on
  });
});

describe("a wait in time", () => {
  const never = new Promise<void>(() => {});

  it("gives what was waited for, or rejects after its time, or gives up", async () => {
    assertEquals(await wait.inTime(Promise.resolve(1), LONG, "late", never), 1);
    assertEquals(await wait.inTime(2, LONG, "late", never), 2);
    await assertRejects(() => wait.inTime(never, 1, "late", never), Error, "late");
    assertEquals(await wait.inTime(never, LONG, "late", Promise.resolve()), undefined);
  });
});

describe("a signal", () => {
  it("calls back once, at once if it is aborted already, and not if nobody listens", () => {
    const calls: string[] = [];
    const one = new AbortController(), other = new AbortController();
    wait.onAbort(one.signal, () => calls.push("one"));
    wait.onAbort(other.signal, () => calls.push("other"))();
    wait.onAbort(undefined, () => calls.push("none"))();
    one.abort();
    other.abort();
    wait.onAbort(one.signal, () => calls.push("already"))();
    one.signal.dispatchEvent(new Event("abort"));
    assertEquals(calls, ["one", "already"]);
  });

  it("ends a wait with its reason", async () => {
    const stop = new AbortController();
    assertEquals(await wait.unlessAborted(Promise.resolve(1), stop.signal), 1);
    assertEquals(await wait.unlessAborted(Promise.resolve(1)), 1);
    const waiting = wait.unlessAborted(new Promise(() => {}), stop.signal);
    stop.abort(new Error("stop"));
    await assertRejects(() => waiting, Error, "stop");
    await assertRejects(
      () => wait.unlessAborted(new Promise(() => {}), stop.signal),
      Error,
      "stop",
    );
  });

  it("holds on to no wait that is over", async () => {
    const stop = new AbortController();
    const { addEventListener, removeEventListener } = stop.signal;
    let listeners = 0;
    Object.assign(stop.signal, {
      addEventListener(...args: Parameters<typeof addEventListener>) {
        listeners++;
        addEventListener.apply(this as unknown as AbortSignal, args);
      },
      removeEventListener(...args: Parameters<typeof removeEventListener>) {
        listeners--;
        removeEventListener.apply(this as unknown as AbortSignal, args);
      },
    });
    await wait.unlessAborted(Promise.resolve(1), stop.signal);
    assertEquals(listeners, 0);
  });
});
