/** The client's side of a conversation: says a message, gets its reply, in order. */

import { type Framing, join, replyTo } from "./framing.ts";

/** A reply may be longer than its message by so much, in bytes. */
const MOST_ADDED = 1 << 20;
/** What one read may bring, in bytes. */
const READ = 65536;

const LF = new Uint8Array([10]);
/** What TLS answers to plain text begins so, and with its version, 3. */
const TLS_ALERT = 21;

/** What a client needs of a connection. */
export type Connection = Pick<Deno.Conn, "read" | "write" | "closeWrite" | "close">;

/** The server at the other end. Its errors' messages are sentences. */
export class Peer {
  /** Messages sent. */
  sent = 0;
  /** Messages that got their reply. */
  answered = 0;

  #framing: Framing;
  #bytes = new Uint8Array(READ);
  #start = 0;
  #end = 0;
  #most = MOST_ADDED;
  #reading: Promise<boolean> | undefined;
  #failure: Error | undefined;

  /**
   * @param conn owned from here on
   * @param timeout for each reply, in ms; 0 is for ever
   */
  constructor(readonly conn: Connection, framing: Framing, readonly timeout: number) {
    this.#framing = framing;
  }

  /** What the server speaks; `auto` until its first reply. */
  get framing(): Framing {
    return this.#framing;
  }

  /** What came and is not yet dropped; a view that holds until the next {@linkcode more}. */
  get held(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /**
   * Says a message and waits for its reply.
   * @return the reply without its ending; a view that holds until the next {@linkcode more}
   * @throws {Error} when none came in time, or the server refused the message or went away
   */
  async say(message: Uint8Array): Promise<Uint8Array> {
    using _deadline = this.deadline();
    this.sent++;
    this.#most = message.length + MOST_ADDED;
    await this.send(this.#framing === "raw" ? message : join([message, LF]));
    for (;;) {
      const found = replyTo(message, this.held, this.#framing);
      if (found === null) {
        if (!await this.more()) throw this.over();
        continue;
      }
      if (isRefusal(found.reply)) throw new Refused(found.reply);
      this.#framing = found.framing;
      this.drop(found.length);
      this.answered++;
      return found.reply;
    }
  }

  /** Writes all of these bytes. */
  async send(bytes: Uint8Array): Promise<void> {
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await this.conn.write(bytes));
    } catch {
      throw this.#failure ?? new Error("the server has gone away");
    }
  }

  /** Waits until more has come; false at the end. All who wait share one read. */
  more(): Promise<boolean> {
    return this.#reading ??= this.#read().finally(() => this.#reading = undefined);
  }

  /** Forgets so many bytes of what is held. */
  drop(count: number): void {
    this.#start += count;
  }

  /** Rejects when the server goes away, and never resolves. */
  async gone(): Promise<never> {
    while (await this.more());
    throw this.over();
  }

  /** What is to be said of the server's end of the stream. */
  over(): Error {
    const [first, second] = this.held;
    if (first === TLS_ALERT && second === 3) {
      return new Error("the server speaks TLS: say --tls, and --ca FILE if it needs that");
    }
    return new Error(
      this.held.length > 0
        ? "the server closed the connection in the middle of a reply"
        : "the server has closed the connection",
    );
  }

  /** Says that no more messages will come. */
  async end(): Promise<void> {
    await this.conn.closeWrite().catch(() => {}); // the reading side tells what happened
  }

  /** Fails the conversation unless disposed of, or put off, in time. */
  deadline(waits = () => true): Deadline {
    const late = () => this.close(new Error(`no reply within ${this.timeout / 1000}s`));
    return new Deadline(this.timeout, late, waits);
  }

  /** Ends the conversation; whoever waits gets `failure`. */
  close(failure = new Error("the conversation is over")): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.conn.close();
  }

  async #read(): Promise<boolean> {
    const held = this.held;
    if (held.length > this.#most) throw new Error(`a reply of over ${this.#most} bytes`);
    if (held.length === 0) this.#start = this.#end = 0;
    else if (this.#bytes.length - this.#end < READ) {
      const larger = new Uint8Array(2 * held.length + READ);
      larger.set(held);
      this.#bytes = larger;
      this.#start = 0;
      this.#end = held.length;
    }
    try {
      const count = await this.conn.read(this.#bytes.subarray(this.#end));
      this.#end += count ?? 0;
      return count !== null;
    } catch {
      throw this.#failure ?? new Error("the server has reset the connection");
    }
  }
}

/** The server would not have a message, and said why. */
export class Refused extends Error {
  /** @param line what it said */
  constructor(line: Uint8Array) {
    super(`the server refused: ${new TextDecoder().decode(line.subarray(REFUSAL.length)).trim()}`);
  }
}

const REFUSAL = new TextEncoder().encode("error: ");

/** Whether a line is the server's refusal of a message: replies begin with `[`. */
export function isRefusal(line: Uint8Array): boolean {
  return REFUSAL.every((byte, at) => line[at] === byte);
}

/** Calls back when so long has passed since it was made or put off; disposing of it calls it off. */
export class Deadline implements Disposable {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #since = performance.now();

  /**
   * @param milliseconds 0 is never
   * @param waits whether anything is waited for; time without does not count
   */
  constructor(
    readonly milliseconds: number,
    readonly passed: () => void,
    readonly waits: () => boolean,
  ) {
    if (milliseconds > 0) this.#wait(milliseconds);
  }

  /** Starts it anew. */
  putOff(): void {
    this.#since = performance.now();
  }

  #wait(milliseconds: number): void {
    this.#timer = setTimeout(() => {
      if (!this.waits()) this.putOff();
      const left = this.#since + this.milliseconds - performance.now();
      if (left > 0) this.#wait(left);
      else this.passed();
    }, milliseconds);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
