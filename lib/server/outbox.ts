/** Output of one conversation: replies in the order of their messages, and pushes between them. */

import type { ServerConn } from "../net/conn.ts";
import { concat, type CustomFraming, type Framing } from "../wire/framing.ts";
import { bytesOf } from "../wire/message.ts";
import { timeLimit } from "../wait.ts";
import { type Failure, LateReply, ReplyBuffer } from "./reply.ts";

/**
 * With more conversations than this, replies shorter than {@linkcode COPIED} bytes are copied before
 * they are written: thousands of pending writes would each hold a buffer. With fewer, they are
 * written straight from the pooled buffer: copying would make each message 6 % slower.
 */
const CROWD = 1024;
const COPIED = 512;
/** A push is refused while at least this number of bytes of earlier ones is unsent. */
const MAX_PUSHED = 65536;
/** The limits of unsent replies, by number and in bytes. Once as many are unsent, no further message is read. */
const MAX_REPLIES = 1024;
const MAX_REPLY_BYTES = 1 << 20;

/** A connection as a conversation writes to it. */
export interface OutboxConn extends ServerConn {
  /**
   * Writes some of these bytes, at least one; returns how many.
   * @param bytes with `separate`, none at all for a message without a reply
   * @param tag that of the {@linkcode LateReply} that they are; undefined for a push, an error reply,
   *   or several replies
   */
  write(bytes: Uint8Array, tag?: unknown): Promise<number>;
  /** True while the connection delays a write on purpose: the client is not idle then. */
  readonly isPacing?: boolean;
  /** Waits for as long as the connection wants, between the last write and its end. */
  beforeEnd?(): Promise<void>;
  /** Ends the delays that a stopping server does not wait for. */
  skipDelays?(): void;
}

/** An entry of the queue: the bytes of a reply, with its tag, or of a push. */
type Queued = readonly [bytes: Uint8Array, kind: "reply" | "push", tag?: unknown];

/**
 * The one writer of a conversation. All output passes through one queue; the read loop may write
 * directly only while that is empty. A reply enters the queue once it is ready and all replies
 * to earlier messages have entered. A push enters at once, after the replies finished before it.
 */
export class Outbox {
  /** The write in progress, during which no other may begin. */
  writing: Promise<unknown> | undefined;
  /** True if bytes were sent, or a message received, since it was last set to false. */
  wasActive = true;
  /** The last time at which bytes passed in either direction, in ms since 1970. */
  activeAt: number = Date.now();

  /** The framing of replies, if it is a custom one. */
  readonly framing: CustomFraming | undefined;
  #ready: ReplyBuffer | undefined; // replies that the read loop will write
  #taken: ReplyBuffer | undefined; // those that it is writing
  readonly #late: LateReply[] = []; // replies that wait for an earlier one or their handler, oldest first
  readonly #queue: Queued[] = []; // unsent, including those being written
  #queuedReplies = 0;
  readonly #unsent = { reply: 0, push: 0 }; // bytes, also of late replies
  #change: PromiseWithResolvers<void> | undefined;
  /** True once all unsent output was given up: the connection is closed. */
  isOver = false;

  constructor(
    readonly conn: OutboxConn,
    readonly config: Readonly<
      { framing: Framing | CustomFraming; handlerTimeout: number; separate: boolean }
    >,
    readonly owner: { failed(error: unknown): void; cut(ending: "reset"): void },
  ) {
    this.framing = typeof config.framing === "string" ? undefined : config.framing;
  }

