/** The calls of a peer: which one something settles, in what time, and what becomes of them in the end. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Calls } from "../../lib/client/calls.ts";
import { Closed, TimeoutError } from "../../lib/net/errors.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { ErrorReply, MessageView } from "../../lib/wire/message.ts";

/** Calls, and what they report. */
function open(signal?: AbortSignal) {
  const log: string[] = [];
  const calls = new Calls<unknown>(signal, ({ message }) => log.push(message));
  calls.onChange = (isAnswer) => log.push(isAnswer ? "answered" : "added");
  return { calls, log };
}

const reply = (data: string) => new MessageView(latin1(data));

describe("a call", () => {
  it("of request is settled by a reply, and rejected by an error reply; a receive takes both", async () => {
    const { calls, log } = open();
    const request = calls.add(latin1("a"));
    assertEquals([request.isSent, request.isSettled], [false, false]);
    assertEquals(calls.settle(request, reply("b")), true);
    assertEquals(calls.settle(request, reply("c")), false);
    assertEquals([(await request.promise).text, request.isSettled], ["b", true]);
    const refused = calls.add(latin1("a"), true);
    assertEquals([refused.isSent, calls.settle(refused, reply("error: no"))], [true, false]);
    await assertRejects(() => refused.promise, ErrorReply, "the server refused: no");
    const receive = calls.add();
    assertEquals([receive.isSent, calls.settle(receive, reply("error: no"))], [true, false]);
    assertEquals((await receive.promise).text, "error: no");
    assertEquals(calls.settle(undefined, reply("a")), false);
    assertEquals(log, ["added", "answered", "added", "answered", "added", "answered"]);
  });

  it("that waits is found by its message, the oldest first", async () => {
    const { calls } = open();
    const waiting = [calls.add(), calls.add(latin1("unsent"))];
    const [one, other] = [calls.add(latin1("a"), true), calls.add(latin1("b"), true)];
    const is = (wanted: string) => (message: Uint8Array) => text(message) === wanted;
    assertEquals([calls.findSent(), calls.findSent(is("b"))], [one, other]);
    assertEquals(calls.findSent(is("unsent")), undefined);
    const same = (message: Uint8Array, data: Uint8Array) => text(message) === text(data);
    assertEquals(calls.answeredBy(latin1("b"), same), other);
    assertEquals(calls.answeredBy(latin1("x"), same), undefined);
    assertEquals(calls.answeredBy(latin1("error: x"), same), one);
    calls.settle(one, reply("x"));
    await one.promise;
    assertEquals(calls.answeredBy(latin1("error: x"), same), other);
    const throws = () => {
      throw new Error("no");
    };
    assertEquals(calls.answeredBy(latin1("x"), throws), undefined);
    const why = "matches() threw an error: no";
    for (const call of [other, ...waiting]) {
      const { cause } = await assertRejects(() => call.promise, Error, why);
      assertEquals((cause as Error).message, "no");
    }
  });

  it("has a time limit, unless that is 0", async () => {
    const { calls } = open();
    const since = performance.now();
    const late = () => calls.inTime(calls.add(latin1("a"), true), 10, "no reply");
    await assertRejects(late, TimeoutError, "no reply within 0.01s");
    assert(performance.now() - since >= 5);
    assertEquals(calls.first, undefined);
    const call = calls.add(latin1("a"), true);
    setTimeout(() => calls.settle(call, reply("b")), 20);
    assertEquals((await calls.inTime(call, 0, "no reply")).text, "b");
  });

  it("is rejected with all others, and once they have failed at once", async () => {
    const { calls, log } = open();
    const [one, other] = [calls.add(), calls.add(latin1("a"))];
    calls.rejectAll(new Error("refused"));
    for (const call of [one, other]) await assertRejects(() => call.promise, Error, "refused");
    assertEquals(calls.failure, undefined);
    const pending = calls.add();
    calls.fail(new Error("why"));
    calls.fail(new Error("why not"));
    await assertRejects(() => pending.promise, Error, "why");
    const late = calls.add();
    await assertRejects(() => late.promise, Error, "why");
    assertEquals(log.filter((one) => !/added|answered/.test(one)), ["why"]);
    assertEquals(log.filter((one) => one === "added").length, 3);
  });

  it("is rejected when the signal is aborted, before or after", async () => {
    const stop = new AbortController();
    const { calls, log } = open(stop.signal);
    const call = calls.add();
    stop.abort();
    const why = "the connection is closed: its signal was aborted";
    await assertRejects(() => call.promise, Closed, why);
    assertEquals(log, ["added", why, "answered"]);
    const other = open(stop.signal);
    assertEquals([other.log, other.calls.failure?.message], [[why], why]);
    await assertRejects(() => other.calls.add().promise, Closed, why);
    const third = new AbortController();
    const failed = open(third.signal);
    failed.calls.fail(new Error("first"));
    third.abort();
    assertEquals(failed.log, ["first"]);
  });
});
