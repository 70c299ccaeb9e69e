/** The server's side of one conversation: hears messages, writes replies, until either side ends it. */

import type { Connection } from "../net/address.ts";
import { Framer, type Framing, join, type Message, MessageTooLong } from "../wire/framing.ts";
import { Out, type Reply } from "./reply.ts";
import type { Turns } from "./turns.ts";

/**
 * Who talks: the other end of a conversation, as handlers see it.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { listen, serve } from "@readback/readback";
 *
 * const listeners = await listen({ host: "127.0.0.1", port: 0 });
 * await using server = serve((_message, reply, client) => {
 *   reply.write("bye");
 *   client.end();
 * }, { listeners, open: (client) => void client.write("hello\n") });
 * using conn = await Deno.connect({ port: (server.addr as Deno.NetAddr).port });
 * await conn.write(new TextEncoder().encode("anything\n"));
 * assertEquals(await new Response(conn.readable).text(), "hello\nbye\n");
 * ```
 */
export interface Client<State = unknown> {
  /** Its address. */
  readonly addr: Deno.Addr;
  /** What `open` gave for this conversation. */
  readonly state: State;
  /**
   * Sends it something that is no reply: a greeting, or what others said. Never splits a reply.
   * @return false, and nothing is sent, while 64 KiB of earlier writes have not been taken, or once the conversation ends
   */
  write(part: string | Uint8Array): boolean;
  /** Ends the conversation, once the replies that are due and what was written have been sent. */
  end(): void;
}

/**
 * Answers a message. The message and the reply are valid until the handler returns or, where it
 * is async, its promise settles; `message.copy()` may be kept. Replies are sent in the order of their messages, whichever is done first.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Handler, Peer, serve } from "@readback/readback";
 *
 * const add: Handler<{ sum: number }> = (message, reply, { state }) => {
 *   state.sum += Number(message.text);
 *   reply.write(String(state.sum));
 * };
 * await using server = serve(add, { open: () => ({ sum: 0 }) });
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * await peer.say("2");
 * assertEquals(new TextDecoder().decode(await peer.say("3")), "5");
 * ```
 */
export type Handler<State = unknown> = (
  message: Message,
  reply: Reply,
  client: Client<State>,
) => void | Promise<void>;

/**
 * How a conversation ended: the client `left` or vanished (`reset`), sent a message
 * `message too long`, was `idle`; the handler `failed`; the server was `stopped`, and if the
 * client did not leave, `cut`; the server had said all: `done`.
 */
export type Ending =
  | "left"
  | "reset"
  | "message too long"
  | "idle"
  | "failed"
  | "stopped"
  | "cut"
  | "done";

/** Is told what passes in one conversation. */
export interface Witness {
  /** A whole message came; it holds during the call. */
  heard?(message: Message): void;
  /** It is over. */
  ended?(ending: Ending): void;
}

/** The terms of a conversation. */
export interface Terms {
  /** How a message's end is told. @default {"auto"} */
  framing: Framing;
  /** The longest message, in bytes. @default {65536} */
  maxMessage: number;
  /** How many messages of one conversation may be handled at once, where handlers are async. @default {1} */
  concurrency: number;
  /** End after one message. @default {false} */
  once: boolean;
}

/** Who hosts conversations; one for all. */
export interface Host<State> {
  readonly handler: Handler<State>;
  readonly terms: Terms;
  /** Says when a conversation may read again. */
  readonly turns: Turns;
  /** Makes a conversation's state. */
  open(client: Client<State>): State;
  /** The handler failed; the conversation ends. */
  failed(error: unknown, client: Client<State>): void;
  /** It is over. */
  over(conversation: Conversation<State>, ending: Ending): void;
}

/** Bytes with no LF, then nothing for so long: a raw message; a stopping server: nothing more came. In ms. */
const PAUSE = 50;
/** How long a stopping server goes on hearing a client that never pauses, in ms. */
export const LAST_WORDS = 500;
/** How long a client whose conversation we ended may take to leave, in ms. */
const LINGER = 2000;
/**
 * With more conversations than this, replies of less than so many bytes are copied to be written:
 * thousands of writes may be under way at once. Else they keep their buffer: a new one costs 6 %.
 */
