/**
 * What Peer promises, whatever is called and whatever the server sends: every call settles, nobody
 * gets another call's reply, and nothing that was received is lost, except what an error names.
 */

import { assert, assertEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import fc from "fast-check";
import { Closed, ErrorReply, type Message, Peer, TimeoutError } from "../../lib/mod.ts";
import { sleep } from "../../lib/wait.ts";
import { property } from "../support/property.ts";

/** What the server does about one message. */
interface Answer {
  readonly delay: number;
  readonly how: "reply" | "refuse" | "stall";
  /** Lines that nobody asked for, before the reply. */
  readonly extras: number;
}

/** What the client does next. */
type Step =
  | { readonly call: "request" }
  | { readonly call: "send" }
  | { readonly call: "receive"; readonly timeout: number }
  | { readonly call: "wait"; readonly ms: number };

interface Scenario {
  readonly matched: boolean;
  readonly ending: "\n" | "\r\n";
  readonly greetings: number;
  readonly answers: readonly Answer[];
  readonly steps: readonly Step[];
  /** The server's writes have at most so many bytes. */
  readonly piece: number;
  /** After the last of its answers the server closes, in the middle of a line, or by a reset. */
  readonly leaves: "closes" | "breaks off" | "resets";
}

const scenario: fc.Arbitrary<Scenario> = fc.record({
  matched: fc.boolean(),
  ending: fc.constantFrom("\n", "\r\n"),
  greetings: fc.nat(2),
  answers: fc.array(
    fc.record({
      delay: fc.nat(5),
      how: fc.oneof(
        { weight: 20, arbitrary: fc.constant("reply" as const) },
        { weight: 3, arbitrary: fc.constant("refuse" as const) },
        { weight: 1, arbitrary: fc.constant("stall" as const) },
      ),
      extras: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(3)),
    }),
    { maxLength: 12 },
  ),
  steps: fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.constant({ call: "request" } as const) },
      { weight: 1, arbitrary: fc.constant({ call: "send" } as const) },
      {
        weight: 2,
        arbitrary: fc.record({
          call: fc.constant("receive" as const),
          timeout: fc.integer({ min: 1, max: 20 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ call: fc.constant("wait" as const), ms: fc.nat(8) }) },
    ),
    { maxLength: 14 },
  ),
  piece: fc.integer({ min: 1, max: 60 }),
  leaves: fc.constantFrom("closes", "closes", "breaks off", "resets"),
});

/** Milliseconds that the peer waits for a reply; the server's delays are shorter. */
const TIMEOUT = 150;
const encoder = new TextEncoder();

/** A server that follows its answers; what it has written whole is in `lines`. */
class Server {
  readonly lines: string[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly done: Promise<void>;
  #writing = Promise.resolve();

  constructor(readonly scenario: Scenario) {
    this.done = this.#serve();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(): Promise<void> {
    const conn = await this.#listener.accept();
    this.#listener.close();
    const { greetings, answers, matched, leaves } = this.scenario;
    for (let at = 0; at < greetings; at++) this.#line(conn, `greeting ${at}`);
    const pending: Promise<void>[] = [];
    let count = 0;
    try {
      for await (const message of lines(conn)) {
        const answer = answers[count];
        if (answer === undefined) break;
        // With `matches`, replies may come in any order.
        const answering = this.#answer(conn, message, count++, answer);
        if (matched) pending.push(answering);
        else await answering;
        if (count === answers.length && leaves === "resets") break;
      }
    } catch {
      // The client has closed the connection.
    }
    await Promise.all(pending);
    if (leaves === "breaks off") this.#write(conn, "half a li");
    await this.#writing;
    if (leaves !== "resets") {
      // To close with unread input would be a reset.
      await conn.closeWrite().catch(() => {});
      for await (const _ of lines(conn));
    }
    conn.close();
  }

  async #answer(conn: Deno.Conn, message: string, at: number, answer: Answer): Promise<void> {
    await sleep(answer.delay);
    for (let extra = 0; extra < answer.extras; extra++) this.#line(conn, `extra ${at}.${extra}`);
    if (answer.how === "stall") return;
    // With `matches`, nothing tells which message is refused.
    const refuses = answer.how === "refuse" && !this.scenario.matched;
    this.#line(conn, `${refuses ? "error:" : "re"} ${message}`);
  }

