/** What goes out in one conversation: replies in the order of their messages, and what is pushed between them. */

import type { Conn } from "../net/listener.ts";
import { concat } from "../wire/framing.ts";
import type { CustomFraming } from "../wire/custom_framing.ts";
import type { Message } from "../wire/message.ts";
import { ReplyBuffer } from "./reply.ts";

/**
 * In a crowd of more conversations than this, replies shorter than {@linkcode COPIED} bytes are
 * copied to be written, for thousands of writes may be under way at once and each would hold a
 * buffer. With fewer they keep their buffer: a new one costs 6 % of a message.
 */
const CROWD = 1024;
const COPIED = 512;
/** The most that may wait to be pushed, in bytes. */
const MOST_PUSHED = 65536;

const encoder = new TextEncoder();

/** What an outbox must know of its service. */
export interface Terms {
  readonly framing: string | CustomFraming;
  readonly handlerTimeout: number;
}

/** The one writer of a conversation. Replies that are ready, late replies and pushes never mix. */
export class Outbox {
  /** The write that is under way. */
  writing: Promise<unknown> | undefined;
  /** Bytes were taken, or a message was heard, since this was last set to false. */
  isLively = true;
  /** When a byte last passed, either way, in ms since 1970. */
  passedAt: number = Date.now();

  readonly #framing: CustomFraming | undefined;
  #ready: ReplyBuffer | undefined; // replies that can be written at once
  #late: LateReply[] = []; // a reply that is not ready, and those after it
  #delivering: Promise<void> | undefined; // of late replies
  #onDelivered: (() => void) | undefined;
  #pushes: Uint8Array[] = [];
  #pushedBytes = 0; // not yet taken
  #pushing: Promise<void> | undefined;

  /** @param onFailure is told why a late reply failed; no reply comes after it */
  constructor(
    readonly conn: Pick<Conn, "write">,
    readonly terms: Terms,
    readonly onFailure: (error: unknown) => void,
  ) {
    this.#framing = typeof terms.framing === "string" ? undefined : terms.framing;
  }

  /** How many replies are late: one that is not ready, and those after it. */
  get late(): number {
    return this.#late.length;
  }

  /** Whether the client waits for us, and not we for it. */
  get isDue(): boolean {
    return this.#late.length > 0 && this.writing === undefined;
  }

  /**
   * Where replies are written one after the other and ended, as long as none is late: the short
   * way, for the hot path. Undefined where a reply needs more than that.
   */
  plain(): ReplyBuffer | undefined {
    const isFramed = typeof this.terms.framing === "object";
    return isFramed || this.#late.length > 0 ? undefined : this.#open();
  }

  /**
   * Where the next reply is to be written.
   * @param _message that it replies to; a refusal replies to none
   */
  next(_message?: Message): ReplyBuffer {
    return this.#late.length > 0 ? new ReplyBuffer() : this.#open();
  }

