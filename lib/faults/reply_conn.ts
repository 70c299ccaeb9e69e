/** A server's connection with faults: each reply meets those of its message. */

import { MAX_TIMER } from "../checks.ts";
import type { ServerConn } from "../net/listener.ts";
import { onAbort } from "../wait.ts";
import { type ConnectionFaults, drawDelay, type FaultPlan, find } from "./faults.ts";
import { endOf, FaultyConn } from "./faulty_conn.ts";
import type { Fault } from "./grammar.ts";
import { Random } from "./random.ts";

/** A connection to which a server writes whole replies, and says which message each answers. */
export class ReplyConn extends FaultyConn {
  readonly #plans = new Map<number, FaultPlan>(); // of the replies that are not sent
  #isEnding = false; // one of them will end the connection: what would happen after it does not
  #removeListener = (): void => {};

  /**
   * @param conn owned from here on
   * @param stopping is aborted when the server begins to stop
   */
  constructor(
    conn: ServerConn,
    readonly faults: ConnectionFaults,
    readonly stopping: AbortSignal,
  ) {
    super(conn);
    this.#removeListener = onAbort(stopping, () => this.stop());
    this.hold = faults.find("hold");
    this.limit = faults.find("read");
  }

  /** Plans what happens to a message, by its number in the conversation, and to its reply. */
  plan(message: number, bytes: Uint8Array): FaultPlan {
    if (this.#isEnding) return { message, faults: [], random: new Random() };
    const plan = this.faults.plan(message, bytes);
    this.#isEnding = endOf(plan.faults) !== undefined;
    this.hold = find(plan.faults, "hold") ?? this.hold;
    this.#plans.set(message, plan);
    return plan;
  }

  /** Reports a fault of a message. */
  happens(fault: Fault, { message }: FaultPlan, value?: number): void {
    this.report(fault, message, value);
  }

  /** Until when nothing more is read, if a message makes the server deaf. */
  deaf(plan: FaultPlan): Promise<void> | undefined {
    const deaf = find(plan.faults, "deaf");
    if (deaf === undefined || this.stopping.aborted) return undefined;
    this.happens(deaf, plan);
    return this.holds.sleep(MAX_TIMER);
  }

  /** Until when a reply is delayed, if it is. */
  delay(plan: FaultPlan): Promise<void> | undefined {
    const delay = find(plan.faults, "delay");
    if (delay === undefined) return undefined;
    const value = drawDelay(delay, plan);
    this.happens(delay, plan, value);
    return this.pauses.sleep(value);
  }

  override async write(bytes: Uint8Array, message = 0): Promise<number> {
    const plan = this.#plans.get(message);
    this.#plans.delete(message);
    if (this.state !== "open") return bytes.length;
    if (plan === undefined) return await this.conn.write(bytes);
    await this.send(bytes, plan);
    return bytes.length;
  }

  /** All is sent, and the conversation is to end. */
  beforeEnd(): Promise<void> {
    return this.holdBack();
  }

  override close(): void {
    this.#removeListener();
    super.close();
  }
}
