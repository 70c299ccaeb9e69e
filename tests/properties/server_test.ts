/**
 * What serve() promises, whatever its handlers, clients and connections do: replies come in the
 * order of their messages, whole and once; what had arrived before a stop is answered within the
 * grace period; each callback is called once; nothing stays open.
 */

import { assert, assertEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import fc from "fast-check";
import { type Client, type Reply, serve, type ServerConn } from "../../lib/mod.ts";
import { sleep } from "../../lib/wait.ts";
import { property } from "../support/property.ts";
import { netstring } from "../support/services/netstring.ts";

/** What a handler does with one message. */
interface Task {
  /** The reply has so many bytes beside its message's number; the message is longer by as many. */
  readonly size: number;
  /** A reply at once, or milliseconds before each of its two parts. */
  readonly delay: number | undefined;
  /** A push of so many bytes comes first. */
  readonly push: number | undefined;
  readonly waitsUntilDrained: boolean;
  readonly fate: "reply" | "no reply" | "throw" | "never" | "end";
}

/** One client: what it sends, in which pieces, and how it goes on. */
interface Script {
  readonly tasks: readonly Task[];
  readonly pieces: readonly number[];
  readonly pause: number;
  /** Milliseconds before it reads. */
  readonly readsAfter: number;
  readonly leaves: "half-closes" | "waits" | "vanishes";
}

interface Scenario {
  readonly framing: "line" | "raw" | "auto" | "netstring";
  readonly concurrency: number;
  readonly scripts: readonly Script[];
  /** Milliseconds until the server is stopped; undefined: once the clients are done. */
  readonly stopsAfter: number | undefined;
  /** The most bytes that the server's writes take at once, and the turns that they wait. */
  readonly writes: readonly { readonly most: number; readonly turns: number }[];
}

const often = <T>(value: T, other: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: other });

const task: fc.Arbitrary<Task> = fc.record({
  size: often(20, fc.nat(3000)),
  delay: fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined }),
  push: often(undefined, fc.nat(20_000)),
  waitsUntilDrained: often(false, fc.boolean()),
  fate: fc.oneof(
    { weight: 40, arbitrary: fc.constant("reply" as const) },
    { weight: 3, arbitrary: fc.constant("no reply" as const) },
    { weight: 1, arbitrary: fc.constantFrom("throw" as const, "end" as const) },
  ),
});
const never: fc.Arbitrary<Task> = task.map((task) => ({ ...task, fate: "never" }));

const script: fc.Arbitrary<Script> = fc.record({
  tasks: fc.array(fc.oneof({ weight: 100, arbitrary: task }, { weight: 1, arbitrary: never }), {
    minLength: 1,
    maxLength: 12,
  }),
  pieces: fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 }),
  pause: often(0, fc.nat(3)),
  readsAfter: often(0, fc.nat(20)),
  leaves: fc.constantFrom("half-closes", "half-closes", "waits", "vanishes"),
});

const scenario: fc.Arbitrary<Scenario> = fc.record({
  framing: fc.constantFrom("line", "line", "raw", "auto", "netstring"),
  concurrency: fc.constantFrom(1, 1, 2, 5, Infinity),
  scripts: fc.array(script, { minLength: 1, maxLength: 4 }),
  stopsAfter: fc.option(fc.nat(30), { nil: undefined }),
  writes: fc.array(fc.record({ most: fc.integer({ min: 200, max: 5000 }), turns: fc.nat(3) })),
});

/** Milliseconds that a handler may take where one never settles; all others take less. */
const HANDLER_TIMEOUT = 300;
/** Milliseconds that a stop may take; it takes less. */
const GRACE = 9000;
/** The most pauses of a client that sends in pieces: a stop waits for all that it sends. */
const PAUSES = 20;
const encoder = new TextEncoder();

const replyText = (at: number, { size }: Task) => `${at}=${"r".repeat(size)}`;
const framed = (text: string, framing: Scenario["framing"]) =>
  framing === "netstring" ? `${text.length}:${text},` : framing === "raw" ? text : `${text}\n`;