const MANY = 1024;
const COPIED = 512;
/** Replies are written out whenever so many bytes are ready. */
const FLUSH = 65536;
/** What may wait to be sent that is no reply, in bytes. */
const MOST_PUSHED = 65536;

const encoder = new TextEncoder();
const NONE = new Uint8Array(0);
/** What is read after the last word is thrown away: all conversations may share the place. */
const discarded = new Uint8Array(65536);

/** One conversation. {@linkcode run} ends when it does and never rejects. */
export class Conversation<State = unknown> implements Client<State> {
  /** Messages heard. */
  messages = 0;
  /** Bytes heard. */
  bytes = 0;
  readonly state: State;

  readonly #framer: Framer;
  #waiting: Promise<number | null> | undefined; // the read that is under way, while nothing else is waited for
  #stopAt = Infinity; // no more is heard after this
  #ended = false; // the handler wants no more
  #hungUp: Ending | undefined; // we said that we are through, while it was silent
  #next: Ending | "more" | undefined; // what to do once the replies are written
  #out: Out | undefined; // replies that are ready
  #slow: Slow[] = []; // a reply that is not, and those after it
  #refusal = NONE; // said after the last reply
  #writing: Promise<unknown> | undefined;
  #pushed: Uint8Array[] = []; // to be sent between replies
  #behind = 0; // so many bytes of it
  #pushing: Promise<void> | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #lively = true; // the client showed life since silentFor() last asked
  #silentSince = 0;
  #ending: Ending | undefined;

  /**
   * @param conn owned from here on: closed when the conversation ends
   * @param witness is told what passes
   */
  constructor(
    readonly conn: Connection,
    readonly addr: Deno.Addr,
    readonly host: Host<State>,
    readonly witness: Witness,
  ) {
    const { framing, maxMessage } = host.terms;
    this.#framer = new Framer(framing, maxMessage);
    this.state = host.open(this);
  }