  /**
   * The number of replies that count against `concurrency`: all late replies from the first unfinished
   * handler onwards, plus the queued ones. Separate ones do not count while queued, since the
   * connection may pace them. `Infinity` if too many, or too large ones, are unsent.
   */
  get outstanding(): number {
    const late = this.#late;
    const count = late.length + this.#queuedReplies;
    if (count === 0) return 0;
    if (count >= MAX_REPLIES || this.#unsent.reply >= MAX_REPLY_BYTES) return Infinity;
    const first = late.findIndex(({ result }) => result === undefined);
    const queued = this.config.separate ? 0 : this.#queuedReplies;
    return queued + (first < 0 ? 0 : late.length - first);
  }

  /** True if the client waits for the server, rather than the server for the client. */
  get isClientWaiting(): boolean {
    return (this.#late.length > 0 && this.writing === undefined) || this.conn.isPacing === true;
  }

  /** True if the read loop may write directly. */
  get isIdle(): boolean {
    return this.writing === undefined && this.#queue.length === 0;
  }

  /**
   * Returns the buffer to which replies are written one after the other, for the hot path.
   * Undefined if earlier replies are late, or replies are separate: call {@linkcode next} instead.
   */
  plain(): ReplyBuffer | undefined {
    return this.#late.length === 0 && !this.config.separate ? this.#open() : undefined;
  }

  /**
   * Returns the place of the next reply.
   * @param ending follows the reply, unless a custom framing frames it
   */
  next(ending: Uint8Array): ReplyBuffer | LateReply {
    return this.plain() ?? this.#later(ReplyBuffer.take(), ending);
  }

  /**
   * Adds a reply whose handler has returned. A late one is kept until it is ready, and all earlier
   * ones are too.
   * @param done settles when the handler is done, if it is async
   */
  add(reply: ReplyBuffer | LateReply, ending: Uint8Array, done?: Promise<void> | void): void {
    if (reply instanceof ReplyBuffer) {
      if (done === undefined) return reply.end(ending, this.framing);
      this.queue(reply.cut()); // those before it
      this.#ready = undefined;
    }
    const late = reply instanceof LateReply ? reply : this.#later(reply, ending);
    this.#late.push(late);
    if (done === undefined) return this.#handled(late);
    const { handlerTimeout: limit } = this.config;
    const fail = (error: unknown) => this.#handled(late, { error });
    if (limit > 0) late.cancel = timeLimit(limit, () => fail(new Error(handlerTooSlow(limit))));
    Promise.resolve(done).then(() => this.#handled(late), fail);
  }

  /** Discards an unfinished reply. */
  undo(): void {
    this.#ready?.undo();
  }

  /**
   * Returns the finished replies, a view that is valid until {@linkcode release}.
   * @param conversations the number of conversations on the server
   */
  take(conversations: number): Uint8Array {
    const { bytes, length } = this.#taken = this.#open();
    this.#ready = undefined;
    if (length >= COPIED || conversations <= CROWD) return bytes.subarray(0, length);
    const replies = bytes.slice(0, length);
    this.release();
    return replies;
  }

  /** Gives the buffer of the written replies back, so that an idle conversation holds no buffer. */
  release(): void {
    if (this.#taken !== undefined) ReplyBuffer.give(this.#taken);
    this.#taken = undefined;
  }

  /** Queues finished replies. */
  queue(replies: Uint8Array): void {
    this.#unsent.reply += replies.length;
    this.#enqueue([replies, "reply"]);
  }

  /** Queues bytes that answer no message; returns false, and queues nothing, if too many are unsent. */
  push(part: string | Uint8Array): boolean {
    if (this.#unsent.push >= MAX_PUSHED) return false;
    const bytes = bytesOf(part);
    if (this.#ready !== undefined) this.queue(this.#ready.cut());
    this.#unsent.push += bytes.length;
    this.#enqueue([bytes, "push"]);
    return true;
  }

  /** Resolves once all pushes are sent, or the conversation is cut. */
  async drained(): Promise<void> {
    while (this.#unsent.push > 0 && !this.isOver) await this.changed();
  }

  /** Resolves once all output is sent, so that the connection may end, or the conversation is cut. */
  async empty(): Promise<void> {
    while (this.#late.length + this.#queue.length > 0 && !this.isOver) await this.changed();
    if (!this.isOver) await this.conn.beforeEnd?.();
  }

  /** Resolves at the next change: output became ready, was sent or given up, or {@linkcode wake}. */
  changed(): Promise<void> {
    return (this.#change ??= Promise.withResolvers()).promise;
  }

  /** Wakes everything that waits for a change. */
  wake(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }

  /** Gives up all output. */
  giveUp(): void {
    this.isOver = true;
    this.#forget();
    this.wake();
  }

  /** Writes all of these bytes. The caller keeps the promise in {@linkcode writing}. */
  async send(bytes: Uint8Array, tag?: unknown): Promise<void> {
    let left = bytes;
    do {
      const count = await this.conn.write(left, tag);
      this.wasActive = true;
      this.activeAt = Date.now();
      left = left.subarray(count);
    } while (left.length > 0);
  }

  #open(): ReplyBuffer {
    return this.#ready ??= ReplyBuffer.take();
  }

  #later(reply: ReplyBuffer, ending: Uint8Array): LateReply {
    return new LateReply(reply, () => reply.end(ending, this.framing));
  }

  /** Finishes a reply whose handler is done, or has failed. */
  #handled(reply: LateReply, failure?: Failure): void {
    this.#unsent.reply += reply.handled(failure);
    void reply.until?.then(() => {
      reply.until = undefined;
      this.#queueLate();
    });
    this.#queueLate();
  }

  /** Queues the late replies that are ready, up to the first that is not. */
  #queueLate(): void {
    for (let first; (first = this.#late[0])?.result && first.until === undefined;) {
      const { result, tag } = first;
      this.wasActive = true;
      this.#late.shift();
      if (result instanceof Uint8Array) this.#enqueue([result, "reply", tag]);
      else {
        this.#forget();
        this.owner.failed(result?.error);
      }
    }
    this.wake(); // another message may be handled, even if nothing was queued
  }

  /** Gives up the late replies. */
  #forget(): void {
    for (const reply of this.#late.splice(0)) reply.handled({ error: undefined });
  }

  #enqueue(output: Queued): void {
    const [bytes, kind] = output;
    const isEmpty = bytes.length === 0 && (kind === "push" || !this.config.separate);
    if (isEmpty || this.isOver) return;
    if (kind === "reply") this.#queuedReplies++;
    if (this.#queue.push(output) === 1) void this.#drain();
  }

  /** Writes the queue until it is empty. */
  async #drain(): Promise<void> {
    const queue = this.#queue;
    try {
      await undefined; // the output of one turn is written by one call
      while (queue.length > 0 && !this.isOver) {
        while (this.writing !== undefined) await this.writing;
        const batch = queue.slice(0, this.config.separate ? 1 : queue.length);
        const tag = batch.length === 1 ? batch[0]?.[2] : undefined;
        await (this.writing = this.send(concat(batch.map(([bytes]) => bytes)), tag));
        this.writing = undefined;
        for (const [{ length }, kind] of queue.splice(0, batch.length)) {
          this.#unsent[kind] -= length;
          if (kind === "reply") this.#queuedReplies--;
        }
        this.wake();
      }
    } catch {
      this.owner.cut("reset");
    }
  }
}

/** Explains that a handler exceeded its time limit, in ms. */
export function handlerTooSlow(timeout: number): string {
  return `the handler took longer than ${timeout / 1000}s`;
}