/** What a client is sent, at least and at most: replies in order, up to one that fails. */
function expected(tasks: readonly Task[]): { texts: string[]; least: number } {
  const fails = tasks.findIndex(({ fate }) => fate === "throw" || fate === "never");
  const handled = tasks.slice(0, fails < 0 ? tasks.length : fails);
  const ends = handled.findIndex(({ fate }) => fate === "end");
  const texts = (tasks: readonly Task[]) =>
    tasks.flatMap((task, at) => task.fate === "no reply" ? [] : [replyText(at, task)]);
  const least = texts(ends < 0 ? handled : handled.slice(0, ends + 1)).length;
  return { texts: texts(handled), least };
}

/** A connection whose writes take long and are cut short. */
function slowed(conn: ServerConn, writes: Scenario["writes"]): ServerConn {
  let count = 0;
  return {
    remoteAddr: conn.remoteAddr,
    localAddr: conn.localAddr,
    read: (bytes) => conn.read(bytes),
    async write(bytes) {
      const { most, turns } = writes[count++ % writes.length] ?? { most: Infinity, turns: 0 };
      for (let turn = 0; turn < turns; turn++) await sleep(0);
      return await conn.write(bytes.subarray(0, most));
    },
    closeWrite: () => conn.closeWrite(),
    close: () => conn.close(),
  };
}

/** Reads to the end; what has come is in `text`. */
class Received {
  text = "";
  isOver = false;
  readonly done: Promise<"end" | "reset">;
  #news = Promise.withResolvers<void>();

  constructor(conn: Deno.Conn, readsAfter: number) {
    this.done = this.#read(conn, readsAfter).finally(() => {
      this.isOver = true;
      this.#news.resolve();
    });
  }

  /** Waits until this is true of the text, or nothing more comes. */
  async until(isTrue: (text: string) => boolean): Promise<void> {
    while (!this.isOver && !isTrue(this.text)) await this.#news.promise;
  }

  async #read(conn: Deno.Conn, readsAfter: number): Promise<"end" | "reset"> {
    if (readsAfter > 0) await sleep(readsAfter);
    const bytes = new Uint8Array(8192), decoder = new TextDecoder();
    try {
      for (let count; (count = await conn.read(bytes)) !== null;) {
        this.text += decoder.decode(bytes.subarray(0, count));
        this.#news.resolve();
        this.#news = Promise.withResolvers();
      }
      return "end";
    } catch {
      return "reset";
    }
  }
}

/** One run: a server, its clients, and what they must see. */
class Run {
  readonly callbacks: Record<string, number> = {};
  readonly #tasks = new Map<string, Task>();
  /** A handler never settles, so there is a time limit. */
  readonly #isTimed: boolean;
  #stopped = false;

  constructor(readonly scenario: Scenario) {
    const tasks = scenario.scripts.flatMap(({ tasks }) => tasks);
    this.#isTimed = tasks.some(({ fate }) => fate === "never");
    for (const [client, { tasks }] of scenario.scripts.entries()) {
      for (const [at, task] of tasks.entries()) this.#tasks.set(`${client}.${at}`, task);
    }
  }

