/** Which message a line answers: what was sent against what came, in any order that a server may choose. */

import { assertEquals, assertLess } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type Probe, ReplyMatcher, Tally } from "../../lib/ping/reply_matcher.ts";
import { anyLine, inTurn, type MessageKeys, numbered } from "../../lib/wire/message_keys.ts";
import { latin1 } from "../../lib/testing/wire.ts";

/** A matcher of messages that were sent a millisecond apart, from 0 on. */
function sent(
  messages: readonly string[],
  keys: MessageKeys,
): { matcher: ReplyMatcher; probes: Probe[] } {
  const matcher = new ReplyMatcher(keys, new Tally());
  const probes = messages.map((message, at) => {
    const probe = matcher.add(latin1(message), at);
    matcher.sent(probe);
    return probe;
  });
  return { matcher, probes };
}

/** What each of these lines is, received at 100 ms. */
function kinds(matcher: ReplyMatcher, lines: readonly string[]): string[] {
  return lines.map((line) => {
    const match = matcher.match(latin1(line), 100);
    return "seq" in match ? `${match.event} ${match.seq}` : match.event;
  });
}

const three = ["ping 1", "ping 2", "ping 3"];
const line = (number: number) => `[ping ${number}] Mon Dec  9 18:15:50 2019`;
const messages = (...texts: string[]) => inTurn(texts.map(latin1));

describe("a line is", () => {
  for (
    const [what, keys, probes, lines, expected] of [
      ["the reply to the message it holds", numbered, three, [line(1), line(2)], [
        "reply 1",
        "reply 2",
      ]],
      ["that also where others come first", numbered, three, [line(3), line(1)], [
        "reply 3",
        "reply 1",
      ]],
      ["a reply in whatever form", numbered, three, ["ping 1", "received: ping 2!"], [
        "reply 1",
        "reply 2",
      ]],
      ["no reply to a message it holds by chance", numbered, ["ping 1"], ["ping 12", "xping 1"], [
        "wrong 1",
        "unsolicited",
      ]],
      ["no reply to a number that is written differently", numbered, ["ping 1"], ["ping 01"], [
        "wrong 1",
      ]],
      ["no reply to part of another word", messages("a.b", "a"), ["a.b"], ["xa.b", "aXb"], [
        "wrong 1",
        "unsolicited",
      ]],
      ["a reply where bytes are no text", messages("\xff\x80"), ["\xff\x80"], ["[\xff\x80] now"], [
        "reply 1",
      ]],
      ["a reply to a message of 96 kB", messages("é- ".repeat(32_000)), ["é- ".repeat(32_000)], [
        `[${"é- ".repeat(32_000)}] now`,
      ], ["reply 1"]],
      ["a reply to an empty message, whatever it is", messages(""), [""], ["now"], ["reply 1"]],
      ["wrong, for the message that was sent first", numbered, three, ["<html>", line(2)], [
        "wrong 1",
        "reply 2",
      ]],
      ["wrong, for the message whose turn it is", numbered, three, [line(2), "<html>", line(1)], [
        "reply 2",
        "wrong 3",
        "reply 1",
      ]],
      ["unsolicited if the reply comes after it", numbered, ["ping 1"], ["<html>", line(1)], [
        "wrong 1",
        "reply 1",
      ]],
      ["wrong if it refuses, whatever it says", numbered, three, ["error: ping 1"], ["wrong 1"]],
      [
        "duplicate if its message is answered already",
        numbered,
        three,
        [line(1), line(1), line(2)],
        [
          "reply 1",
          "duplicate 1",
          "reply 2",
        ],
      ],
      ["unsolicited where no reply is pending", numbered, [], ["220 hello"], ["unsolicited"]],
      ["taken in order where messages are alike", messages("a"), ["a", "a"], ["a", "a", "b"], [
        "reply 1",
        "reply 2",
        "unsolicited",
      ]],
      ["the reply to the first of several that it holds", messages("a", "b"), ["a", "b"], ["b a"], [
        "reply 1",
      ]],
      ["any reply there is, where any line is one", anyLine, three, ["x", "error: no", "x", "x"], [
        "reply 1",
        "reply 2",
        "reply 3",
        "unsolicited",
      ]],
    ] as const
  ) {
    it(what, () => assertEquals(kinds(sent(probes, keys).matcher, lines), [...expected]));
  }

  it("late if its message is lost already, and then a duplicate", () => {
    const { matcher, probes } = sent(three, numbered);
    for (const probe of probes.slice(0, 2)) matcher.settle(probe, "lost");
    assertEquals(kinds(matcher, [line(1), line(3), line(1)]), ["late 1", "reply 3", "duplicate 1"]);
    const { answered, pending, late } = matcher.tally;
    assertEquals({ answered, pending, late }, { answered: 1, pending: 0, late: 1 });
  });

  it("the reply to the pending one of two messages that it holds, in whatever order", () => {
    for (const both of ["ping 1 ping 2", "ping 2 ping 1"]) {
      const { matcher, probes } = sent(three, numbered);
      for (const probe of probes.slice(0, 1)) matcher.settle(probe, "lost");
      assertEquals(kinds(matcher, [both]), ["reply 2"], both);
    }
  });

  it("nobody's once its connection is lost", () => {
    const { matcher } = sent(three, numbered);
    kinds(matcher, [line(1)]);
    const pending = [...matcher.disconnect()];
    for (const probe of pending) matcher.settle(probe, "cut");
    assertEquals(pending.map(({ seq }) => seq), [2, 3]);
    assertEquals([...matcher.disconnect()], []);
    matcher.sent(matcher.add(latin1("ping 4"), 3));
    assertEquals(kinds(matcher, [line(2), line(4)]), ["wrong 4", "reply 4"]);
  });

  it("no reply to what is not sent yet", () => {
    const { matcher } = sent(["ping 1"], numbered);
    matcher.add(latin1("ping 2"), 1);
    assertEquals(kinds(matcher, [line(2), line(2)]), ["wrong 1", "unsolicited"]);
  });
});

