/** What docs/faults.md says of the faults of replies, held against random faults and messages. */

import { assert, assertEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import fc from "fast-check";
import { listen, serve } from "../../lib/mod.ts";
import { isPending, sleep } from "../../lib/wait.ts";
import { property } from "../support/property.ts";

/** A fault as the page has it, and the messages that it is for. */
interface Fault {
  readonly name: string;
  readonly value?: string | undefined;
  /** Bytes, where the value says so. */
  readonly count: number;
  readonly from: number;
  readonly to: number;
}

interface Scenario {
  readonly faults: readonly Fault[];
  /** Each reply's length. */
  readonly replies: readonly number[];
  readonly handling: "at once" | "late";
}

const named = (name: string, count: number, value?: string) => ({ name, count, value });
const bytes = fc.nat(30);
const fault: fc.Arbitrary<Fault> = fc.tuple(
  fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(named("drop", 0), named("twice", 0)) },
    { weight: 2, arbitrary: bytes.map((count) => named("corrupt", count + 1, `${count + 1}`)) },
    { weight: 2, arbitrary: bytes.map((count) => named("noise", count, `${count}`)) },
    { weight: 2, arbitrary: bytes.map((count) => named("error", 0, `no ${count}`)) },
    { weight: 2, arbitrary: fc.nat(20).map((ms) => named("delay", ms, `${ms}ms`)) },
    { weight: 2, arbitrary: bytes.map((count) => named("slice", 0, `${count + 5}/0ms`)) },
    { weight: 1, arbitrary: fc.constant(named("rate", 0, "100k")) },
    {
      weight: 2,
      arbitrary: fc.tuple(fc.constantFrom("cut", "reset", "stall"), bytes)
        .map(([name, count]) => named(name, count, `${count}`)),
    },
  ),
  fc.integer({ min: 1, max: 8 }),
  fc.nat(2),
).map(([fault, from, more]) => ({ ...fault, from, to: from + more }));

const scenario: fc.Arbitrary<Scenario> = fc.record({
  faults: fc.array(fault, { minLength: 1, maxLength: 6 }),
  replies: fc.array(bytes, { minLength: 1, maxLength: 8 }),
  handling: fc.constantFrom("at once", "late"),
});

const written = ({ name, value, from, to }: Fault) =>
  `${name}${value === undefined ? "" : `=${value}`}@${from}${to > from ? `..${to}` : ""}`;

const replyOf = (at: number, length: number) => `${at}=${"r".repeat(length)}`;

/** A piece of what is due: these bytes, in so many of which there are others; or any bytes. */
interface Piece {
  readonly text: string;
  readonly others: number;
  readonly isNoise: boolean;
}

/** What the page says that a client receives, and how that ends. */
function due({ faults, replies }: Scenario): { pieces: Piece[]; end: string; delay: number } {
  const pieces: Piece[] = [];
  let delay = 0;
  for (const [at, length] of replies.entries()) {
    const number = at + 1;
    const meets = faults.filter(({ from, to }) => from <= number && number <= to);
    const first = meets.filter((one, at) =>
      meets.findIndex(({ name }) => name === one.name) === at
    );
    const reply = changed({ text: replyOf(at, length), others: 0, isNoise: false }, first);
    const { count: ms = 0 } = first.find(({ name }) => name === "delay") ?? {};
    if (reply.length > 0) delay = Math.max(delay, ms);
    // Of those that end a reply, the first one does.
    const end = first.find(({ name }) => ["cut", "reset", "stall"].includes(name));
    if (end !== undefined) {
      return { pieces: [...pieces, ...head(reply, end.count)], end: end.name, delay };
    }
    pieces.push(...reply);
  }
  return { pieces, end: "eof", delay };
}

function changed(reply: Piece, faults: readonly Fault[]): Piece[] {
  let times = 1;
  for (const { name, count, value } of faults) {
    if (name === "drop") return [];
    if (name === "twice") times = 2;
    if (name === "error") reply = { text: `error: ${value}`, others: 0, isNoise: false };
    if (name === "noise") reply = { text: "?".repeat(count), others: 0, isNoise: true };
    if (name === "corrupt") reply = { ...reply, others: Math.min(count, reply.text.length) };
  }
  return Array.from({ length: times }, () => ({ ...reply, text: `${reply.text}\n` }));
}

/** The first bytes of pieces. */
function head(pieces: readonly Piece[], count: number): Piece[] {
  return pieces.flatMap((piece) => {
    const text = piece.text.slice(0, count);
    count -= text.length;
    // Where the others are is random.
    const isCut = text.length < piece.text.length;
    return text === ""
      ? []
      : [{ ...piece, text, isNoise: piece.isNoise || isCut && piece.others > 0 }];
  });
}

/** Milliseconds without a byte that are a stall; the delays are shorter. */
const PAUSE = 150;

/** Sends all messages, and reads to the end, or until nothing comes after what is due. */
async function receive(port: number, count: number, least: number): Promise<[string, string]> {
  using conn = await Deno.connect({ port });
  const messages = Array.from({ length: count }, (_, at) => `${at}\n`).join("");
  await conn.write(new TextEncoder().encode(messages));
  await conn.closeWrite();
  const buffer = new Uint8Array(1000), decoder = new TextDecoder("latin1");
  let text = "";
  try {
    for (;;) {
      const reading = conn.read(buffer);
      if (text.length >= least && await isPending(reading, PAUSE)) {
        conn.close();
        await reading.catch(() => {});
        return [text, "stall"];
      }
      const count = await reading;
      if (count === null) return [text, "eof"];
      text += decoder.decode(buffer.subarray(0, count));
    }
  } catch {
    return [text, "reset"];
  }
}

async function check(scenario: Scenario): Promise<void> {
  const { faults, replies, handling } = scenario;
  const listeners = await listen({ resets: true });
  await using _server = serve(async (message, reply) => {
    const at = Number(message.text);
    if (handling === "late") await sleep(at % 2);
    reply.write(replyOf(at, replies[at] ?? 0));
  }, {
    listeners,
    framing: "line",
    concurrency: handling === "late" ? Infinity : 1,
    faults: faults.map(written).join(","),
    onFault: () => {},
  });
  const { pieces, end, delay } = due(scenario);
  const whole = pieces.map(({ text }) => text).join("");
  const { port } = listeners[0]?.addr as Deno.NetAddr;
  const start = performance.now();
  const [text, how] = await receive(port, replies.length, whole.length);
  const took = performance.now() - start;
  assertEquals(text.length, whole.length, `${JSON.stringify(text)}, not ${JSON.stringify(whole)}`);
  let at = 0;
  for (const piece of pieces) {
    const is = text.slice(at, at += piece.text.length);
    if (piece.isNoise) assertEquals(is.endsWith("\n"), piece.text.endsWith("\n"));
    else assertOthers(is, piece.text, piece.others);
  }
  assertEquals(how, end === "cut" ? "eof" : end);
  assert(took >= delay, `it took ${took} ms, not ${delay} at least`);
}

/** So many bytes of a text are others, and the ending is not. */
function assertOthers(is: string, should: string, others: number): void {
  const different = [...is].filter((byte, at) => byte !== should[at]).length;
  assertEquals(different, others, `${JSON.stringify(is)} and ${JSON.stringify(should)}`);
  assertEquals(is.split("\n").length, should.split("\n").length);
}

describe("faults", () => {
  const scenarios = fc.array(scenario, { minLength: 1, maxLength: 8 }); // at the same time
  property("do to replies what their page says", scenarios, 28, async (all) => {
    await Promise.all(all.map(check));
  });
});