  /**
   * Adds a reply that was written, or will be once `done` settles.
   * @param ending ends it on the wire, unless a framing of one's own does
   * @return how many bytes are ready
   */
  add(reply: ReplyBuffer, ending: Uint8Array, done?: Promise<void> | void): number {
    if (done === undefined && reply === this.#ready) {
      this.end(reply, ending);
      return reply.length;
    }
    const late = new LateReply(reply, done, () => this.end(reply, ending));
    if (this.terms.handlerTimeout > 0 && done !== undefined) late.limit(this.terms.handlerTimeout);
    this.#late.push(late);
    if (reply === this.#ready) this.#ready = reply.split(); // those before it are sent meanwhile
    this.#delivering ??= this.#deliver();
    return this.#open().length;
  }

  /** Takes back a reply that was begun. */
  undo(): void {
    this.#ready?.undo();
  }

  /**
   * The replies that are ready: a view that holds until {@linkcode letGo}.
   * @param conversations how many there are
   */
  take(conversations: number): Uint8Array {
    const ready = this.#open();
    if (ready.length >= COPIED || conversations <= CROWD) {
      return ready.bytes.subarray(0, ready.length);
    }
    const replies = ready.bytes.slice(0, ready.length);
    this.letGo();
    return replies;
  }

  /** The replies are written: a conversation has a buffer only while it answers. */
  letGo(): void {
    if (this.#ready !== undefined) ReplyBuffer.give(this.#ready);
    this.#ready = undefined;
  }

  /** Settles when there are fewer late replies than now. */
  delivered(): Promise<void> {
    return new Promise((resolve) => this.#onDelivered = resolve);
  }

  /** Sends what is no reply, between replies; false while too much of that waits. */
  push(part: string | Uint8Array): boolean {
    if (this.#pushedBytes >= MOST_PUSHED) return false;
    const bytes = typeof part === "string" ? encoder.encode(part) : part.slice();
    this.#pushes.push(bytes);
    this.#pushedBytes += bytes.length;
    this.#pushing ??= this.#push();
    return true;
  }

  /** Settles when all pushes are sent, or given up. */
  async drained(): Promise<void> {
    while (this.#pushing !== undefined) await this.#pushing;
  }

  /** Settles when all late replies and pushes are sent, or given up. */
  async empty(): Promise<void> {
    await this.#delivering;
    await this.#pushing;
  }

  /** The server stops; what is under way goes on. */
  stop(): void {}

  /** Waits for no late reply any more. */
  giveUp(): void {
    this.#forget();
    this.wake();
  }

  /** Writes all of these bytes. To be called by the one who holds {@linkcode writing}. */
  async send(bytes: Uint8Array): Promise<void> {
    for (let left = bytes; left.length > 0;) {
      const count = await this.conn.write(left);
      this.isLively = true;
      this.passedAt = Date.now();
      left = left.subarray(count);
    }
  }

  /** Wakes the one who waits until there are fewer late replies. */
  protected wake(): void {
    this.#onDelivered?.();
  }

  /** Ends a reply on the wire, if there is one. */
  protected end(reply: ReplyBuffer, ending: Uint8Array): void {
    if (this.#framing === undefined) reply.end(ending);
    else reply.endIn(this.#framing);
  }

  #forget(): void {
    for (const reply of this.#late.splice(0)) reply.giveUp();
  }

  #open(): ReplyBuffer {
    return this.#ready ??= ReplyBuffer.take();
  }

  async #sendInTurn(bytes: Uint8Array): Promise<void> {
    while (this.writing !== undefined) await this.writing;
    await (this.writing = this.send(bytes));
    this.writing = undefined;
  }

  async #deliver(): Promise<void> {
    try {
      for (let first; (first = this.#late[0]) !== undefined;) {
        await first.settled;
        const replies = this.#collect();
        await this.#sendInTurn(replies.bytes.subarray(0, replies.length));
        ReplyBuffer.give(replies);
        this.wake();
      }
    } catch {
      // The client is gone: the one who reads from it finds out.
    }
    this.#forget();
    this.#delivering = undefined;
    this.wake();
  }

  /** The late replies that are ready now, as one. */
  #collect(): ReplyBuffer {
    const replies = ReplyBuffer.take();
    for (let first; (first = this.#late[0])?.isReady;) {
      this.isLively = true;
      if (first.failure === undefined) {
        this.#late.shift();
        replies.add(first.reply);
      } else {
        this.#forget();
        this.onFailure(first.failure.error);
      }
    }
    return replies;
  }

  async #push(): Promise<void> {
    try {
      while (this.#pushes.length > 0) {
        while (this.writing !== undefined) await this.writing;
        const bytes = concat(this.#pushes.splice(0));
        await this.#sendInTurn(bytes);
        this.#pushedBytes -= bytes.length;
      }
    } catch {
      // The client is gone: the one who reads from it finds out.
    }
    this.#pushing = undefined;
  }
}

/** Why a reply fails that is not ready in time, in ms. */
export function whyLate(timeout: number): string {
  return `the handler took longer than ${timeout / 1000}s`;
}

/** A reply that is not ready, or comes after one that is not. */
class LateReply {
  isReady = false;
  failure: { readonly error: unknown } | undefined;
  readonly #settled = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param end ends the reply once it is written */
  constructor(readonly reply: ReplyBuffer, done: Promise<void> | void, end: () => void) {
    void this.#settle(done, end);
  }

  /** Fails it unless it is ready in time, in ms. */
  limit(timeout: number): void {
    const error = new Error(whyLate(timeout));
    this.#timer = setTimeout(() => this.#finish({ error }), timeout);
  }

  /** Resolves once it is ready, or given up. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** Nobody waits for it any more. */
  giveUp(): void {
    clearTimeout(this.#timer);
    this.#settled.resolve();
  }

  async #settle(done: Promise<void> | void, end: () => void): Promise<void> {
    try {
      await done;
      if (!this.isReady) end();
      this.#finish(undefined);
    } catch (error) {
      this.#finish({ error });
    }
  }

  #finish(failure: { error: unknown } | undefined): void {
    if (this.isReady) return; // too late
    this.isReady = true;
    this.failure = failure;
    this.giveUp();
  }
}
