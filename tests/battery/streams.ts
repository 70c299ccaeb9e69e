/** Streams cut and joined in every way. Each throws when it fails, else tells figures. */

import { assert, assertEquals } from "@std/assert";
import type { Random } from "../support/random.ts";
import { text, Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";
import { runPeers } from "./peers.ts";
import { cpu, growth } from "./proc.ts";
import { assertConverses, type Subject, warmUp } from "./subject.ts";
import { sleep } from "../../lib/wait.ts";

/** So many streams are under way together. */
const AT_A_TIME = 20;

/** Many messages in one go, then half-close. */
export async function inOneGo(server: Subject, messages: number): Promise<string> {
  using wire = await Wire.dial(server.port);
  const numbers = Array.from({ length: messages }, (_, number) => number);
  const [heard] = await Promise.all([
    wire.rest(),
    wire.send(numbers.map((number) => `${number}\n`).join("")).then(() => wire.end()),
  ]);
  const replies = unstamped(heard).split("\n");
  const wrong = replies.findIndex((reply, at) => reply !== `[${at}] STAMP`);
  assertEquals(wrong, messages, `reply ${wrong} is ${replies[wrong]?.slice(0, 80)}`);
  assertEquals(replies.at(-1), "");
  return `${messages} messages in one go, ${messages} replies in order`;
}

/** After either side's half-close the other direction goes on. */
export async function halfClose(server: Subject): Promise<void> {
  {
    using wire = await Wire.dial(server.port);
    await wire.send("a\n".repeat(20_000));
    await wire.end();
    assertEquals(unstamped(await wire.rest()), "[a] STAMP\n".repeat(20_000));
  }
  using refused = await Wire.dial(server.port);
  await assertConverses(refused);
  await refused.send(`${"x".repeat(1_000_000)}\n`);
  assertEquals(await refused.rest(), "error: message longer than 65536 bytes\n");
  for (let time = 0; time < 20; time++) await refused.send("it only takes, and does not reset\n");
}

/** Random streams in random pieces, against a model: the same replies as in one write. */
export async function randomCuts(
  server: Subject,
  streams: number,
  random: Random,
): Promise<string> {
  let cuts = 0;
  for (let done = 0; done < streams; done += AT_A_TIME) {
    const outcomes = await Promise.allSettled(Array.from({ length: AT_A_TIME }, async () => {
      const sent = random.bytes(random.below(120));
      const pieces = random.cut(sent, random.of([1, 3, 30]));
      cuts += pieces.length;
      using wire = await Wire.dial(server.port);
      const [heard] = await Promise.all([wire.rest(), sendInPieces(wire, pieces)]);
      const stream = pieces.map((piece) => JSON.stringify(text(piece))).join(" ");
      assertEquals(unstamped(heard), replies(text(sent)), `seed ${random.seed}: ${stream}`);
    }));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason; // when none is under way any more
  }
  return `${streams} streams in ${cuts} pieces`;
}

async function sendInPieces(wire: Wire, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) {
    await wire.send(piece);
    await sleep(0); // else the system may join it to the next
  }
  await wire.end();
}

/** The model: what a server of lines answers to a whole stream, `STAMP` for each stamp. */
export function replies(sent: string): string {
  const reply = (line: string, ending: string) => `[${line}] STAMP${ending}`;
  const lines = sent.split("\n");
  const last = lines.pop() ?? "";
  const whole = lines.map((line) =>
    line.endsWith("\r") ? reply(line.slice(0, -1), "\r\n") : reply(line, "\n")
  );
  return whole.join("") + (last === "" ? "" : reply(last, ""));
}

/** A message of 64 KiB in segments of one byte; memory may grow by so many MB. */
export async function inDrops(server: Subject, size: number, mostGrown: number): Promise<string> {
  await warmUp(server);
  const before = await cpu(server.pid);
  const { grown } = await growth(server.pid, async () => {
    const { right } = await runPeers("drops", server.port, size);
    assert(right, "the reply was wrong");
  });
  const used = await cpu(server.pid) - before;
  assert(grown < mostGrown, `memory grew by ${grown.toFixed(1)} MB, over ${mostGrown}`);
  assert(used < 2, `it took ${used.toFixed(1)} s of CPU, over 2`);
  return `${size} segments: memory +${grown.toFixed(1)} MB, ${used.toFixed(2)} s of CPU`;
}

/**
 * Urgent data in the middle of a message. No reply is lost or garbled, but the runtime
 * holds the message back until more comes: it takes a read that was cut short at the urgent byte
 * for one that has taken all, and waits for news. The day that it doesn't, this fails: then
 * the row is to be held as it is written, and the README's word about it goes.
 */
export async function urgentData(server: Subject): Promise<void> {
  for (let trial = 0; trial < 5; trial++) {
    const seen = await runPeers("urgent", server.port, server.pid);
    assert(seen["right"], "a reply is wrong");
    if (seen["stalled"]) return; // not where the runtime looked at the socket in between
  }
  throw new Error("the message was answered at once, five times: Deno no longer stalls it");
}
