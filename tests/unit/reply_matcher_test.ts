/** Whose reply a line is: what was said against what came, in any order that a server may think of. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ReplyMatcher } from "../../lib/ping/reply_matcher.ts";
import { latin1 } from "../../lib/testing/wire.ts";

/** A ledger in which these were sent, a millisecond apart from 0 on. */
function sent(messages: readonly string[], any = false): ReplyMatcher {
  const ledger = new ReplyMatcher(any);
  for (const [at, message] of messages.entries()) ledger.add(latin1(message), at).isSent = true;
  return ledger;
}

/** What each of these lines is, heard at 100 ms. */
function found(ledger: ReplyMatcher, lines: readonly string[]): string[] {
  return lines.map((line) => {
    const finding = ledger.heard(latin1(line), 100);
    return "seq" in finding ? `${finding.kind} ${finding.seq}` : finding.kind;
  });
}

const three = ["ping 1", "ping 2", "ping 3"];
const line = (number: number) => `[ping ${number}] Mon Dec  9 18:15:50 2019`;

describe("a line is", () => {
  for (
    const [what, said, lines, kinds] of [
      ["the reply to the message it holds", three, [line(1), line(2)], ["reply 1", "reply 2"]],
      ["that also where others come first", three, [line(3), line(1)], ["reply 3", "reply 1"]],
      ["a reply however the server puts it", three, ["ping 1", "heard: ping 2!"], [
        "reply 1",
        "reply 2",
      ]],
      ["no reply to a message it holds by chance", ["ping 1"], ["ping 12", "xping 1"], [
        "wrong 1",
        "unasked",
      ]],
      ["a reply where bytes are no text", ["\xff\x80"], ["[\xff\x80] now"], ["reply 1"]],
      ["wrong, for the message that was sent first", three, ["<html>", line(2)], [
        "wrong 1",
        "reply 2",
      ]],
      ["wrong, for the message whose turn it is", three, [line(2), "<html>", line(1)], [
        "reply 2",
        "wrong 3",
        "reply 1",
      ]],
      ["one too many if the reply comes after it", ["ping 1"], ["<html>", line(1), line(1)], [
        "wrong 1",
        "reply 1",
        "unasked",
      ]],
      ["wrong if it refuses, whatever it says", three, ["error: ping 1"], ["wrong 1"]],
      ["doubled if its message is answered already", three, [line(1), line(1), line(2)], [
        "reply 1",
        "doubled 1",
        "reply 2",
      ]],
      ["unasked where nothing is under way", [], ["220 hello"], ["unasked"]],
      ["taken in order where messages are alike", ["a", "a"], ["a", "a", "b"], [
        "reply 1",
        "reply 2",
        "unasked",
      ]],
    ] as const
  ) {
    it(what, () => assertEquals(found(sent(said), lines), kinds as readonly string[]));
  }

  it("late if its message is lost already", () => {
    const ledger = sent(three);
    assertEquals(ledger.expire(1).map(({ seq }) => seq), [1, 2]);
    assertEquals(found(ledger, [line(1), line(3), line(1)]), ["late 1", "reply 3", "unasked"]);
    const { answered, lost, late } = ledger;
    assertEquals({ answered, lost, late }, { answered: 1, lost: 2, late: 1 });
  });

  it("nobody's once its connection is lost", () => {
    const ledger = sent(three);
    found(ledger, [line(1)]);
    assertEquals(ledger.disconnect().map(({ seq }) => seq), [2, 3]);
    ledger.add(latin1("ping 4"), 3).isSent = true;
    assertEquals(found(ledger, [line(2), line(4)]), ["wrong 4", "reply 4"]);
  });

  it("no reply to what is not sent yet", () => {
    const ledger = sent(["ping 1"]);
    ledger.add(latin1("ping 2"), 1);
    assertEquals(found(ledger, [line(2), line(2)]), ["wrong 1", "unasked"]);
  });

  it("any reply there is, where any will do", () => {
    const ledger = sent(three, true);
    assertEquals(found(ledger, ["x", "error: no", line(1), "x"]), [
      "reply 1",
      "reply 2",
      "reply 3",
      "unasked",
    ]);
  });
});

describe("a ledger", () => {
  it("times replies from when their messages were due", () => {
    assertEquals(sent(three).heard(latin1(line(3)), 7.5), { kind: "reply", seq: 3, duration: 5.5 });
  });

  it("counts so that what was sent is answered, wrong or lost", () => {
    const ledger = sent([...three, "ping 4"]);
    found(ledger, [line(1), "no"]);
    const { answered, wrong, lost, underWay, oldest } = ledger;
    assertEquals([answered, wrong, lost, underWay, oldest?.seq], [1, 1, 2, 2, 3]);
  });

  it("finds a reply among a hundred thousand that are under way, in no time to speak of", () => {
    const ledger = sent(Array.from({ length: 100_000 }, (_, at) => `ping ${at + 1}`));
    const since = performance.now();
    for (let at = 1; at <= 100_000; at++) ledger.heard(latin1(line(at)), 1);
    assertEquals(ledger.answered, 100_000);
    assertEquals(performance.now() - since < 5000, true, `${performance.now() - since} ms`);
  });
});
