/** One side of a relayed connection, with faults. A relay has no messages: all bytes sent are one stream. */

import { MAX_TIMER } from "../checks.ts";
import type { ServerConn } from "../net/conn.ts";
import { type ConnectionFaults, drawDelay, find } from "./faults.ts";
import { FaultyConn, STALL } from "./faulty_conn.ts";

/** With more bytes than this delayed, a write waits until they are sent. */
const MOST_DELAYED = 1 << 20;

/** A connection that injects the faults of one direction into all bytes that it sends. */
export class StreamConn extends FaultyConn {
  #plan;
  #sent = 0;
  #isStopping = false;
  #hasEnded = false; // the peer has half-closed
  #delayed: Promise<void> | undefined; // settles when all delayed bytes are sent
  #delayedBytes = 0;
  #due = 0; // when the last of them are sent
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param conn owned from here on
   * @param isUp true if it leads to the server
   */
  constructor(conn: ServerConn, faults: ConnectionFaults, isUp = false) {
    super(conn, faults, isUp);
    this.#plan = faults.planStream(isUp);
  }

  /** Changes the faults of all bytes from here on, and counts them anew. */
  change(faults: ConnectionFaults): void {
    if (this.state === "over") return;
    this.state = "open";
    this.#plan = faults.planStream(this.isUp);
    this.#sent = this.#due = 0;
    this.use(faults);
  }

  override get isPacing(): boolean {
    return super.isPacing || this.#delayedBytes > 0;
  }

  override async read(into: Uint8Array): Promise<number | null> {
    while (!this.#isStopping && this.state !== "over") {
      const deaf = find(this.#plan.faults, "deaf");
      if (deaf === undefined) break;
      this.report(deaf);
      await this.stoppable.sleep(MAX_TIMER);
    }
    const count = await super.read(into);
    this.#hasEnded = count === null;
    return count;
  }

  override async write(bytes: Uint8Array): Promise<number> {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (!find(this.#plan.faults, "delay") && this.#delayedBytes === 0) {
      return await this.#write(bytes);
    }
    this.#delayedBytes += bytes.length;
    this.#delayed = this.#writeAfter(Promise.all([this.#delayed, this.#delay()]), bytes.slice());
    if (this.#delayedBytes > MOST_DELAYED) await this.#delayed;
    return bytes.length;
  }

  override async closeWrite(): Promise<void> {
    await Promise.all([this.#delayed, this.#delay()]);
    await this.beforeEnd();
    await super.closeWrite();
  }

  override stop(): void {
    this.#isStopping = true;
    super.stop();
  }

  /** Waits for the delay of bytes that are written now: they are never sent before earlier ones. */
  #delay(): Promise<void> {
    const delay = find(this.#plan.faults, "delay");
    const value = delay ? drawDelay(delay, this.#plan) : 0;
    const isNew = this.#due === 0 || (delay && delay.longest > delay.shortest);
    if (delay && isNew) this.report(delay, undefined, value);
    this.#due = Math.max(this.#due, performance.now() + value);
    return this.sleepUntil(this.#due);
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
    while (this.state === "stalled") {
      await this.stoppable.sleep(STALL);
      if (this.state !== "stalled") break;
      if (this.#isStopping) this.state = "over";
      else if (this.#hasEnded) this.finish("end");
    }
    const plan = this.#plan;
    if (this.state === "over") return bytes.length;
    if (plan.faults.length === 0) return await this.conn.write(bytes);
    const sent = await this.send(bytes, plan, this.#sent, false);
    if (plan === this.#plan) this.#sent += sent;
    return sent || await this.#write(bytes);
  }
}
