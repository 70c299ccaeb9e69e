/** Outages: losses in a row, as times between which no message was answered. */

import type { Probe } from "./reply_matcher.ts";
import { rounded } from "./round_trips.ts";

/** Outages that are listed; the later ones are only reported as events. */
const MAX_LISTED = 1000;

/** Two or more losses in a row, or fewer with a lost connection. */
export interface Outage {
  /** When the first lost message was due, in ISO 8601. */
  readonly from: string;
  /** When the next answered message was due; undefined while there is none. */
  readonly to?: string;
  /** From one to the other, or until now, in ms. */
  readonly duration: number;
  /** Messages lost. */
  readonly lost: number;
}

/** Finds outages in the outcomes of messages, which are given in the order in which they were due. */
export class Outages {
  /** Those that are over, the first 1,000 of them. */
  readonly over: Outage[] = [];

  #losses: { readonly from: number; count: number; isCut: boolean } | undefined; // since an answer

  /**
   * Records a message, if its fate is known.
   * @returns the outage that it ends, if any
   */
  record({ state, since }: Pick<Probe, "state" | "since">): Outage | undefined {
    if (state === "lost" || state === "late" || state === "cut") {
      const losses = this.#losses ??= { from: since, count: 0, isCut: false };
      losses.count++;
      losses.isCut ||= state === "cut";
    }
    if (state !== "answered" && state !== "wrong") return undefined;
    const outage = this.#current(since, true);
    this.#losses = undefined;
    if (outage !== undefined && this.over.length < MAX_LISTED) this.over.push(outage);
    return outage;
  }

  /** The outages so far, with the one that is not over. */
  until(now: number): Outage[] {
    return [...this.over, this.#current(now, false) ?? []].flat();
  }

  #current(until: number, isOver: boolean): Outage | undefined {
    const { from = 0, count = 0, isCut = false } = this.#losses ?? {};
    if (count < 2 && !isCut) return undefined;
    const to = isOver ? { to: timeOf(until) } : {};
    return { from: timeOf(from), ...to, duration: rounded(until - from), lost: count };
  }
}

/** A time of `performance.now()` as a time of day. */
function timeOf(time: number): string {
  return new Date(Date.now() - performance.now() + time).toISOString();
}
