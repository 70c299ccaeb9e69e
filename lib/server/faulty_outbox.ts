/** What goes out of a server that misbehaves: an outbox in which each reply meets its faults. */

import { concat } from "../wire/framing.ts";
import type { Message } from "../wire/message.ts";
import {
  durationOf,
  type Fault,
  type FaultPlan,
  type Faults,
  type FaultSupport,
  find,
  NO_FAULTS,
} from "../faults/faults.ts";
import type { Conn } from "../net/listener.ts";
import { inTime, Sleeps } from "../wait.ts";
import { applyReplyFaults } from "../faults/reply_faults.ts";
import { Outbox, type Terms, whyLate } from "./outbox.ts";
import { ReplyBuffer } from "./reply.ts";

/**
 * The most replies of one conversation that may be on their way, delayed or slow, and the most
 * bytes in them: beyond that no message is heard until some are sent.
 */
const MOST_REPLIES = 1024;
const MOST_BYTES = 1 << 20;
/** How long a stall holds the connection of a client that has said that no more will come, in ms. */
const STALL = 60_000;
/**
 * Before a reset, each piece of this many bytes has this long to be taken, in ms: a reset throws away
 * what the client's system has no room for yet, and on some systems what it has not read.
 */
const PIECE = 65536;
const BEFORE_RESET = 50;
/** With a rate, bytes are sent this often, in ms. */
const TICK = 50;

const NONE = new Uint8Array(0);

/** The conversation, as its outbox sees it. */
export interface Host {
  readonly conn: Conn;
  readonly service: Terms;
  /** How many messages were heard. */
  readonly messages: number;
  /** No more comes from us once the replies are sent. */
  end(): void;
  /** Closes the connection at once. */
  cut(ending: "done"): void;
}

/** What a conversation's faults come from. */
export interface Source {
  readonly faults: Faults;
  /** The number of the conversation, from 1. */
  readonly conversation: number;
  readonly ways: FaultSupport;
  /** A fault happens, to a message or, without its number, to the conversation. */
  tell(fault: string, message?: number): void;
}

/** The outbox of a conversation with faults. All is sent in the order of the messages. */
export class FaultyOutbox extends Outbox {
  #state: "open" | "stalled" | "over" = "open"; // in the last two, nothing more is sent
  #isEnding = false; // one of the replies will end it: what happens to those after it is not told
  #isDeaf = false;
  #hold: Fault & { name: "hold" } | undefined;
  #holding: Promise<void> | undefined;
  readonly #stop = Promise.withResolvers<void>();
  #isStopping = false;
  readonly #end = Promise.withResolvers<void>(); // of the connection

  #lot: FaultPlan | undefined; // of the message that is handled; a refusal has none
  #last: Promise<void> = Promise.resolve(); // settles when all replies so far are sent or given up
  #handled = 0; // replies of which the handler is not done
  #replies = 0; // on their way
  #bytes = 0; // in them
  #isBlocked = false; // the client does not take what is sent
  #mayBeSentAt = 0; // the next bytes, with a rate
  readonly #sleeps = new Sleeps();

  /** @param onFailure is told why a reply failed; none comes after it */
  constructor(
    readonly host: Host,
    onFailure: (error: unknown) => void,
    readonly source: Source,
  ) {
    super(host.conn, host.service, onFailure);
    this.#hold = find(source.faults.list, "hold");
  }

