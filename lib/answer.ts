/** The server's side of one conversation: hears messages, writes replies, until either side ends it. */

import { Framer, type Framing, Message, MessageTooLong } from "./framing.ts";
import type { Turns } from "./turns.ts";

/** What a conversation needs of a connection. */
export type Connection = Pick<Deno.Conn, "read" | "write" | "closeWrite" | "close">;

/** Where a handler writes its reply. What it writes is copied at once. */
export interface Reply {
  /** Adds bytes, or the message itself, to the reply; what ends it on the wire is added for you. */
  write(part: Uint8Array | Message): void;
}

/**
 * Answers a message, which holds until the handler is done
 * (for an async one, until its promise settles); the next message is handled after that.
 */
export type Handler = (message: Message, reply: Reply) => void | Promise<void>;

/**
 * How a conversation ended: the client `left` or vanished (`reset`), sent a message
 * `message too long`, was `idle`; the handler `failed`; the server was `stopped`, and if the
 * client did not leave, `cut`; it was to be of one message and that is `done`.
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
  /** The handler failed; the conversation ends. */
  failed?(error: unknown): void;
  /** It is over. */
  ended?(ending: Ending): void;
}

/** The terms of a conversation. */
export interface Terms {
  /** How a message's end is told. */
  framing: Framing;
  /** The longest message, in bytes. */
  maxMessage: number;
  /** End after one message. */
  once: boolean;
}

/** Bytes with no LF, then nothing for so long: a raw message; a stopping server: nothing more came. In ms. */
const PAUSE = 50;
/** How long a stopping server goes on hearing a client that never pauses, in ms. */
const LAST_WORDS = 500;
/** How long a client whose conversation we ended may take to leave, in ms. */
const LINGER = 2000;
/** So many bytes are copied in less time than a call takes. */
const BY_HAND = 32;
/** Replies of less than so many bytes are copied to be written; more keep their buffer. */
const COPIED = 512;
/** How many unused reply buffers are kept. */
const SPARE = 64;
/** Replies are written out whenever so many bytes are ready. */
const FLUSH = 65536;

const encoder = new TextEncoder();
const NONE = new Uint8Array(0);
/** What is read after the last word is thrown away: all conversations may share the place. */
const discarded = new Uint8Array(65536);

/** One conversation. {@linkcode run} ends when it does and never rejects. */
export class Conversation {
  /** Messages heard. */
  messages = 0;

  readonly #framer: Framer;
  #waiting: Promise<number | null> | undefined; // a read that nothing but stop() looks at
  #stopAt = Infinity; // no more is heard after this
  #hungUp = false;
  #next: Ending | "more" | undefined; // what to do once the replies are written
  #out: Out | undefined; // where a reply that takes its time is written
  #handling: Promise<void> | undefined;
  #lively = true; // the client showed life since silentFor() last asked
  #silentSince = 0;
  #ending: Ending | undefined;

