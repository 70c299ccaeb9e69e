/** The server's side of one conversation: reads, answers, writes, until either side ends it. */

import type { Addr } from "../net/addr.ts";
import type { ServerConn } from "../net/listener.ts";
import { close } from "../net/close.ts";
import { isPending } from "../wait.ts";
import type { CustomFraming } from "../wire/custom_framing.ts";
import { Framer, type Framing } from "../wire/framing.ts";
import { type Message, MessageTooLong } from "../wire/message.ts";
import { errorReply } from "../wire/error_reply.ts";
import { catchRejection } from "./callbacks.ts";
import { Outbox } from "./outbox.ts";
import type { Client, Ending, Handler } from "./handler.ts";
import type { FairReads } from "./fair_reads.ts";

/** What all conversations of a server share. */
export interface ConversationConfig<State> {
  readonly handler: Handler<State>;
  readonly framing: Framing | CustomFraming;
  /** Ends each reply, except in raw framing; by default a reply ends as its message did. */
  readonly ending: Uint8Array | undefined;
  readonly maxMessage: number;
  readonly concurrency: number;
  /** How long an async handler may take, in ms; 0: for ever. */
  readonly handlerTimeout: number;
  readonly once: boolean;
  readonly turns: FairReads;
  /** Makes a conversation's outbox, where it is not the plain one. */
  readonly outbox:
    | ((conversation: Conversation<State>, onFailure: (error: unknown) => void) => Outbox)
    | undefined;
  /** A whole message came; it holds during the call. */
  readonly onMessage: ((message: Message, client: Client<State>) => void) | undefined;
  /** The client has said that no more will come. */
  readonly onEof: ((client: Client<State>) => void) | undefined;
  /** The handler failed; the conversation ends. */
  failed(error: unknown): void;
  /** It is over. */
  over(conversation: Conversation<State>, ending: Ending): void;
}

/**
 * Bytes without an LF, then nothing for this long, are a raw message; a client of a stopping
 * server from which nothing comes for this long has said all. In ms.
 */
const PAUSE = 50;
/** How long a stopping server goes on hearing a client that never pauses, in ms. */
export const LAST_MESSAGES_LIMIT = 500;
/** How long a client may take to leave once we have ended the conversation, in ms. */
const LINGER = 2000;
/** Replies are written whenever this many bytes are ready. */
const FLUSH = 65536;

const LF = Uint8Array.of(10);
/** What is read after the conversation has ended is thrown away: all share the place. */
const discarded = new Uint8Array(65536);

/** One conversation. {@linkcode run} settles when it is over, and never rejects. */
export class Conversation<State = unknown> implements Client<State> {
  /** Messages heard. */
  messages = 0;
  /** Bytes heard. */
  bytes = 0;
  /** What `onOpen` gave, from when it has. */
  state = undefined as State;

  readonly #framer: Framer;
  readonly #outbox: Outbox;
  #through: Ending | undefined; // why nothing more is heard or said
  #ending: Ending | undefined; // why the connection is closed
  #hangingUp: Promise<void> | undefined; // the client is being told that we are through
  #reading: Promise<number | null> | undefined; // while nothing else is waited for
  #stopAt = Infinity; // a stopping server hears nothing after this
  #linger: ReturnType<typeof setTimeout> | undefined;
  #silentSince = 0;
  #abort: AbortController | undefined; // once somebody has asked for the signal

  /** @param conn owned from here on: closed when the conversation is over */
  constructor(
    readonly conn: ServerConn,
    readonly addr: Addr,
    readonly isHealthCheck: boolean,
    readonly service: ConversationConfig<State>,
  ) {
    this.#framer = new Framer(service.framing, service.maxMessage);
    const onFailure = (error: unknown) => {
      this.#failed(error);
      this.#abort?.abort(); // no reply will be sent any more
    };
    this.#outbox = service.outbox?.(this, onFailure) ?? new Outbox(conn, service, onFailure);
  }