  /**
   * Talks until either side ends it; the connection is closed then. Never rejects.
   *
   * The hot path is all here, down to the write: a call that waits costs as much
   * as handling a message. And an idle conversation is this function, waiting for
   * a read: what it holds is what one costs.
   */
  async run(): Promise<void> {
    let reading: Promise<number | null> | undefined;
    let count: number | null | undefined;
    let end: Ending | undefined;
    if (this.#ended) this.#next = "done"; // said in `open`
    try {
      while (end === undefined || this.#slow.length > 0) {
        if (this.#next === undefined) {
          reading ??= this.conn.read(this.#framer.room());
          if (this.#slow.length === 0 || await this.#isFirst(reading)) {
            const quiet = this.#awaitsPause && await this.#isQuiet(reading);
            if (quiet) this.#framer.pause();
            else {
              this.#waiting = reading;
              count = await reading;
              this.#waiting = reading = undefined;
              if (count === null) this.#framer.end();
              else if (this.#hungUp === undefined) this.#took(count);
            }
            if (count === null) end = this.#hungUp ?? "left";
            else if (quiet && this.#stopping) end = "stopped";
            else end = this.#hungUp;
          } else if (this.#ending !== undefined) break; // as below
        } else {
          await this.#slow[0]?.settled;
          if (this.#ending !== undefined) break; // cut, and the handler has not settled
        }
        do {
          const replies = this.#answer();
          if (replies.length > 0) {
            while (this.#pushing !== undefined) await this.#pushing;
            const sent = await (this.#writing = this.conn.write(replies));
            this.#lively = true;
            if (sent < replies.length) await (this.#writing = this.#send(replies.subarray(sent)));
            this.#writing = undefined;
          }
          this.#letGo();
          const turn = this.host.turns.next(replies.length);
          if (turn !== undefined) await turn;
        } while (this.#next === "more" && this.#slow.length < this.host.terms.concurrency);
        if (this.#ended) this.#next ??= "done"; // said while replies were written
        if (this.#next !== "more") this.#next = end = this.#next ?? end;
      }
      await this.#pushing;
      if (count !== null && this.#ending === undefined) await this.#hangUp(reading);
    } catch {
      // The connection failed, under a read or a write: the client is gone, or was cut.
      this.#next = "reset";
    }
    clearTimeout(this.#linger);
    this.cut(this.#next as Ending);
    this.host.over(this, this.#ending ?? "reset");
  }

  /** Asks it to end: what has arrived is answered first. */
  async stop(): Promise<void> {
    this.#stopAt = performance.now() + LAST_WORDS;
    const waiting = this.#waiting;
    if (waiting !== undefined && await isPending(waiting, PAUSE)) await this.#closeWrite("stopped");
  }

  end(): void {
    this.#ended = true;
    if (this.#waiting !== undefined) void this.#closeWrite("done");
  }

  write(part: string | Uint8Array): boolean {
    const isOver = this.#ended || this.#hungUp !== undefined || this.#ending !== undefined;
    if (isOver || this.#behind >= MOST_PUSHED) return false;
    const bytes = typeof part === "string" ? encoder.encode(part) : part.slice();
    this.#pushed.push(bytes);
    this.#behind += bytes.length;
    this.#pushing ??= this.#push();
    return true;
  }

  /** Ends it at once; a second time does nothing. */
  cut(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    for (const slow of this.#slow) slow.giveUp();
    this.conn.close();
  }

  /**
   * How long no whole message came and no byte of a reply was taken, in ms; as
   * well as whoever asks now and then can know.
   * @param now the time as `performance.now()` tells it
   */
  silentFor(now: number): number {
    const isOurTurn = this.#slow.length > 0 && this.#writing === undefined;
    if (this.#lively || isOurTurn) this.#silentSince = now;
    this.#lively = false;
    return now - this.#silentSince;
  }

  get #stopping(): boolean {
    return this.#stopAt !== Infinity;
  }

  get #awaitsPause(): boolean {
    return this.#framer.undecided || this.#stopping;
  }

  /** Whether nothing comes for a while: then what is undecided is raw, and a stopping server has heard all. */
  async #isQuiet(reading: Promise<unknown>): Promise<boolean> {
    return await isPending(reading, PAUSE) || performance.now() > this.#stopAt;
  }

  /** Whether more is read before the first of the slow replies is ready. */
  async #isFirst(reading: Promise<unknown>): Promise<boolean> {
    const read = () => true;
    const ready = this.#slow[0]?.settled.then(() => false);
    return await Promise.race([reading.then(read, read), ready ?? true]);
  }

  #took(count: number): void {
    this.bytes += count;
    this.#framer.took(count);
  }

  /** Answers the messages that are here; the replies that are ready to be written. */
  #answer(): Uint8Array {
    if (this.#slow.length > 0) this.#collect();
    if (this.#ended && (this.#next ?? "more") === "more") this.#next = "done";
    if (this.#next === undefined || this.#next === "more") this.#next = this.#fill();
    const out = this.#ready;
    if (this.#refusal.length > 0 && this.#slow.length === 0) {
      out.write(this.#refusal);
      this.#refusal = NONE;
    }
    if (out.length >= COPIED || this.host.turns.open <= MANY) {
      return out.bytes.subarray(0, out.length);
    }
    const replies = out.bytes.slice(0, out.length);
    this.#letGo();
    return replies;
  }

  /** Replies that are ready; a conversation has a place for them only while it answers. */
  get #ready(): Out {
    return this.#out ??= Out.take();
  }

  #letGo(): void {
    if (this.#out !== undefined) Out.give(this.#out);
    this.#out = undefined;
  }

  /** Hears messages until their replies are enough for one write, or too many take their time. */
  #fill(): Ending | "more" | undefined {
    const { handler, terms: { concurrency, once } } = this.host;
    const framer = this.#framer;
    let out = this.#ready;
    framer.message.heard = Date.now();
    try {
      while (this.#slow.length < concurrency) {
        const message = framer.next();
        if (message === null) return undefined;
        this.messages++;
        this.#lively = true;
        this.witness.heard?.(message);
        const waits = this.#slow.length > 0;
        const reply = waits ? new Out() : out;
        const done = handler(concurrency === 1 ? message : message.copy(), reply, this);
        if (done === undefined && !waits) out.end(framer.ending);
        else out = this.#postpone(new Slow(reply, framer.ending, done));
        if (once || this.#ended) return "done";
        if (out.length >= FLUSH) return "more";
      }
      return "more";
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** A reply that is not ready, or comes after one; gives the place of those before it, sent meanwhile. */
  #postpone(slow: Slow): Out {
    this.#slow.push(slow);
    if (slow.out === this.#out) this.#out = slow.out.split();
    return this.#ready;
  }

  /** Takes up the slow replies that are ready now. */
  #collect(): void {
    for (let slow; (slow = this.#slow[0]) && slow.ready;) {
      this.#slow.shift();
      this.#lively = true;
      if (slow.failure) {
        this.#slow = [];
        this.#next = this.#failed(slow.failure.error);
      } else this.#ready.add(slow.out, slow.ending);
    }
  }

  #failed(error: unknown): Ending {
    this.#ready.undo();
    if (error instanceof MessageTooLong) {
      this.#refusal = encoder.encode(`error: ${error.message}\n`);
      return "message too long";
    }
    this.host.failed(error, this);
    return "failed";
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let left = bytes; left.length > 0;) {
      const count = await this.conn.write(left);
      this.#lively = true;
      left = left.subarray(count);
    }
  }

  /** Sends what was pushed, when no reply is being written. */
  async #push(): Promise<void> {
    try {
      for (let last; last !== this.#writing;) await (last = this.#writing);
      while (this.#pushed.length > 0) {
        const bytes = join(this.#pushed.splice(0));
        await this.#send(bytes);
        this.#behind -= bytes.length;
      }
    } catch {
      // The client is gone: whoever reads from it finds out.
    }
    this.#pushing = undefined;
  }

  /** Says that no more will come from us; a client that does not leave then is cut. */
  async #closeWrite(why: Ending): Promise<void> {
    this.#hungUp = why;
    // A stopping server has a deadline of its own for all.
    if (why !== "stopped") this.#linger ??= setTimeout(() => this.cut(why), LINGER);
    await this.#pushing;
    await this.conn.closeWrite().catch(() => {});
  }

  /**
   * Ends it from our side: says so, then reads until the client has left too. To
   * close with unread input would reset the connection and throw away replies on their way.
   */
  async #hangUp(reading = this.conn.read(discarded)): Promise<void> {
    await this.#closeWrite(this.#next as Ending);
    while (await reading !== null) {
      await this.host.turns.next(discarded.length);
      reading = this.conn.read(discarded);
    }
  }
}

/** A reply that takes its time, or comes after one that does. */
class Slow {
  ready = false;
  failure: { readonly error: unknown } | undefined;
  readonly #settled = Promise.withResolvers<void>();

  constructor(readonly out: Out, readonly ending: Uint8Array, done: Promise<void> | void) {
    void this.#settle(done).then(this.#settled.resolve);
  }

  /** Resolves once it is ready, or given up. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** Nobody waits for it any more. */
  giveUp(): void {
    this.#settled.resolve();
  }

  async #settle(done: Promise<void> | void): Promise<void> {
    try {
      await done;
    } catch (error) {
      this.failure = { error };
    }
    this.ready = true;
  }
}

/** Whether a promise is still pending after so many milliseconds. */
function isPending(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds, true);
    const settled = () => {
      clearTimeout(timer);
      resolve(false);
    };
    promise.then(settled, settled);
  });
}
