/** The client's side of a conversation: says a message, gets its reply, in order. */

import { connect, type Connection, type ConnectOptions } from "../net/address.ts";
import { type Framing, join, replyTo } from "../wire/framing.ts";
import { checkTimes } from "../checks.ts";
import { onAbort } from "../wait.ts";

/** A reply may be longer than its message by so much, in bytes. */
const MOST_ADDED = 1 << 20;
/** The room for a read, in bytes: as much as is often needed. */
const LEAST_READ = 4096;
const MOST_READ = 262144;

const encoder = new TextEncoder();
const LF = new Uint8Array([10]);
/** What TLS answers to plain text begins so, and with its version, 3. */
const TLS_ALERT = 21;

/** How to reach a server, and talk to it. */
export interface PeerOptions extends ConnectOptions {
  /** Its address or name. @default {"127.0.0.1"} */
  hostname?: string;
  /** Its port. @default {6969} */
  port?: number;
  /** Its Unix socket, instead. */
  path?: string;
  /** How a message's end is told. @default {"auto"} */
  framing?: Framing;
  /** How long it may take to connect, and then each reply, in ms. @default {0} for ever */
  timeout?: number;
}

/**
 * The server at the other end: one that says a line for each message, and nothing else, for
 * whatever comes is taken for the next reply. Its errors' messages are sentences.
 */
export class Peer implements Disposable {
  /** Messages sent. */
  sent = 0;
  /** Messages that got their reply. */
  answered = 0;

  #framing: Framing;
  #bytes = new Uint8Array(LEAST_READ);
  #room = LEAST_READ; // for the next read
  #start = 0;
  #end = 0;
  #most = MOST_ADDED;
  #sending = Promise.resolve();
  #hearing = Promise.resolve(); // the reply before the next one
  #reading: Promise<boolean> | undefined;
  #failure: Error | undefined;
  #letGo = () => {}; // of the signal

  /**
   * Talks on a connection.
   * @param conn owned from here on
   * @param timeout for each reply, in ms; 0 is for ever
   */
  constructor(readonly conn: Connection, framing: Framing, readonly timeout: number) {
    this.#framing = framing;
  }

  /**
   * Connects to a server.
   *
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Peer, serve } from "@readback/readback";
   *
   * await using server = serve((message, reply) => reply.write(message));
   * const { port } = server.addr as Deno.NetAddr;
   * using peer = await Peer.connect({ port, framing: "line", timeout: 1000 });
   * const replies = await Promise.all(["one", "two"].map((text) => peer.say(text)));
   * assertEquals(replies.map((reply) => new TextDecoder().decode(reply)), ["one", "two"]);
   * ```
   *
   * @throws {Error} whose message says why not
   */
  static async connect(options: PeerOptions = {}): Promise<Peer> {
    const { hostname = "127.0.0.1", port = 6969, path, signal } = options;
    checkTimes(options, ["timeout", "wait"]);
    const conn = await connect({ host: hostname, port, unix: path }, options);
    const peer = new Peer(conn, options.framing ?? "auto", options.timeout ?? 0);
    const stop = () => peer.close(new Error("the conversation was called off"));
    peer.#letGo = onAbort(signal, stop);
    return peer;
  }

  /** What the server speaks; `auto` until its first reply. */
  get framing(): Framing {
    return this.#framing;
  }

  /** What came and is not yet dropped; a view that holds until the next {@linkcode more}. @internal */
  get held(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /**
   * Says a message and waits for its reply. The next may be said at once: they are
   * sent without waiting where the server is known to speak lines.
   * @return the reply, without its ending
   * @throws {Refused} when the reply begins with `error: `; the next message may be said
   * @throws {Error} when none came in time, or the server went away
   */
  say(message: string | Uint8Array): Promise<Uint8Array> {
    const bytes = typeof message === "string" ? encoder.encode(message) : message.slice();
    const reply = this.#say(bytes, this.#hearing);
    this.#hearing = reply.then(() => {}, () => {});
    return reply;
  }

  async #say(message: Uint8Array, before: Promise<void>): Promise<Uint8Array> {
    if (this.#framing !== "line") await before;
    if (this.#framing === "raw" && message.length === 0) {
      throw new Error("a server that speaks raw can't be told an empty message");
    }
    this.sent++;
    const sending = this.#sending.then(() =>
      this.send(this.#framing === "raw" ? message : join([message, LF]))
    );
    this.#sending = sending.catch(() => {});
    await before;
    using _deadline = this.deadline();
    await sending;
    return await this.#hear(message);
  }

  async #hear(message: Uint8Array): Promise<Uint8Array> {
    this.#most = message.length + MOST_ADDED;
    for (;;) {
      const found = replyTo(message, this.held, this.#framing);
      if (found === null) {
        if (!await this.more()) throw this.over();
        continue;
      }
      this.#framing = found.framing;
      this.drop(found.length);
      if (isRefusal(found.reply)) throw new Refused(found.reply);
      this.answered++;
      return found.reply.slice();
    }
  }

  /** Writes all of these bytes. @internal */
  async send(bytes: Uint8Array): Promise<void> {
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await this.conn.write(bytes));
    } catch {
      throw this.#failure ?? new Error("the server has gone away");
    }
  }

  /** Waits until more has come; false at the end. All who wait share one read. @internal */
  more(): Promise<boolean> {
    return this.#reading ??= this.#read().finally(() => this.#reading = undefined);
  }

  /** Forgets so many bytes of what is held. @internal */
  drop(count: number): void {
    this.#start += count;
  }

  /** Rejects when the server goes away, and never resolves. */
  async gone(): Promise<never> {
    while (await this.more());
    throw this.over();
  }

  /** What is to be said of the server's end of the stream. @internal */
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

  /** Says that no more messages will come. @internal */
  async end(): Promise<void> {
    await this.conn.closeWrite().catch(() => {}); // the reading side tells what happened
  }

  /** Fails the conversation unless disposed of, or put off, in time. @internal */
  deadline(waits = () => true): Disposable & { putOff(): void } {
    const late = () => this.close(new Error(`no reply within ${this.timeout / 1000}s`));
    return new Deadline(this.timeout, late, waits);
  }

  /** Ends the conversation; whoever waits gets `failure`. */
  close(failure: Error = new Error("the conversation is over")): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.#letGo();
    this.conn.close();
  }

  /** Ends the conversation. */
  [Symbol.dispose](): void {
    this.close();
  }

  async #read(): Promise<boolean> {
    const held = this.held;
    if (held.length > this.#most) throw new Error(`a reply of over ${this.#most} bytes`);
    if (held.length === 0) this.#start = this.#end = 0;
    if (this.#bytes.length - this.#end < this.#room) {
      const larger = new Uint8Array(2 * held.length + this.#room);
      larger.set(held);
      this.#bytes = larger;
      this.#start = 0;
      this.#end = held.length;
    }
    const room = this.#bytes.subarray(this.#end);
    try {
      const count = await this.conn.read(room);
      this.#end += count ?? 0;
      if (count === room.length) this.#room = Math.min(2 * this.#room, MOST_READ);
      return count !== null;
    } catch {
      throw this.#failure ?? new Error("the server has reset the connection");
    }
  }
}

/**
 * The server would not have a message, and said why.
 *
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { Peer, Refused, serve } from "@readback/readback";
 *
 * await using server = serve((_, reply) => reply.write("error: not today"));
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * await assertRejects(() => peer.say("hello"), Refused, "the server refused: not today");
 * ```
 */
export class Refused extends Error {
  /**
   * Makes the error.
   * @param line what it said
   */
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