  /**
   * Reads, answers and writes until the client has left. Once all is said, what still comes is
   * read and thrown away: to close a connection with unread input would reset it, and with it
   * the replies on their way.
   *
   * The hot path is all here, down to the write: a call that waits costs as much as handling a
   * message. And an idle conversation is this function, waiting for a read: what it holds is
   * what one costs.
   */
  async run(): Promise<void> {
    const { conn, service: { turns, concurrency } } = this;
    const outbox = this.#outbox;
    let ending: Ending = "reset"; // if a read or a write fails
    let reading: Promise<number | null> | undefined;
    let count: number | null = 0;
    let more = false; // whole messages may be held
    let now = 0; // when what is answered was heard
    try {
      if (this.#through !== undefined) await this.#hangUp(); // `onOpen` has ended it
      while (more || count !== null) {
        let isQuiet = false;
        if (!more) {
          reading ??= conn.read(this.#through === undefined ? this.#framer.room() : discarded);
          isQuiet = this.#awaitsPause && await this.#pauses(reading);
          if (isQuiet) this.#framer.pause();
          else {
            this.#reading = reading;
            count = await reading;
            this.#reading = reading = undefined;
            if (count === null) this.service.onEof?.(this);
            else outbox.passedAt = Date.now();
            if (this.#hangingUp !== undefined) {
              if (count !== null) await turns.next(discarded.length);
              continue;
            }
            this.#took(count);
          }
          now = count === null || isQuiet ? Date.now() : outbox.passedAt;
        }
        more = this.#answer(now);
        const replies = outbox.take(turns.conversations);
        if (replies.length > 0) {
          while (outbox.writing !== undefined) await outbox.writing;
          const sent = await (outbox.writing = conn.write(replies));
          if (sent < replies.length) await (outbox.writing = outbox.send(replies.subarray(sent)));
          outbox.writing = undefined;
          outbox.isLively = true;
          now = outbox.passedAt = Date.now();
        }
        outbox.letGo();
        const turn = turns.next(replies.length);
        if (turn !== undefined) await turn;
        if (outbox.late >= concurrency) {
          // One read ahead, to hear of a client that vanishes.
          if (this.#abort !== undefined && count !== null && outbox.late < Infinity) {
            reading ??= conn.read(this.#framer.roomBeside());
            await Promise.race([reading, outbox.delivered()]);
          }
          while (outbox.late >= concurrency) await outbox.delivered();
          now = Date.now();
        }
        if (this.#ending !== undefined) break;
        if (isQuiet && this.#isStopping) this.#through ??= "stopped";
        if (this.#through === undefined) continue;
        more = false;
        if (count === null) break;
        reading ??= conn.read(discarded); // else its end would be told late
        await this.#hangUp();
      }
      await outbox.empty();
      ending = this.#through ?? "left";
    } catch {
      // The client is gone, or was cut.
    }
    clearTimeout(this.#linger);
    this.cut(ending);
    this.service.over(this, this.#ending ?? ending);
  }

  get idle(): number {
    return Math.max(0, Date.now() - this.#outbox.passedAt); // clocks are set back at times
  }

  get localAddr(): Addr | undefined {
    return this.conn.localAddr;
  }

  /** Asks it to end: what has arrived is answered first. */
  async stop(): Promise<void> {
    this.#stopAt = performance.now() + LAST_MESSAGES_LIMIT;
    this.#outbox.stop();
    const reading = this.#reading;
    if (reading === undefined || !await isPending(reading, PAUSE)) return; // run() sees to it
    this.#through ??= "stopped";
    await this.#hangUp();
  }

  end(): void {
    this.#through ??= "done";
    if (this.#reading !== undefined) void this.#hangUp();
  }

  write(part: string | Uint8Array): boolean {
    return this.#canWrite && this.#outbox.push(part);
  }

  async drained(): Promise<boolean> {
    await this.#outbox.drained();
    return this.#canWrite;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#ending !== undefined) this.#abort.abort();
    return this.#abort.signal;
  }

  /** Ends it at once; a second time does nothing. */
  cut(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    this.#abort?.abort();
    this.#outbox.giveUp();
    close(this.conn);
  }

  /**
   * How long no whole message came and no byte of a reply was taken, in ms; as exactly as one
   * who asks now and then can know it.
   * @param now the time as `performance.now()` tells it
   */
  silentFor(now: number): number {
    const outbox = this.#outbox;
    if (outbox.isLively || outbox.isDue) this.#silentSince = now;
    outbox.isLively = false;
    return now - this.#silentSince;
  }

  get #canWrite(): boolean {
    return this.#through === undefined && this.#ending === undefined;
  }

  get #isStopping(): boolean {
    return this.#stopAt !== Infinity;
  }

  get #awaitsPause(): boolean {
    return this.#through === undefined && (this.#framer.undecided || this.#isStopping);
  }

  /** Whether nothing comes for a while: then what is undecided is raw, and a stopping server has heard all. */
  async #pauses(reading: Promise<unknown>): Promise<boolean> {
    return await isPending(reading, PAUSE) || performance.now() > this.#stopAt;
  }

  /** @param count of the bytes that were read; null at the end */
  #took(count: number | null): void {
    if (count === null) return this.#framer.end();
    this.bytes += count;
    this.#framer.took(count);
  }

  /** Answers held messages until their replies are enough for one write; tells whether there may be more. */
  #answer(now: number): boolean {
    const { handler, onMessage, concurrency, once, ending } = this.service;
    const framer = this.#framer;
    const outbox = this.#outbox;
    framer.message.receivedAt = now;
    let plain = outbox.plain();
    let late = outbox.late;
    try {
      while (this.#through === undefined && late < concurrency) {
        const message = framer.next();
        if (message === null) return false;
        this.messages++;
        outbox.isLively = true;
        const told: unknown = onMessage?.(message, this);
        if (told !== undefined) catchRejection(told, (error) => this.#failed(error));
        const reply = plain ?? outbox.next(message);
        const done = handler(concurrency === 1 ? message : message.copy(), reply, this);
        if (once) this.#through ??= "done";
        const own = ending !== undefined && framer.framing !== "raw" ? ending : framer.ending;
        if (plain !== undefined && done === undefined) {
          plain.end(own);
          if (plain.length >= FLUSH) return true;
        } else {
          if (outbox.add(reply, own, done) >= FLUSH) return true;
          plain = undefined;
          late = outbox.late;
        }
      }
    } catch (error) {
      this.#failed(error);
    }
    return this.#through === undefined;
  }

  /** Nothing more is heard, and of the reply that failed nothing is sent. */
  #failed(error: unknown): void {
    const outbox = this.#outbox;
    outbox.undo();
    if (error instanceof MessageTooLong) {
      this.#through ??= "message too long";
      const reply = outbox.next();
      reply.write(errorReply(error.message));
      outbox.add(reply, this.service.ending ?? LF);
    } else {
      this.#through ??= "failed";
      this.service.failed(error);
    }
    if (this.#reading !== undefined) void this.#hangUp();
  }

  /** Tells the client that no more will come from us; one that does not leave then is cut. */
  #hangUp(): Promise<void> {
    return this.#hangingUp ??= this.#closeWrite();
  }

  async #closeWrite(): Promise<void> {
    const why = this.#through as Ending;
    await this.#outbox.empty();
    // A stopping server has one deadline for all.
    if (why !== "stopped") this.#linger = setTimeout(() => this.cut(why), LINGER);
    await this.conn.closeWrite().catch(() => {});
  }
}