  async check(): Promise<void> {
    const { framing, concurrency, scripts, stopsAfter, writes } = this.scenario;
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const endings = new Map<object, string>();
    const server = serve((message, reply, client) => this.#handle(message.text, reply, client), {
      listeners: [listener],
      framing: framing === "netstring" ? netstring : framing,
      concurrency,
      grace: GRACE,
      ...this.#isTimed && { handlerTimeout: HANDLER_TIMEOUT },
      ...writes.length > 0 && { onAccept: (conn) => Promise.resolve(slowed(conn, writes)) },
      onListen: () => this.#count("listen"),
      onOpen: () => this.#count("open"),
      onClose: (client, ending) => {
        assert(!endings.has(client), "a conversation was closed twice");
        endings.set(client, ending);
      },
      onError: () => {},
    });
    const clients = Promise.allSettled(
      scripts.map((script, client) => this.#talk(listener.addr.port, client, script)),
    );
    if (stopsAfter === undefined) await clients;
    else await sleep(stopsAfter);
    this.#stopped = true;
    const start = performance.now();
    await server.shutdown();
    for (const client of await clients) if (client.status === "rejected") throw client.reason;
    assert(
      performance.now() - start < GRACE * 0.9,
      `the stop took as long as the grace period: ${[...endings.values()]}`,
    );
    assertEquals(server.clients, 0);
    assertEquals(this.callbacks["listen"], 1);
    assertEquals(
      endings.size,
      this.callbacks["open"] ?? 0,
      "each conversation that began has ended",
    );
  }

  #count(callback: string): void {
    this.callbacks[callback] = (this.callbacks[callback] ?? 0) + 1;
  }

  #handle(text: string, reply: Reply, client: Client<void>): void | Promise<void> {
    const [, of = "", at = ""] = /^(\d+)\.(\d+)=/.exec(text) ?? [];
    const task = this.#tasks.get(`${of}.${at}`);
    assert(task !== undefined, `a message that nobody sent: ${text}`);
    const { framing } = this.scenario;
    if (task.push !== undefined && framing !== "raw") {
      client.write(framed(`push ${"p".repeat(task.push)}`, framing));
    }
    const [before, after] = cut(replyText(Number(at), task));
    if (task.delay === undefined && !task.waitsUntilDrained && task.fate !== "never") {
      if (task.fate === "no reply") return;
      reply.write(before);
      if (task.fate === "throw") throw new Error("thrown");
      reply.write(after);
      if (task.fate === "end") client.end();
      return;
    }
    return this.#handleLater(task, before, after, reply, client);
  }

  async #handleLater(
    task: Task,
    before: string,
    after: string,
    reply: Reply,
    client: Client<void>,
  ): Promise<void> {
    // To wait for a slow client may take longer than a handler's time limit.
    if (task.waitsUntilDrained && !this.#isTimed) await client.drained();
    await sleep(task.delay ?? 0);
    if (task.fate === "no reply") return;
    reply.write(before);
    if (task.fate === "never") return await new Promise(() => {});
    await sleep(task.delay ?? 0);
    if (task.fate === "throw") throw new Error("rejected");
    reply.write(after);
    if (task.fate === "end") client.end();
  }

  async #talk(port: number, client: number, script: Script): Promise<void> {
    const { framing } = this.scenario;
    const { tasks, leaves } = script;
    let conn;
    try {
      conn = await Deno.connect({ port });
    } catch (error) {
      if (this.#stopped) return; // it came after the stop
      throw error;
    }
    const received = new Received(conn, script.readsAfter);
    const messages = tasks.map((task, at) =>
      framed(`${client}.${at}=${"m".repeat(task.size)}`, framing)
    );
    // A raw message is what comes at once, so the next one waits for the reply to this one.
    const arrived = framing === "raw"
      ? await this.#sendRaw(conn, tasks, messages, received)
      : await this.#sendAll(conn, script, messages);
    if (leaves === "vanishes") {
      conn.close();
      await received.done;
      return;
    }
    if (leaves === "half-closes") await conn.closeWrite().catch(() => {});
    else if (this.scenario.stopsAfter === undefined) {
      await this.#leaveWhenAnswered(conn, tasks.slice(0, arrived), received);
    }
    assertEquals(await received.done, "end", "the connection was reset");
    conn.close();
    assertReplies(received.text, framing, tasks, arrived);
  }

  /** Sends all messages in pieces; gives how many had arrived before the stop. */
  async #sendAll(conn: Deno.Conn, { pieces, pause }: Script, messages: string[]): Promise<number> {
    // While an auto server has not seen a line's end, a pause is one: the first message is one piece.
    let end = 0;
    const ends = messages.map(({ length }) => end += length);
    const bytes = encoder.encode(messages.join(""));
    let arrived = 0;
    for (let at = 0, count = 0; at < bytes.length;) {
      const first = this.scenario.framing === "auto" ? ends[0] ?? 0 : 0;
      const length = at < first ? first : pieces[count++ % pieces.length] ?? 1;
      try {
        at += await conn.write(bytes.subarray(at, at + length));
      } catch {
        break;
      }
      if (!this.#stopped) { while (arrived < ends.length && (ends[arrived] ?? 0) <= at) arrived++; }
      if (count < PAUSES && pause > 0) await sleep(pause);
    }
    return arrived;
  }

  async #sendRaw(
    conn: Deno.Conn,
    tasks: readonly Task[],
    messages: string[],
    received: Received,
  ): Promise<number> {
    let due = 0, arrived = 0;
    for (const [at, message] of messages.entries()) {
      const task = tasks[at] as Task;
      try {
        for (let left = encoder.encode(message); left.length > 0;) {
          left = left.subarray(await conn.write(left));
        }
      } catch {
        break;
      }
      if (!this.#stopped) arrived = at + 1;
      if (task.fate !== "reply") break; // nothing tells when the next one may be sent
      due += replyText(at, task).length;
      await received.until(({ length }) => length >= due);
    }
    return arrived;
  }

  /** A client that neither leaves nor is left waits for the last of its replies. */
  async #leaveWhenAnswered(
    conn: Deno.Conn,
    tasks: readonly Task[],
    received: Received,
  ): Promise<void> {
    const { texts, least } = expected(tasks);
    const last = texts[least - 1];
    if (last !== undefined) await received.until((text) => text.includes(last));
    await conn.closeWrite().catch(() => {});
  }
}

