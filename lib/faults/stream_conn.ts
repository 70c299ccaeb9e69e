/** One side of a relayed connection, with faults: it has no messages, all that is sent is one stream. */

import { MAX_TIMER } from "../checks.ts";
import type { Conn, ServerConn } from "../net/listener.ts";
import { type ConnectionFaults, drawDelay, type FaultPlan, find } from "./faults.ts";
import { FaultyConn, STALL } from "./faulty_conn.ts";
import type { Fault, FaultOf } from "./grammar.ts";

/** With more bytes than this delayed, a write waits until they are sent. */
const MOST_DELAYED = 1 << 20;

/** A connection of which all that is sent meets the faults of one direction. */
export class StreamConn extends FaultyConn {
  #plan!: FaultPlan;
  #sent = 0;
  #deaf: FaultOf<"deaf"> | undefined;
  #hasEnded = false; // the peer has half-closed
  readonly #reported = new Set<Fault>();
  #delayed: Promise<void> | undefined; // settles when all delayed bytes are sent
  #delayedBytes = 0;
  #due = 0; // when the last of them are sent
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param conn owned from here on
   * @param isUp whether it leads to the server
   */
  constructor(conn: Conn & Partial<ServerConn>, faults: ConnectionFaults, readonly isUp = false) {
    super(conn);
    this.#use(faults);
  }

  /** Changes the faults of what is sent from here on, and counts it anew. */
  change(faults: ConnectionFaults): void {
    if (this.state === "over") return;
    this.state = "open";
    this.#due = 0;
    this.#use(faults);
    this.restart();
  }

  override get isPacing(): boolean {
    return super.isPacing || this.#delayedBytes > 0;
  }

  override async read(into: Uint8Array): Promise<number | null> {
    while (this.#deaf !== undefined && this.state !== "over") {
      this.report(this.#deaf);
      await this.holds.sleep(MAX_TIMER);
    }
    const count = await super.read(into);
    if (count === null) this.#hasEnded = true;
    void this.#limitStall();
    return count;
  }

  override async write(bytes: Uint8Array): Promise<number> {
    if (this.#failure !== undefined) throw this.#failure.error;
    const delay = find(this.#plan.faults, "delay");
    if (delay === undefined && this.#delayedBytes === 0) return await this.#write(bytes);
    const due = this.sleepUntil(this.#draw(delay));
    this.#delayedBytes += bytes.length;
    this.#delayed = this.#writeAfter(Promise.all([this.#delayed, due]), bytes.slice());
    if (this.#delayedBytes > MOST_DELAYED) await this.#delayed;
    return bytes.length;
  }

  override async closeWrite(): Promise<void> {
    const due = this.sleepUntil(this.#draw(find(this.#plan.faults, "delay")));
    await this.#delayed;
    await due;
    await this.holdBack();
    await super.closeWrite();
  }

  override stop(): void {
    this.#deaf = undefined;
    if (this.state === "stalled") this.state = "over";
    super.stop();
  }

  /** Reports a fault of the whole stream once, but every delay that is drawn. */
  protected override report(fault: Fault, message?: number, value?: number): void {
    const isDrawn = fault.name === "delay" && fault.longest > fault.shortest;
    if (this.#reported.has(fault) && !isDrawn) return;
    this.#reported.add(fault);
    super.report(fault, message, value);
  }

  #use(faults: ConnectionFaults): void {
    this.#plan = faults.planStream(this.isUp);
    this.#sent = 0;
    this.#reported.clear();
    this.#deaf = find(this.#plan.faults, "deaf");
    this.hold = find(this.#plan.faults, "hold");
    this.limit = find(this.#plan.faults, "read");
  }

  /** When something is to be sent that comes now: never before what came before it. */
  #draw(delay: FaultOf<"delay"> | undefined): number {
    const value = delay === undefined ? 0 : drawDelay(delay, this.#plan);
    if (delay !== undefined) this.report(delay, undefined, value);
    return this.#due = Math.max(this.#due, performance.now() + value);
  }

  /** Never rejects. */
  async #writeAfter(before: Promise<unknown>, bytes: Uint8Array): Promise<void> {
    await before;
    try {
      for (let left = bytes; left.length > 0;) left = left.subarray(await this.#write(left));
    } catch (error) {
      this.#failure = { error };
    }
    this.#delayedBytes -= bytes.length;
  }

  async #write(bytes: Uint8Array): Promise<number> {
    while (this.state === "stalled") await this.holds.sleep(MAX_TIMER);
    if (this.state === "over") return bytes.length;
    const plan = this.#plan;
    if (plan.faults.length === 0) return await this.conn.write(bytes);
    const sent = await this.send(bytes, plan, this.#sent, false);
    if (plan === this.#plan) this.#sent += sent;
    void this.#limitStall();
    return sent || await this.#write(bytes);
  }

  /** A peer that has half-closed is not stalled for ever. */
  async #limitStall(): Promise<void> {
    if (this.state !== "stalled" || !this.#hasEnded) return;
    await this.holds.sleep(STALL);
    if (this.state !== "stalled") return;
    this.state = "over";
    this.owner?.end();
  }
}
