/** Wraps any connection, of a client or a server, and injects faults: in all its bytes, or in each reply. */

import { MAX_TIMER } from "../checks.ts";
import { type ServerConn, WrappedConn } from "../net/conn.ts";
import { sleep } from "../wait.ts";
import { drawDelay, type FaultPlan, find } from "./faults.ts";
import type { Fault } from "./grammar.ts";

/** After the peer half-closes, a stalled connection is kept open for this long, in ms. */
const STALL = 60_000;
/**
 * Before a reset, waits `BEFORE_RESET` ms, and `PER_BYTE` ms per byte sent, so that they arrive. A reset
 * discards what the peer's system has no room for yet, and on some systems what the peer has not read.
 */
const BEFORE_RESET = 50;
const PER_BYTE = BEFORE_RESET / 65536;
/** The longest such wait, in ms: bytes in flight are bounded by the system's send buffer, some 4 MiB. */
const LONGEST_WAIT = 3000;
/** How many times a second a connection with a rate sends or reads. */
const TICKS = 20;
/** With more bytes than this delayed, a write waits until they are sent. */
const MAX_DELAYED = 1 << 20;

/** The owner of a connection with faults: it reports them, and ends the connection. */
export interface FaultyOwner {
  /** Reports a fault that happens, to a message or to the connection; a delay's value is in ms. */
  report(fault: Fault, message?: number, value?: number): void;
  /** Ends the connection, once all output that is due is sent. */
  end(): void;
  /** Resets the connection at once. */
  reset(): void;
}

/** A connection that injects faults into the bytes that it sends, one stream, and into its end. */
export class FaultyConn extends WrappedConn {
  /** In the last two states, nothing more is sent. */
  protected state: "open" | "stalled" | "over" = "open";
  protected hold: Fault<"hold"> | undefined;
  /** Aborted by a stop, by the connection's end and by another plan: ends the waits for deaf, hold and stall. */
  #stoppable = new AbortController();
  /** Aborted by the connection's end and by another plan: ends all other waits. */
  #pauses = new AbortController();
  #isPacing = false;
  #hasEnded = false; // the peer has half-closed
  #sent = 0; // bytes of a stream, under this plan
  #delayed: Promise<void> | undefined; // settles when all delayed bytes are sent
  #delayedBytes = 0;
  #endDelay: Promise<void> | undefined;
  // Times of `performance.now()`:
  #due = 0; // when the last delayed bytes are sent
  #nextSend = 0; // with a rate
  #nextSlice = 0;
  #nextRead = 0;
  #arrivesAt = -Infinity; // when the peer has received all that was sent, as a reset assumes

  /**
   * @param conn owned from here on
   * @param plan the faults of all its bytes, and of the connection
   */
  constructor(conn: ServerConn, protected plan: FaultPlan, readonly owner: FaultyOwner) {
    super(conn);
    this.change(plan);
  }

  /** Changes the faults of all bytes from here on, counts them anew, and ends all current delays. */
  change(plan: FaultPlan): void {
    if (this.state === "over") return;
    this.#over();
    this.state = "open";
    this.plan = plan;
    this.hold = find(plan.faults, "hold");
    const pauses = this.#pauses = new AbortController();
    this.#stoppable = new AbortController();
    this.#sent = this.#due = 0;
    this.#nextSend = this.#nextRead = 0;
    const life = find(plan.faults, "life");
    if (life === undefined) return;
    void sleep(life.pause, pauses.signal).then(() => {
      if (pauses.signal.aborted) return;
      this.owner.report(life); // of a stalled connection too
      if (!life.reset) void this.conn.closeWrite().catch(() => {}); // the owner may wait for a reply
      this.#finish(life.reset ? "reset" : "end");
    });
  }

  /** True while bytes wait for their own time, not for the peer. */
  get isPacing(): boolean {
    return this.#isPacing || this.#delayedBytes > 0;
  }