  override get late(): number {
    if (this.#state === "over") return 0;
    const isFull = this.#replies >= MOST_REPLIES || this.#bytes >= MOST_BYTES;
    return this.#isDeaf || isFull ? Infinity : this.#handled;
  }

  override get isDue(): boolean {
    return this.#replies > 0 && this.#state === "open" && !this.#isBlocked;
  }

  override plain(): undefined {}

  override next(message?: Message): ReplyBuffer {
    const { faults, conversation, ways } = this.source;
    this.#lot = message && faults.lot(conversation, this.host.messages, message.bytes, ways);
    return ReplyBuffer.take();
  }

  override add(reply: ReplyBuffer, ending: Uint8Array, done?: Promise<void> | void): number {
    const lot = this.#isEnding ? NO_FAULTS : this.#lot ?? NO_FAULTS;
    this.#isEnding ||= endOf(lot) !== undefined;
    this.#hold = find(lot.faults, "hold") ?? this.#hold;
    const deaf = find(lot.faults, "deaf");
    if (deaf !== undefined && !this.#isStopping) {
      this.#tell(deaf, lot);
      this.#isDeaf = true;
    }
    this.#replies++;
    this.#last = this.#send(this.#last, this.#make(reply, ending, lot, done), lot);
    return 0;
  }

  override take(): Uint8Array {
    return NONE; // all is sent from here
  }

  override push(part: string | Uint8Array): boolean {
    return this.#state === "open" && super.push(part);
  }

  override async empty(): Promise<void> {
    await this.#last;
    await super.empty();
    await (this.#holding ??= this.#holdBack());
  }

  override stop(): void {
    this.#isStopping = true;
    this.#isDeaf = false;
    this.#stop.resolve();
    this.wake();
  }

  override giveUp(): void {
    this.#state = "over";
    this.#end.resolve();
    this.#sleeps.end();
    super.giveUp();
  }

  override async send(bytes: Uint8Array): Promise<void> {
    this.#isBlocked = true;
    await super.send(bytes);
    this.#isBlocked = false;
  }

  /** The reply as it is to be sent, once it is written and its time has come. */
  async #make(
    reply: ReplyBuffer,
    ending: Uint8Array,
    lot: FaultPlan,
    done: Promise<void> | void,
  ): Promise<Uint8Array> {
    if (done !== undefined) {
      this.#handled++;
      try {
        await this.#inTime(done);
      } finally {
        this.#handled--;
        this.wake();
      }
    }
    if (this.#state === "over") return NONE; // and the handler may still write to it
    const seal = (bytes: Uint8Array) => this.#seal(bytes, ending);
    const written = reply.isBegun ? reply.bytes.slice(0, reply.length) : undefined;
    ReplyBuffer.give(reply);
    const bytes = concat(applyReplyFaults(written, seal, lot, (fault) => this.#tell(fault, lot)));
    this.#bytes += bytes.length;
    const delay = find(lot.faults, "delay");
    if (delay !== undefined && bytes.length > 0) {
      this.#tell(delay, lot);
      await this.#sleeps.sleep(durationOf(delay, lot));
    }
    return bytes;
  }

  async #inTime(done: Promise<void>): Promise<void> {
    const { handlerTimeout } = this.terms;
    if (handlerTimeout === 0) await Promise.race([done, this.#end.promise]);
    else await inTime(done, handlerTimeout, whyLate(handlerTimeout), this.#end.promise);
  }

  /** A reply as it is on the wire. */
  #seal(bytes: Uint8Array, ending: Uint8Array): Uint8Array {
    const reply = ReplyBuffer.take();
    reply.write(bytes);
    this.end(reply, ending);
    const sealed = reply.bytes.slice(0, reply.length);
    ReplyBuffer.give(reply);
    return sealed;
  }

  /** Never rejects. */
  async #send(before: Promise<void>, made: Promise<Uint8Array>, lot: FaultPlan): Promise<void> {
    let fail = (): void => {};
    const bytes = await made.catch((error) => {
      fail = () => {
        this.#state = "over";
        this.onFailure(error);
      };
      return NONE;
    });
    await before;
    try {
      fail();
      if (this.#state === "open") await this.#deliver(bytes, lot);
    } catch {
      this.#state = "over"; // The client is gone: the one who reads from it finds out.
    }
    this.#replies--;
    this.#bytes -= bytes.length;
    this.wake();
  }

  async #deliver(bytes: Uint8Array, lot: FaultPlan): Promise<void> {
    const end = endOf(lot);
    const sent = end === undefined ? bytes : bytes.subarray(0, end.bytes);
    if (sent.length > 0) {
      while (this.writing !== undefined) await this.writing;
      await (this.writing = this.#pace(sent, lot));
      this.writing = undefined;
    }
    if (end?.name === "reset") {
      await this.#sleeps.sleep(Math.ceil(sent.length / PIECE) * BEFORE_RESET);
    }
    if (end === undefined || this.#state !== "open") return;
    this.#tell(end, lot);
    this.#state = end.name === "stall" ? "stalled" : "over";
    if (end.name === "cut") this.host.end();
    else if (end.name === "reset") {
      this.host.conn.reset?.();
      this.host.cut("done");
    }
  }

  /** Sends bytes in slices and at a rate, where that is asked for. */
  async #pace(bytes: Uint8Array, lot: FaultPlan): Promise<void> {
    const slice = find(lot.faults, "slice");
    const rate = find(lot.faults, "rate");
    if (slice !== undefined) this.#tell(slice, lot);
    if (rate !== undefined) this.#tell(rate, lot);
    const each = rate === undefined ? bytes.length : Math.ceil(rate.bytes * TICK / 1000);
    const piece = slice?.bytes ?? each;
    for (let at = 0; at < bytes.length; at += piece) {
      const part = bytes.subarray(at, at + piece);
      if (slice !== undefined && at > 0) await this.#sleeps.sleep(slice.pause);
      if (rate !== undefined) {
        const now = performance.now();
        this.#mayBeSentAt = Math.max(now, this.#mayBeSentAt) + part.length / rate.bytes * 1000;
        await this.#sleeps.sleep(this.#mayBeSentAt - now);
      }
      if (this.#state === "over") return;
      await this.send(part);
    }
  }

  /** All is sent: what keeps the end of the conversation back? A stopping server keeps nothing back. */
  async #holdBack(): Promise<void> {
    if (this.#isStopping) return;
    if (this.#state === "stalled") {
      await Promise.race([this.#sleeps.sleep(STALL), this.#stop.promise]);
    } else if (this.#hold !== undefined) {
      this.source.tell(this.#hold.asked);
      await Promise.race([this.#sleeps.sleep(this.#hold.pause), this.#stop.promise]);
    }
  }

  #tell({ asked }: Fault, { number }: FaultPlan): void {
    if (this.#state === "open") this.source.tell(asked, number);
  }
}

/** What ends the conversation with this reply; the first, where there are several. */
function endOf({ faults }: FaultPlan): Fault & { name: "cut" | "reset" | "stall" } | undefined {
  return faults.find((fault) =>
    fault.name === "cut" || fault.name === "reset" || fault.name === "stall"
  );
}
