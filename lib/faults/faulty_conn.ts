/** A connection with faults: a wrapper that any connection fits in, on either side. */

import type { Addr } from "../net/addr.ts";
import type { ServerConn } from "../net/listener.ts";
import { Sleeps } from "../wait.ts";
import { type ConnectionFaults, type FaultPlan, find } from "./faults.ts";
import type { Fault, FaultOf } from "./grammar.ts";

/** A stall holds the connection of a peer that has half-closed for this long, in ms. */
export const STALL = 60_000;
/**
 * Before a reset, each piece of so many bytes has so many milliseconds to arrive. A reset discards what
 * the peer's system has no room for yet, and on some systems what the peer has not read.
 */
const PIECE = 65536;
const BEFORE_RESET = 50;
/** With a rate, bytes are sent or read this often, in ms. */
const TICK = 50;

/** The owner of a connection with faults: it reports them, and ends the connection. */
export interface FaultyOwner {
  /** Reports a fault that happens, to a message or to the connection; a delay's value is in ms. */
  report(fault: Fault, message?: number, value?: number): void;
  /** Ends the connection, once what is due is sent. */
  end(): void;
  /** Resets it at once. */
  reset(): void;
}

/** A connection whose bytes meet faults. */
export abstract class FaultyConn implements ServerConn {
  readonly remoteAddr: Addr;
  readonly localAddr: Addr | undefined;
  /** In the last two states, nothing more is sent. */
  protected state: "open" | "stalled" | "over" = "open";
  protected hold: FaultOf<"hold"> | undefined;
  /** Pauses that a stop ends. */
  protected holds = new Sleeps();
  /** Pauses that only the connection's end ends. */
  protected pauses = new Sleeps();
  protected owner: FaultyOwner | undefined;
  #limit: FaultOf<"read"> | undefined;
  #isWaiting = false;
  #holding: Promise<void> | undefined;
  #life: ReturnType<typeof setTimeout> | undefined;
  #nextSend = 0; // with a rate
  #nextSlice = 0;
  #nextRead = 0;

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

  /** Takes the faults of the whole connection; forgets what is paced and whatever is held back. */
  protected use(faults: ConnectionFaults): void {
    this.faults = faults;
    this.hold = faults.find("hold", this.isUp);
    this.#limit = faults.find("read", this.isUp);
    this.#endPauses();
    this.pauses = new Sleeps();
    this.holds = new Sleeps();
    this.#nextSend = this.#nextRead = 0;
  }

  /** The connection begins, and with it the life that some faults give it. */
  begin(owner: FaultyOwner): void {
    this.owner = owner;
    const life = this.faults.find("life", this.isUp);
    if (life !== undefined) this.#life = setTimeout(() => this.#die(life), life.pause);
  }

  /** True while a pending write waits for its own pace, not for the peer. */
  get isPacing(): boolean {
    return this.#isWaiting;
  }

