/**
 * From accept() to a conversation: which errors to expect, the steps before, with a time limit for each
 * client, and a burst of clients.
 */

import { inTime, turn } from "../wait.ts";

const EXHAUSTED = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/**
 * Sorts the errors of accept(). `closed`: the listener is closed. `dead`: a connection died in the
 * listen queue, and the next one can be accepted at once. `exhausted`: the process has no descriptors
 * or memory left, and accept() will fail again. `unknown`: any other.
 */
export function classifyAcceptError(error: unknown): "closed" | "dead" | "exhausted" | "unknown" {
  const { BadResource, ConnectionAborted, ConnectionReset, NotConnected } = Deno.errors;
  const died = [ConnectionAborted, ConnectionReset, NotConnected];
  if (error instanceof BadResource) return "closed";
  if (died.some((ErrorClass) => error instanceof ErrorClass)) return "dead";
  return EXHAUSTED.includes(Object(error).code) ? "exhausted" : "unknown";
}

/** The time limit of a client's admission, in ms. */
export const ADMISSION_LIMIT = 10_000;

/** Begins a conversation, once there is a free slot. */
type Begin = () => void | Promise<void>;

/** The steps before a conversation that are in progress: handshake, PROXY header, `verify`. */
export class Admissions {
  readonly #unsettled = new Set<(reason: Error) => void>(); // each gives up one, the oldest first
  /** The number in progress. */
  size = 0;

  /**
   * @param limit the time limit, in ms
   * @param most admissions whose steps are in progress; one more, and the oldest is given up
   */
  constructor(readonly limit: number, readonly most: number) {}

  /** Gives up those whose steps are in progress, the oldest first, until `left` of them are left. */
  giveUp(reason: string, left = 0): void {
    for (const giveUp of this.#unsettled) {
      if (this.#unsettled.size <= left) return;
      this.#unsettled.delete(giveUp);
      giveUp(new Error(reason));
    }
  }

  /**
   * Takes the steps of one client's admission.
   * @param steps resolves to what begins the conversation, unless the client was turned away. That
   *   has no time limit, since it may wait for a slot, and can't be given up
   * @throws {Error} the error of a step, or the reason why it was given up
   */
  async admit(steps: Promise<Begin | void>): Promise<void> {
    const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>();
    this.giveUp("too many others came before it had begun", this.most - 1);
    this.#unsettled.add(giveUp);
    this.size++;
    try {
      const begin = await inTime(steps, this.limit, tooSlow(this.limit), givenUp);
      if (!this.#unsettled.delete(giveUp)) await givenUp; // in the same turn: throws the reason
      await begin?.();
    } finally {
      this.#unsettled.delete(giveUp);
      this.size--;
    }
  }
}

/** Explains that a client's admission exceeded its time limit, in ms. */
export function tooSlow(limit: number = ADMISSION_LIMIT): string {
  return `did not begin within ${limit / 1000}s`;
}

/** For so many milliseconds, clients are only accepted while more connect. */
const ACCEPT_FIRST = 500;
/** Then, so many conversations begin per turn of the event loop. */
const PER_TURN = 64;

/**
 * Begins conversations until none is waiting, and lets clients that connect all at once be accepted
 * first. To begin a conversation takes longer than to accept a client. With 10,000 at once the listen
 * queue would overflow, and late clients would wait a second for the system to try again.
 * @param waiting the connections that were accepted, to which more may be added
 */
export async function beginAll<T>(waiting: T[], begin: (one: T) => void): Promise<void> {
  const latest = performance.now() + ACCEPT_FIRST;
  while (waiting.length > 0) {
    const before = waiting.length;
    await turn(); // more may be accepted
    if (waiting.length > before && performance.now() < latest) continue;
    waiting.splice(0, PER_TURN).forEach(begin);
  }
}
