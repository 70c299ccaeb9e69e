/** A server's connection with faults: each reply meets those of its message. */

import { MAX_TIMER } from "../checks.ts";
import type { ServerConn } from "../net/conn.ts";
import { onAbort } from "../wait.ts";
import { type ConnectionFaults, drawDelay, type FaultPlan, find } from "./faults.ts";
import { endOf, FaultyConn } from "./faulty_conn.ts";

/** A connection to which a server writes whole replies, each with the number of its message. */
export class ReplyConn extends FaultyConn {
  readonly #plans = new Map<number, FaultPlan>(); // of the replies that are not sent
  readonly #removeListener;
  #isEnding = false; // one of them will end the connection: later messages have no faults

  /**
   * @param conn owned from here on
   * @param stopping is aborted when the server begins to stop
   */
  constructor(conn: ServerConn, faults: ConnectionFaults, readonly stopping: AbortSignal) {
    super(conn, faults);
    this.#removeListener = onAbort(stopping, () => this.stop());
  }

  /** Plans what happens to a message, by its number in the conversation, and to its reply. */
  plan(message: number, bytes: Uint8Array): FaultPlan {
    const plan = this.faults.plan(message, bytes);
    if (this.#isEnding) return { ...plan, faults: [] };
    this.#isEnding = endOf(plan.faults) !== undefined;
    this.hold = find(plan.faults, "hold") ?? this.hold;
    this.#plans.set(message, plan);
    return plan;
  }

  /** Returns a promise until which nothing is read, if a message makes the server deaf. */
  deaf({ faults, message }: FaultPlan): Promise<void> | undefined {
    const deaf = find(faults, "deaf");
    if (deaf === undefined || this.stopping.aborted) return undefined;
    this.report(deaf, message);
    return this.stoppable.sleep(MAX_TIMER);
  }

  /** Returns a promise until which a reply is delayed, if it is. */
  delay(plan: FaultPlan): Promise<void> | undefined {
    const delay = find(plan.faults, "delay");
    if (delay === undefined) return undefined;
    const value = drawDelay(delay, plan);
    this.report(delay, plan.message, value);
    return this.pauses.sleep(value);
  }

  override async write(bytes: Uint8Array, message = 0): Promise<number> {
    const plan = this.#plans.get(message);
    this.#plans.delete(message);
    if (this.state !== "open") return bytes.length;
    if (plan === undefined) return await this.conn.write(bytes);
    await this.send(bytes, plan, 0, true);
    return bytes.length;
  }

  override close(): void {
    this.#removeListener();
    super.close();
  }
}
