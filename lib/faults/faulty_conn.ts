/** Wraps any connection, of a client or a server, and injects faults. */

import type { Addr } from "../net/address.ts";
import type { ServerConn } from "../net/conn.ts";
import { Sleeps } from "../wait.ts";
import { type ConnectionFaults, type FaultPlan, find } from "./faults.ts";
import type { Fault, FaultOf } from "./grammar.ts";

/** After the peer half-closes, a stalled connection is kept open for this long, in ms. */
export const STALL = 60_000;
/**
 * Before a reset, waits `BEFORE_RESET` ms, and `PER_BYTE` ms per byte sent, so that they arrive. A reset
 * discards what the peer's system has no room for yet, and on some systems what the peer has not read.
 */
const BEFORE_RESET = 50;
const PER_BYTE = BEFORE_RESET / 65536;
/** The longest such wait, in ms: no more than the system's send buffer is under way, some 4 MiB. */
const LONGEST_WAIT = 3000;
/** With a rate, bytes are sent or read this often, in ms. */
const TICK = 50;

/** The owner of a connection with faults: it reports them, and ends the connection. */
export interface FaultyOwner {
  /** Reports a fault that happens, to a message or to the connection; a delay's value is in ms. */
  report(fault: Fault, message?: number, value?: number): void;
  /** Ends the connection, once all output that is due is sent. */
  end(): void;
  /** Resets the connection at once. */
  reset(): void;
}

/** A connection that injects faults into the bytes that it sends, and into its end. */
export abstract class FaultyConn implements ServerConn {
  readonly remoteAddr: Addr;
  readonly localAddr: Addr | undefined;
  /** In the last two states, nothing more is sent. */
  protected state: "open" | "stalled" | "over" = "open";
  protected hold: FaultOf<"hold"> | undefined;
  /** Delays that a stop ends too. */
  protected stoppable = new Sleeps();
  /** Delays that the connection's end and other faults end. */
  protected pauses = new Sleeps();
  protected owner: FaultyOwner | undefined;
  #readLimit: FaultOf<"read"> | undefined;
  #isPacing = false;
  #endDelay: Promise<void> | undefined;
  #lifeTimer: ReturnType<typeof setTimeout> | undefined;
  // Times of `performance.now()`:
  #nextSend = 0; // with a rate
  #nextSlice = 0;
  #nextRead = 0;
  #arrivesAt = -Infinity; // when the peer has received all that was sent, as a reset assumes

  /**
   * @param conn owned from here on
   * @param isUp true for a relay's connection to its server
   */
  constructor(
    readonly conn: ServerConn,
    protected faults: ConnectionFaults,
    readonly isUp = false,
  ) {
    this.remoteAddr = conn.remoteAddr;
    this.localAddr = conn.localAddr;
    this.use(faults);
  }

  /** Replaces the faults; ends all current delays, and starts the lifetime limit anew. */
  protected use(faults: ConnectionFaults): void {
    this.faults = faults;
    this.hold = faults.find("hold", this.isUp);
    this.#readLimit = faults.find("read", this.isUp);
    this.#endDelays();
    this.pauses = new Sleeps();
    this.stoppable = new Sleeps();
    this.#nextSend = this.#nextRead = 0;
    if (this.owner !== undefined) this.begin(this.owner);
  }

  /** Starts the connection's lifetime limit, if it has one. */
  begin(owner: FaultyOwner): void {
    this.owner = owner;
    const life = this.faults.find("life", this.isUp);
    if (life !== undefined) this.#lifeTimer = setTimeout(() => this.#die(life), life.pause);
  }

  /** True while a pending write waits for its own pace, not for the peer. */
  get isPacing(): boolean {
    return this.#isPacing;
  }