  #line(conn: Deno.Conn, line: string): void {
    this.#write(conn, line + this.scenario.ending, line);
  }

  #write(conn: Deno.Conn, text: string, line?: string): void {
    this.#writing = this.#writing.then(async () => {
      const bytes = encoder.encode(text);
      try {
        for (let at = 0; at < bytes.length;) {
          at += await conn.write(bytes.subarray(at, at + this.scenario.piece));
        }
        if (line !== undefined) this.lines.push(line);
      } catch {
        // The client has closed the connection.
      }
    });
  }
}

/** The lines that come from a connection, to its end or its reset. */
async function* lines(conn: Deno.Conn): AsyncGenerator<string> {
  const bytes = new Uint8Array(1000), decoder = new TextDecoder();
  let text = "";
  for (let count; (count = await conn.read(bytes).catch(() => null)) !== null;) {
    text += decoder.decode(bytes.subarray(0, count));
    const whole = text.split("\n");
    text = whole.pop() ?? "";
    yield* whole;
  }
}

/** How a call settled. */
interface Outcome {
  readonly call: string;
  readonly received?: string;
  readonly error?: Error;
}

async function outcomeOf(call: string, promise: Promise<Message | void>): Promise<Outcome> {
  try {
    const message = await promise;
    return message === undefined ? { call } : { call, received: message.text };
  } catch (error) {
    assert(error instanceof Error);
    if (error instanceof ErrorReply) {
      return { call, received: error.message.replace("the server refused", "error"), error };
    }
    return { call, error };
  }
}

/** Makes the calls of a scenario, and then receives what is left. */
async function converse({ steps, matched }: Scenario, port: number): Promise<Outcome[]> {
  const matches = (message: Uint8Array, reply: Uint8Array) =>
    new TextDecoder().decode(reply) === `re ${new TextDecoder().decode(message)}`;
  using peer = await Peer.connect({
    port,
    framing: "line",
    timeout: TIMEOUT,
    ...matched && { matches },
  });
  const calls: Promise<Outcome>[] = [];
  for (const [at, step] of steps.entries()) {
    if (step.call === "wait") await sleep(step.ms);
    else if (step.call === "receive") {
      calls.push(outcomeOf("receive", peer.receive(step.timeout)));
    } else if (step.call === "send") calls.push(outcomeOf("send", peer.send(`sent ${at}`)));
    else calls.push(outcomeOf(`request ${at}`, peer.request(`request ${at}`)));
  }
  const outcomes = await Promise.all(calls);
  await peer.closeWrite().catch(() => {});
  for (;;) {
    const outcome = await outcomeOf("receive", peer.receive(2000));
    outcomes.push(outcome);
    if (outcome.error !== undefined) break;
  }
  const { error } = outcomes.at(-1) as Outcome;
  assert(error instanceof Closed || error instanceof TimeoutError, `${error}`);
  return outcomes;
}

function assertKept(
  scenario: Scenario,
  lines: readonly string[],
  outcomes: readonly Outcome[],
): void {
  const received = outcomes.flatMap(({ received }) => received ?? []);
  const isLost = scenario.leaves === "resets" ||
    outcomes.some(({ call, error }) => call !== "receive" && error instanceof TimeoutError);
  if (!scenario.matched) {
    // The calls take what the server sends in the order of the calls.
    assertEquals(received, lines.slice(0, received.length));
  } else {
    for (const { call, received } of outcomes) {
      if (received === undefined || received.startsWith("error")) continue;
      if (call === "receive") assert(!received.startsWith("re request"), `${received} is no extra`);
      else assertEquals(received, `re ${call}`);
    }
  }
  if (!isLost) assertEquals(received.toSorted(), lines.toSorted());
}

describe("a peer", () => {
  const scenarios = fc.array(scenario, { minLength: 1, maxLength: 8 }); // at the same time
  const title = "settles every call with its own reply; loses nothing that was received";
  property(title, scenarios, 40, async (all) => {
    await Promise.all(all.map(async (scenario) => {
      const server = new Server(scenario);
      const outcomes = await converse(scenario, server.port);
      await server.done;
      assertKept(scenario, server.lines, outcomes);
    }));
  });
});
