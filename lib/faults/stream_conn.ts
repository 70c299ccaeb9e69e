/** One side of a relayed connection, with faults: it has no messages, all that is sent is one stream. */

import { MAX_TIMER } from "../checks.ts";
import type { ServerConn } from "../net/listener.ts";
import { type ConnectionFaults, drawDelay, find } from "./faults.ts";
import { FaultyConn, STALL } from "./faulty_conn.ts";

/** With more bytes than this delayed, a write waits until they are sent. */
const MOST_DELAYED = 1 << 20;

/** A connection of which all that is sent meets the faults of one direction. */
export class StreamConn extends FaultyConn {
  #plan;
  #sent = 0;
  #isDeaf = true; // if its faults say so, until a stop
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

  /** Changes the faults of what is sent from here on, and counts it anew. */
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
    while (this.#isDeaf && this.state !== "over") {
      const deaf = find(this.#plan.faults, "deaf");
      if (deaf === undefined) break;
      this.report(deaf);
      await this.holds.sleep(MAX_TIMER);
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
    await this.holdBack();
    await super.closeWrite();
  }

  override stop(): void {
    this.#isDeaf = false;
    if (this.state === "stalled") this.state = "over";
    super.stop();
  }

  /** Waits for the delay of what comes now, which is never sent before what came before it. */
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
      await this.holds.sleep(STALL);
      if (this.#hasEnded) this.endStall();
    }
    const plan = this.#plan;
    if (this.state === "over") return bytes.length;
    if (plan.faults.length === 0) return await this.conn.write(bytes);
    const sent = await this.send(bytes, plan, this.#sent, false);
    if (plan === this.#plan) this.#sent += sent;
    return sent || await this.#write(bytes);
  }
}