  async read(into: Uint8Array): Promise<number | null> {
    const limit = this.#limit;
    if (limit === undefined) return await this.conn.read(into);
    await this.sleepUntil(this.#nextRead);
    const count = await this.conn.read(into.subarray(0, perTick(limit.bytes)));
    if (this.#nextRead === 0 && count !== null) this.report(limit);
    const from = Math.max(performance.now(), this.#nextRead);
    this.#nextRead = from + (count ?? 0) / limit.bytes * 1000;
    return count;
  }

  abstract write(bytes: Uint8Array, message?: number): Promise<number>;

  async closeWrite(): Promise<void> {
    await this.conn.closeWrite();
  }

  /** A stop begins: nothing is held back any more. */
  stop(): void {
    this.holds.end();
  }

  close(): void {
    this.#over();
    this.conn.close();
  }

  reset(): void {
    this.#over();
    (this.conn.reset ?? this.conn.close).call(this.conn);
  }

  /** Holds the end back: all is sent. */
  protected holdBack(): Promise<void> {
    if (this.state === "stalled") return this.#holding ??= this.holds.sleep(STALL);
    if (this.#holding === undefined && this.hold !== undefined && this.state === "open") {
      this.report(this.hold);
      this.#holding = this.holds.sleep(this.hold.pause);
    }
    return this.#holding ?? Promise.resolve();
  }

  /** Waits until a time of `performance.now()`, or the connection's end. */
  protected async sleepUntil(time: number): Promise<void> {
    const left = time - performance.now();
    if (left > 0) await this.pauses.sleep(left);
  }

  /** Reports a fault, unless it would come after the end. */
  report(fault: Fault, message?: number, value?: number): void {
    if (this.state === "open") this.owner?.report(fault, message, value);
  }

  /**
   * Sends bytes as their plan has it; returns how many.
   *
   * @param before bytes that were sent under the same plan
   * @param isAll no more bytes will be sent under this plan
   */
  protected async send(bytes: Uint8Array, plan: FaultPlan, before: number, isAll: boolean) {
    const end = endOf(plan.faults);
    const room = end === undefined ? bytes.length : Math.max(0, end.bytes - before);
    const sent = await this.#pace(bytes.subarray(0, room), plan, before);
    if (end !== undefined && (isAll || sent === room)) await this.#end(end, sent, plan.message);
    return sent;
  }

  /** Sends bytes in slices and at a rate, where that is asked for; returns how many. */
  async #pace(bytes: Uint8Array, { faults, message }: FaultPlan, before: number): Promise<number> {
    const slice = find(faults, "slice");
    const rate = find(faults, "rate");
    const most = rate === undefined ? bytes.length : perTick(rate.bytes);
    // A slice is sent whole, unless that takes more than a second.
    const piece = Math.min(slice?.bytes ?? most, rate?.bytes ?? Infinity);
    const { pauses } = this;
    if (before === 0) {
      this.#nextSlice = 0;
      for (const fault of [slice, rate]) if (fault && bytes.length > 0) this.report(fault, message);
    }
    for (let at = 0; at < bytes.length; at += piece) {
      const part = bytes.subarray(at, at + piece);
      if (rate !== undefined) {
        const from = Math.max(performance.now(), this.#nextSend);
        this.#nextSend = from + part.length / rate.bytes * 1000;
      }
      this.#isWaiting = true;
      await this.sleepUntil(Math.max(slice ? this.#nextSlice : 0, rate ? this.#nextSend : 0));
      this.#isWaiting = false;
      if (this.state === "over") return bytes.length;
      if (this.pauses !== pauses) return at; // other faults are in force
      for (let left = part; left.length > 0;) left = left.subarray(await this.conn.write(left));
      if (slice !== undefined) this.#nextSlice = performance.now() + slice.pause;
    }
    return bytes.length;
  }

  async #end(end: EndingFault, sent: number, message: number | undefined): Promise<void> {
    if (end.name === "reset") await this.pauses.sleep(Math.ceil(sent / PIECE) * BEFORE_RESET);
    if (this.state !== "open") return;
    this.report(end, message);
    this.state = end.name === "stall" ? "stalled" : "over";
    if (end.name === "cut") this.owner?.end();
    if (end.name === "reset") this.owner?.reset();
  }

  #die(life: FaultOf<"life">): void {
    this.report(life);
    this.#over();
    if (life.reset) return this.owner?.reset();
    void this.conn.closeWrite().catch(() => {}); // whatever the owner still waits for
    this.owner?.end();
  }

  /** Ends a stall that has lasted long enough. */
  protected endStall(): void {
    if (this.state !== "stalled") return;
    this.state = "over";
    this.owner?.end();
  }

  #over(): void {
    this.state = "over";
    clearTimeout(this.#life);
    this.#endPauses();
  }

  #endPauses(): void {
    this.pauses.end();
    this.holds.end();
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