describe("ReplyMatcher", () => {
  it("times replies from when their messages were due", () => {
    const { matcher } = sent(three, numbered);
    assertEquals(matcher.match(latin1(line(3)), 7.5), { event: "reply", seq: 3, duration: 5.5 });
  });

  it("counts what was sent as answered, wrong, pending or given up", () => {
    const { matcher, probes } = sent([...three, "ping 4"], numbered);
    kinds(matcher, [line(1), "no"]);
    matcher.settle(probes[3] as Probe, "lost");
    const { sent: all, answered, wrong, pending } = matcher.tally;
    assertEquals([all, answered, wrong, pending], [4, 1, 1, 1]);
  });

  it("remembers 1,000 answered messages, shared with the matchers of other connections", () => {
    const matcher = new ReplyMatcher(numbered, new Tally(), 500);
    for (const text of [...three, "ping 4"]) matcher.sent(matcher.add(latin1(text), 0));
    assertEquals(kinds(matcher, [line(1), line(2), line(3), line(1)]), [
      ...["reply 1", "reply 2", "reply 3"],
      "wrong 4", // the first is forgotten
    ]);
    assertEquals(kinds(matcher, [line(3)]), ["duplicate 3"]);
  });

  const MANY = 10_000;
  const pings = Array.from({ length: MANY }, (_, at) => `ping ${at + 1}`);
  for (
    const [what, keys, texts, lines] of [
      ["numbered", numbered, pings, pings],
      ["in reverse", numbered, pings, pings.toReversed()],
      ["all but the first", numbered, pings, [...pings.slice(1), ...pings.slice(0, 1)]],
      ["all wrong", numbered, pings, pings.map(() => "no")],
      ["all wrong after the one in the middle", numbered, pings, [
        `ping ${MANY / 2}`,
        ...pings.slice(1).map(() => "no"),
      ]],
      [
        "every second unanswered",
        messages("a", "b"),
        pings.map((_, at) => "ab"[at % 2] ?? ""),
        pings.slice(MANY / 2).map(() => "b"),
      ],
    ] as const
  ) {
    it(`matches 10,000 pending messages in linear time: ${what}`, () => {
      let took = Infinity; // ms: some 100, and more where others use the processor meanwhile
      for (let attempt = 0; took >= 500 && attempt < 5; attempt++) {
        const { matcher } = sent(texts, keys);
        const since = performance.now();
        for (const text of lines) matcher.match(latin1(text), 1);
        took = performance.now() - since;
        const { answered, wrong } = matcher.tally;
        assertEquals(answered + wrong, lines.length);
      }
      assertLess(took, 500);
    });
  }
});