function cut(text: string): [string, string] {
  const middle = text.length >> 1;
  return [text.slice(0, middle), text.slice(middle)];
}

/** The frames of a stream; what is left is no whole frame. */
function frames(text: string, framing: Scenario["framing"]): { frames: string[]; rest: string } {
  if (framing !== "netstring") {
    const lines = text.split("\n");
    return { rest: lines.pop() ?? "", frames: lines };
  }
  const found = [];
  for (let length; (length = /^(\d+):/.exec(text)) !== null;) {
    const start = length[0].length, end = start + Number(length[1]);
    if (text[end] !== ",") break;
    found.push(text.slice(start, end));
    text = text.slice(end + 1);
  }
  return { frames: found, rest: text };
}

/** A text with its long runs shortened. */
function short(text: string): string {
  return text.replace(/(.)\1{9,}/g, (run) => `${run[0]}*${run.length}`);
}

function assertReplies(
  text: string,
  framing: Scenario["framing"],
  tasks: readonly Task[],
  arrived: number,
): void {
  const { texts } = expected(tasks);
  const { least } = expected(tasks.slice(0, arrived));
  if (framing === "raw") {
    const whole = texts.findIndex((_, at) => texts.slice(0, at).join("") === text);
    const count = whole < 0 && text === texts.join("") ? texts.length : whole;
    assert(count >= least, `${text.length} bytes are ${count} replies, not ${least} at least`);
    return;
  }
  const found = frames(text, framing);
  assertEquals(short(found.rest), "", "a reply or a push in part");
  const replies = found.frames.filter((frame) => !/^push p*$/.test(frame));
  const due = texts.slice(0, replies.length);
  assertEquals(replies.map(short), due.map(short), "replies in the order of their messages");
  assert(replies.length >= least, `${replies.length} replies, not ${least} at least`);
}

describe("a server", () => {
  const scenarios = fc.array(scenario, { minLength: 1, maxLength: 8 }); // at the same time
  property("answers in order, whole and once; leaves nothing open", scenarios, 36, async (all) => {
    await Promise.all(all.map((scenario) => new Run(scenario).check()));
  });
});