  override async read(into: Uint8Array): Promise<number | null> {
    for (let deaf; (deaf = this.deaf(this.plan)) !== undefined;) await deaf;
    await this.#sleepUntil(this.#nextRead);
    const room = find(this.plan.faults, "read")?.bytes ?? Infinity;
    const count = await this.conn.read(into.subarray(0, Math.ceil(room / TICKS)));
    this.#hasEnded = count === null;
    const limit = find(this.plan.faults, "read"); // of the faults that are in force by then
    if (limit === undefined || count === null) return count;
    if (this.#nextRead === 0) this.report(limit);
    this.#nextRead = Math.max(performance.now(), this.#nextRead) + count / limit.bytes * 1000;
    return count;
  }

  override async write(bytes: Uint8Array): Promise<number> {
    const delay = this.delay(this.plan);
    if (delay === undefined && this.#delayedBytes === 0) return await this.#write(bytes);
    this.#delayedBytes += bytes.length;
    this.#delayed = this.#writeAfter(Promise.all([this.#delayed, delay]), bytes.slice());
    if (this.#delayedBytes > MAX_DELAYED) await this.#delayed;
    return bytes.length;
  }

  override async closeWrite(): Promise<void> {
    await Promise.all([this.#delayed, this.delay(this.plan)]);
    await this.beforeEnd();
    await super.closeWrite();
  }

  /** Ends the delays that a stopping server does not wait for, and begins no more of them. */
  skipDelays(): void {
    this.#stoppable.abort();
  }

  override close(): void {
    this.#over();
    super.close();
  }

  override reset(): void {
    this.#over();
    super.reset();
  }

  /** Returns a promise until which nothing is read, if a plan makes this end deaf. */
  deaf({ faults, message }: FaultPlan): Promise<void> | undefined {
    const deaf = find(faults, "deaf");
    if (deaf === undefined || this.#stoppable.signal.aborted) return undefined;
    this.report(deaf, message);
    return sleep(MAX_TIMER, this.#stoppable.signal);
  }

  /** Returns a promise until which what is sent now is delayed, if a plan delays it: never before earlier bytes. */
  delay(plan: FaultPlan): Promise<void> | undefined {
    const { faults, message } = plan;
    const delay = find(faults, "delay");
    if (delay === undefined) return undefined;
    const value = drawDelay(delay, plan);
    // Of a stream, the first is reported, and each one that is drawn.
    if (this.#due === 0 || delay.longest > delay.shortest) this.report(delay, message, value);
    if (message !== undefined) return sleep(value, this.#pauses.signal); // its server keeps the order
    this.#due = Math.max(this.#due, performance.now() + value);
    return this.#sleepUntil(this.#due);
  }

  /** Waits before end-of-file is sent, if the connection is stalled or a fault delays its end. */
  async beforeEnd(): Promise<void> {
    const pause = this.state === "stalled" ? STALL : this.hold?.pause;
    if (this.hold && this.#endDelay === undefined) this.report(this.hold); // unless it is stalled
    if (pause !== undefined) await (this.#endDelay ??= sleep(pause, this.#stoppable.signal));
  }

  /** Reports a fault, unless it would come after the end. */
  report(fault: Fault, message?: number, value?: number): void {
    if (this.state === "open") this.owner.report(fault, message, value);
  }

  /** Sends bytes of the stream, or a reply, with the faults of its plan; returns how many. */
  protected async send(bytes: Uint8Array, plan: FaultPlan): Promise<number> {
    const pauses = this.#pauses;
    const end = endOf(plan.faults);
    const room = end === undefined ? bytes.length : Math.max(0, end.bytes - this.#sent);
    const sent = await this.#pace(bytes.subarray(0, room), plan);
    if (plan === this.plan) this.#sent += sent;
    // A stream goes on until then; a reply is whole.
    if (end === undefined || (plan.message === undefined && sent < room)) return sent;
    const wait = Math.min(this.#arrivesAt + BEFORE_RESET - performance.now(), LONGEST_WAIT);
    if (end.name === "reset" && wait > 0) await sleep(wait, pauses.signal);
    if (this.state !== "open" || this.#pauses !== pauses) return sent; // other faults are in force
    this.report(end, plan.message);
    if (end.name === "stall") this.state = "stalled";
    else this.#finish(end.name === "cut" ? "end" : "reset");
    return sent;
  }

  /** Sends bytes in slices and at a rate, where that is asked for; returns how many. */
  async #pace(bytes: Uint8Array, { faults, message }: FaultPlan): Promise<number> {
    const slice = find(faults, "slice");
    const rate = find(faults, "rate");
    const perStep = rate === undefined ? bytes.length : Math.ceil(rate.bytes / TICKS);
    // A slice is sent whole, unless that takes more than a second.
    const piece = Math.min(slice?.bytes ?? perStep, rate?.bytes ?? Infinity);
    const pauses = this.#pauses;
    if (this.#sent === 0) {
      this.#nextSlice = 0;
      for (const fault of [slice, rate]) if (fault && bytes.length > 0) this.report(fault, message);
    }
    for (let at = 0; at < bytes.length; at += piece) {
      const part = bytes.subarray(at, at + piece);
      const from = Math.max(performance.now(), this.#nextSend);
      const next = rate ? from + part.length / rate.bytes * 1000 : 0;
      this.#isPacing = true;
      await this.#sleepUntil(Math.max(slice ? this.#nextSlice : 0, next), pauses);
      this.#isPacing = false;
      if (this.state === "over") return bytes.length;
      if (this.#pauses !== pauses) return at; // other faults are in force
      this.#nextSend = next;
      for (let left = part; left.length > 0;) left = left.subarray(await this.conn.write(left));
      this.#arrivesAt = Math.max(performance.now(), this.#arrivesAt) + part.length * PER_BYTE;
      if (slice !== undefined) this.#nextSlice = performance.now() + slice.pause;
    }
    return bytes.length;
  }

  /** Sends bytes under the plan of the connection, once it is not stalled; returns how many. */
  async #write(bytes: Uint8Array): Promise<number> {
    while (this.state === "stalled") {
      await sleep(STALL, this.#stoppable.signal);
      if (this.state !== "stalled") break;
      if (this.#stoppable.signal.aborted) this.state = "over";
      else if (this.#hasEnded) this.#finish("end");
    }
    if (this.state === "over") return bytes.length;
    return await this.send(bytes, this.plan) || await this.#write(bytes);
  }

  async #writeAfter(before: Promise<unknown>, bytes: Uint8Array): Promise<void> {
    await before;
    try {
      for (let left = bytes; left.length > 0;) left = left.subarray(await this.#write(left));
    } catch {
      this.#finish("reset"); // as after any write that fails
    }
    this.#delayedBytes -= bytes.length;
  }

  /** Waits until a time of `performance.now()`, the connection's end, or other faults. */
  async #sleepUntil(time: number, pauses = this.#pauses): Promise<void> {
    if (time > performance.now()) await sleep(time - performance.now(), pauses.signal);
  }

  /** Lets the owner end the connection, or reset it. */
  #finish(how: "end" | "reset"): void {
    this.#over();
    this.owner[how]();
  }

  #over(): void {
    this.state = "over";
    this.#pauses.abort();
    this.#stoppable.abort();
  }
}

/** A connection to which a server writes whole replies, each with the plan of its message. */
export class ReplyConn extends FaultyConn {
  #isEnding = false; // one of them will end the connection: later messages have no faults

  /** Returns what happens of a message's plan: of several that end the connection, the first does. */
  begin(plan: FaultPlan): FaultPlan {
    if (this.#isEnding) return { ...plan, faults: [] };
    this.#isEnding = endOf(plan.faults) !== undefined;
    this.hold = find(plan.faults, "hold") ?? this.hold;
    return plan;
  }

  override async write(bytes: Uint8Array, plan?: FaultPlan): Promise<number> {
    if (this.state !== "open") return bytes.length;
    if (plan === undefined) return await this.conn.write(bytes);
    await this.send(bytes, plan);
    return bytes.length;
  }
}

/** Returns the fault that ends the connection; of several, the first. */
function endOf(faults: readonly Fault[]): Fault<"cut" | "reset" | "stall"> | undefined {
  return faults.find((fault) => /^(cut|reset|stall)$/.test(fault.name)) as ReturnType<typeof endOf>;
}