  /**
   * @param conn owned from here on: closed when the conversation ends
   * @param witness is told what passes
   * @param turns says when it may read again
   * @param over is called when it has ended
   */
  constructor(
    readonly conn: Connection,
    readonly handler: Handler,
    readonly terms: Terms,
    readonly witness: Witness,
    readonly turns: Turns,
    readonly over: (conversation: Conversation, ending: Ending) => void,
  ) {
    this.#framer = new Framer(terms.framing, terms.maxMessage);
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
    try {
      while (this.#next === undefined) {
        reading ??= this.conn.read(this.#framer.room());
        const quiet = this.#awaitsPause && await this.#isQuiet(reading);
        if (quiet) this.#framer.pause();
        else {
          this.#waiting = reading;
          count = await reading;
          this.#waiting = reading = undefined;
          if (count === null) this.#framer.end();
          else if (!this.#hungUp) this.#framer.took(count);
        }
        do {
          if (this.#handling !== undefined) await this.#handled(this.#handling);
          const replies = this.#answer();
          if (replies.length > 0) {
            const sent = await this.conn.write(replies);
            this.#lively = true;
            if (sent < replies.length) await this.#send(replies.subarray(sent));
          }
          if (this.#handling === undefined) this.#letGo();
          const turn = this.turns.next(replies.length);
          if (turn !== undefined) await turn;
        } while (this.#handling !== undefined || this.#next === "more");
        if (count === null) this.#next ??= "left";
        else if (this.#hungUp || (quiet && this.#stopping)) this.#next ??= "stopped";
      }
      if (count !== null) await this.#hangUp(reading);
    } catch {
      // The connection failed, under a read or a write: the client is gone, or was cut.
      this.#next = "reset";
    }
    this.cut(this.#next as Ending);
    this.over(this, this.#ending ?? "reset");
  }

  /** Asks it to end: what has arrived is answered first. */
  async stop(): Promise<void> {
    this.#stopAt = performance.now() + LAST_WORDS;
    if (this.#waiting === undefined || !await isPending(this.#waiting, PAUSE)) return;
    this.#hungUp = true;
    await this.conn.closeWrite().catch(() => {});
  }

  /** Ends it at once; a second time does nothing. */
  cut(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    this.conn.close();
  }

  /**
   * How long no whole message came and no byte of a reply was taken, in ms; as
   * well as whoever asks now and then can know.
   * @param now the time as `performance.now()` tells it
   */
  silentFor(now: number): number {
    if (this.#lively || this.#handling !== undefined) this.#silentSince = now;
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

  /** Answers the messages that are here; the replies that are ready to be written. */
  #answer(): Uint8Array {
    const out = this.#out ??= Out.take();
    if (this.#next === undefined || this.#next === "more") this.#next = this.#fill(out);
    if (this.#handling !== undefined) return NONE;
    if (out.length >= COPIED) return out.bytes.subarray(0, out.length);
    // A copy of a few, since thousands of writes may be under way at once.
    const replies = out.bytes.slice(0, out.length);
    this.#letGo();
    return replies;
  }

  #letGo(): void {
    if (this.#out !== undefined) Out.give(this.#out);
    this.#out = undefined;
  }

  /** Hears messages until their replies are enough for one write, or one takes its time. */
  #fill(out: Out): Ending | "more" | undefined {
    this.#framer.message.heard = Date.now();
    try {
      for (let message; (message = this.#framer.next()) !== null;) {
        this.messages++;
        this.#lively = true;
        this.witness.heard?.(message);
        this.#handling = this.handler(message, out) ?? undefined;
        if (this.#handling !== undefined) return "more";
        out.end(this.#framer.ending);
        if (this.terms.once) return "done";
        if (out.length >= FLUSH) return "more";
      }
      return undefined;
    } catch (error) {
      return this.#failed(error, out);
    }
  }

  /** Waits for a reply that takes its time. */
  async #handled(handling: Promise<void>): Promise<void> {
    const out = this.#out ??= Out.take();
    try {
      await handling;
      out.end(this.#framer.ending);
      this.#next = this.terms.once ? "done" : "more";
    } catch (error) {
      this.#next = this.#failed(error, out);
    } finally {
      this.#handling = undefined;
    }
  }

  #failed(error: unknown, out: Out): Ending {
    out.undo();
    if (error instanceof MessageTooLong) {
      out.write(encoder.encode(`error: ${error.message}\n`));
      return "message too long";
    }
    this.witness.failed?.(error);
    return "failed";
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let left = bytes; left.length > 0;) {
      const count = await this.conn.write(left);
      this.#lively = true;
      left = left.subarray(count);
    }
  }

  /**
   * Ends it from our side: says so, then reads until the client has left too. To
   * close with unread input would reset the connection and throw away replies on their way.
   */
  async #hangUp(reading = this.conn.read(discarded)): Promise<void> {
    // A stopping server has a deadline of its own for all.
    const timer = this.#next === "stopped"
      ? undefined
      : setTimeout(() => this.cut(this.#next as Ending), LINGER);
    try {
      await this.conn.closeWrite().catch(() => {});
      while (await reading !== null) {
        await this.turns.next(discarded.length);
        reading = this.conn.read(discarded);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Replies on their way out, in one buffer that grows. */
class Out implements Reply {
  static readonly #spare: Out[] = [];
  bytes = new Uint8Array(4096);
  length = 0;
  #whole = 0; // the length of the replies that are done

  /** One that is not in use: a conversation needs one only while it answers. */
  static take(): Out {
    return Out.#spare.pop() ?? new Out();
  }

  static give(out: Out): void {
    out.length = out.#whole = 0;
    if (Out.#spare.length < SPARE && out.bytes.length <= 4 * FLUSH) Out.#spare.push(out);
  }

  write(part: Uint8Array | Message): void {
    if (part instanceof Message) this.#copy(part.source, part.start, part.end);
    else this.#copy(part, 0, part.length);
  }

  #copy(source: Uint8Array, start: number, end: number): void {
    const { length } = this;
    const after = length + end - start;
    if (after > this.bytes.length) this.#grow(after);
    const { bytes } = this;
    if (end - start > BY_HAND) bytes.set(source.subarray(start, end), length);
    else for (let at = start, to = length; at < end; at++, to++) bytes[to] = source[at] as number;
    this.length = after;
  }

  #grow(length: number): void {
    const larger = new Uint8Array(Math.max(length, 2 * this.bytes.length));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  /** Ends a reply. */
  end(ending: Uint8Array): void {
    this.write(ending);
    this.#whole = this.length;
  }

  /** Takes back a reply that was begun. */
  undo(): void {
    this.length = this.#whole;
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
