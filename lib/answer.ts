/** The server's side of one conversation: hears messages, writes replies, until either side ends it. */

import { Framer, type Framing, MessageTooLong } from "./framing.ts";
import type { Turns } from "./turns.ts";

/** What a conversation needs of a connection. */
export type Connection = Pick<Deno.Conn, "read" | "write" | "closeWrite" | "close">;

/** Where a handler writes its reply. The bytes are copied at once. */
export interface Reply {
  /** Adds to the reply; what ends it on the wire is added for you. */
  write(bytes: Uint8Array): void;
}

/**
 * Answers a message. Its bytes are a view that holds until the handler is done
 * (for an async one, until its promise settles); the next message is handled after that.
 */
export type Handler = (message: Uint8Array, reply: Reply) => void | Promise<void>;

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
  /** A whole message came; `message` is a view that holds during the call. */
  heard?(message: Uint8Array): void;
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
/** How many unused reply buffers are kept. */
const SPARE = 8;
/** Replies are written out whenever so many bytes are ready. */
const FLUSH = 65536;

const encoder = new TextEncoder();
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
   * An idle conversation is this function, waiting for a read: what it holds is what one costs.
   */
  async run(): Promise<void> {
    let ending: Ending | undefined;
    try {
      while (ending === undefined) {
        const room = this.#framer.room();
        const reading = this.conn.read(room);
        if (this.#framer.undecided || this.#stopping) ending = await this.#pause(reading);
        if (ending !== undefined) break;
        this.#waiting = reading;
        const count = await reading;
        this.#waiting = undefined;
        if (count === null) this.#framer.end();
        else this.#framer.took(count);
        const next = this.#hungUp ? "stopped" : await this.#answer();
        if (count === null) ending = next ?? "left";
        else if (next !== undefined) ending = await this.#hangUp(next);
        const turn = this.turns.next();
        if (turn !== undefined) await turn;
      }
    } catch {
      // The connection failed, under a read or a write: the client is gone, or was cut.
    }
    this.cut(ending ?? "reset");
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

  /** Waits whether a read stays pending: then what is undecided is raw, and a stopping server has heard all. */
  async #pause(reading: Promise<number | null>): Promise<Ending | undefined> {
    const isQuiet = await isPending(reading, PAUSE) || performance.now() > this.#stopAt;
    if (!isQuiet) return undefined;
    this.#framer.pause();
    const ending = await this.#answer() ?? (this.#stopping ? "stopped" : undefined);
    return ending && this.#hangUp(ending, reading);
  }

  get #stopping(): boolean {
    return this.#stopAt !== Infinity;
  }

  /** Answers every whole message that is here; tells why the conversation should end, if so. */
  async #answer(): Promise<Ending | undefined> {
    const out = Out.take();
    for (;;) {
      let next = this.#fill(out);
      if (this.#handling !== undefined) next = await this.#handled(this.#handling, out);
      if (next === "more") {
        await this.#send(out.bytes.subarray(0, out.length));
        out.clear();
        continue;
      }
      // A copy of just the size: thousands of writes may be under way at once.
      const replies = out.bytes.slice(0, out.length);
      Out.give(out);
      if (replies.length === 0) return next;
      const count = await this.conn.write(replies);
      if (count < replies.length) await this.#send(replies.subarray(count));
      return next;
    }
  }

  /** Hears messages until their replies are enough for one write, or one takes its time. */
  #fill(out: Out): Ending | "more" | undefined {
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

  async #handled(handling: Promise<void>, out: Out): Promise<Ending | "more"> {
    try {
      await handling;
      out.end(this.#framer.ending);
      return this.terms.once ? "done" : "more";
    } catch (error) {
      return this.#failed(error, out);
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
  async #hangUp(ending: Ending, reading = this.conn.read(discarded)): Promise<Ending> {
    // A stopping server has a deadline of its own for all.
    const timer = ending === "stopped" ? undefined : setTimeout(() => this.cut(ending), LINGER);
    try {
      await this.conn.closeWrite().catch(() => {});
      while (await reading !== null) {
        await this.turns.next();
        reading = this.conn.read(discarded);
      }
    } finally {
      clearTimeout(timer);
    }
    return ending;
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
    out.clear();
    if (Out.#spare.length < SPARE && out.bytes.length <= 4 * FLUSH) Out.#spare.push(out);
  }

  write(bytes: Uint8Array): void {
    const length = this.length + bytes.length;
    if (length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.bytes.length));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    this.bytes.set(bytes, this.length);
    this.length = length;
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

  clear(): void {
    this.length = this.#whole = 0;
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