  async read(into: Uint8Array): Promise<number | null> {
    if (this.#readLimit !== undefined) await this.sleepUntil(this.#nextRead);
    const room = this.#readLimit && perTick(this.#readLimit.bytes);
    const count = await this.conn.read(into.subarray(0, room));
    const limit = this.#readLimit; // of the faults that are in force by then
    if (limit === undefined) return count;
    if (this.#nextRead === 0 && count !== null) this.report(limit);
    const from = Math.max(performance.now(), this.#nextRead);
    this.#nextRead = from + (count ?? 0) / limit.bytes * 1000;
    return count;
  }

  abstract write(bytes: Uint8Array, message?: number): Promise<number>;

  async closeWrite(): Promise<void> {
    await this.conn.closeWrite();
  }

  /** Ends the delays that a stopping server does not wait for. */
  stop(): void {
    this.stoppable.end();
  }

  close(): void {
    this.#over();
    this.conn.close();
  }

  reset(): void {
    this.#over();
    (this.conn.reset ?? this.conn.close).call(this.conn);
  }

  /** Waits before end-of-file is sent, if the connection is stalled or a fault delays its end. */
  beforeEnd(): Promise<void> {
    if (this.state === "stalled") return this.#endDelay ??= this.stoppable.sleep(STALL);
    if (this.#endDelay === undefined && this.hold !== undefined && this.state === "open") {
      this.report(this.hold);
      this.#endDelay = this.stoppable.sleep(this.hold.pause);
    }
    return this.#endDelay ?? Promise.resolve();
  }

  /** Waits until a time of `performance.now()`, the connection's end, or other faults. */
  protected async sleepUntil(time: number, pauses = this.pauses): Promise<void> {
    if (time > performance.now()) await pauses.sleep(time - performance.now());
  }

  /** Reports a fault, unless it would come after the end. */
  report(fault: Fault, message?: number, value?: number): void {
    if (this.state === "open") this.owner?.report(fault, message, value);
  }

  /**
   * Sends bytes with the faults of a plan; returns how many, all unless other faults are in force.
   *
   * @param before the number of bytes that were sent under the same plan
   * @param isLast true if no more bytes will be sent under this plan
   */
  protected async send(bytes: Uint8Array, plan: FaultPlan, before: number, isLast: boolean) {
    const { pauses } = this;
    const end = endOf(plan.faults);
    const room = end === undefined ? bytes.length : Math.max(0, end.bytes - before);
    const sent = await this.#pace(bytes.subarray(0, room), plan, before);
    if (end && (isLast || sent === room)) await this.#end(end, pauses, plan.message);
    return sent;
  }

  /** Sends bytes in slices and at a rate, where that is asked for; returns how many. */
  async #pace(bytes: Uint8Array, { faults, message }: FaultPlan, before: number): Promise<number> {
    const slice = find(faults, "slice");
    const rate = find(faults, "rate");
    const perStep = rate === undefined ? bytes.length : perTick(rate.bytes);
    // A slice is sent whole, unless that takes more than a second.
    const piece = Math.min(slice?.bytes ?? perStep, rate?.bytes ?? Infinity);
    const { pauses } = this;
    if (before === 0) {
      this.#nextSlice = 0;
      for (const fault of [slice, rate]) if (fault && bytes.length > 0) this.report(fault, message);
    }
    for (let at = 0; at < bytes.length; at += piece) {
      const part = bytes.subarray(at, at + piece);
      const from = Math.max(performance.now(), this.#nextSend);
      const next = rate ? from + part.length / rate.bytes * 1000 : 0;
      this.#isPacing = true;
      await this.sleepUntil(Math.max(slice ? this.#nextSlice : 0, next), pauses);
      this.#isPacing = false;
      if (this.state === "over") return bytes.length;
      if (this.pauses !== pauses) return at; // other faults are in force
      this.#nextSend = next;
      for (let left = part; left.length > 0;) left = left.subarray(await this.conn.write(left));
      this.#arrivesAt = Math.max(performance.now(), this.#arrivesAt) + part.length * PER_BYTE;
      if (slice !== undefined) this.#nextSlice = performance.now() + slice.pause;
    }
    return bytes.length;
  }

  /** @param pauses of the faults under which the bytes were sent */
  async #end(end: EndingFault, pauses: Sleeps, message: number | undefined): Promise<void> {
    const wait = Math.min(this.#arrivesAt + BEFORE_RESET - performance.now(), LONGEST_WAIT);
    if (end.name === "reset" && wait > 0) await pauses.sleep(wait);
    if (this.state !== "open" || this.pauses !== pauses) return;
    this.report(end, message);
    if (end.name === "stall") this.state = "stalled";
    else this.finish(end.name === "cut" ? "end" : "reset");
  }

  #die(life: FaultOf<"life">): void {
    this.owner?.report(life); // of a stalled connection too
    if (!life.reset) void this.conn.closeWrite().catch(() => {}); // the owner may wait for a reply
    this.finish(life.reset ? "reset" : "end");
  }

  /** Lets the owner end the connection, or reset it. */
  protected finish(how: "end" | "reset"): void {
    this.#over();
    this.owner?.[how]();
  }

  #over(): void {
    this.state = "over";
    this.#endDelays();
  }

  #endDelays(): void {
    clearTimeout(this.#lifeTimer);
    this.pauses.end();
    this.stoppable.end();
  }
}

type EndingFault = FaultOf<"cut" | "reset" | "stall">;

/** Returns the fault that ends the connection; of several, the first. */
export function endOf(faults: readonly Fault[]): EndingFault | undefined {
  return faults.find((fault): fault is EndingFault => /^(cut|reset|stall)$/.test(fault.name));
}

/** Returns the bytes of one tick of a rate. */
function perTick(bytesPerSecond: number): number {
  return Math.ceil(bytesPerSecond * TICK / 1000);
}
