/** A server's connection with faults: each reply meets those of its message. */

import type { ServerConn } from "../net/conn.ts";
import { type ConnectionFaults, type FaultPlan, find } from "./faults.ts";
import { endOf, FaultyConn, type FaultyOwner } from "./faulty_conn.ts";

/** A connection to which a server writes whole replies, each with the number of its message. */
export class ReplyConn extends FaultyConn {
  readonly #plans = new Map<number, FaultPlan>(); // of the replies that are not sent
  #isEnding = false; // one of them will end the connection: later messages have no faults

  /** @param conn owned from here on */
  constructor(conn: ServerConn, readonly faults: ConnectionFaults, owner: FaultyOwner) {
    super(conn, faults.planStream(), owner);
  }

  /** Plans what happens to a message, by its number in the conversation, and to its reply. */
  planReply(message: number, bytes: Uint8Array): FaultPlan {
    const plan = this.faults.plan(message, bytes);
    if (this.#isEnding) return { ...plan, faults: [] };
    this.#isEnding = endOf(plan.faults) !== undefined;
    this.hold = find(plan.faults, "hold") ?? this.hold;
    this.#plans.set(message, plan);
    return plan;
  }

  override async write(bytes: Uint8Array, message = 0): Promise<number> {
    const plan = this.#plans.get(message);
    this.#plans.delete(message);
    if (this.state !== "open") return bytes.length;
    if (plan === undefined) return await this.conn.write(bytes);
    await this.send(bytes, plan);
    return bytes.length;
  }
}
