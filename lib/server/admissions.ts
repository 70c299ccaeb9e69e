/** The steps before a conversation: handshake, PROXY header, `verify`. Each client has a time limit. */

import { timeLimit } from "../wait.ts";

/** The time limit of a client's admission, in ms. */
export const ADMISSION_LIMIT = 10_000;
/** The most admissions in progress; one more, and the oldest is given up. */
const MAX_ADMISSIONS = 1000;
/** With so many in progress, they have priority: one client is accepted per turn of the event loop. */
const CROWD = 100;

/** The admissions in progress. */
export class Admissions {
  readonly #limit: number;
  readonly #unsettled = new Set<(reason: string) => void>(); // give an admission up
  /** The number in progress. */
  size = 0;

  /**
   * @param idleTimeout shortens the time limit, in ms; 0 does not
   * @param most admissions in progress; one more, and the oldest is given up
   */
  constructor(idleTimeout: number, readonly most: number = MAX_ADMISSIONS) {
    this.#limit = Math.min(idleTimeout || ADMISSION_LIMIT, ADMISSION_LIMIT);
  }

  /** True if so many are in progress that they have priority over new clients. */
  get isCrowd(): boolean {
    return this.size >= CROWD;
  }

  /** Gives up all that wait for more than a free slot. */
  giveUp(reason: string): void {
    for (const giveUp of this.#unsettled) giveUp(reason);
  }

  /**
   * Takes the steps of one client's admission.
   * @param steps calls `settle` once only a free slot is missing: waiting for that has no time limit.
   *   `settle` returns false if the admission was given up, and the client must not be served
   * @throws {Error} the error of a step, or the reason why it was given up
   */
  async admit(steps: (settle: () => boolean) => Promise<void>): Promise<void> {
    const { promise: givenUp, reject } = Promise.withResolvers<never>();
    let isOver = false;
    const settle = () => {
      cancel();
      this.#unsettled.delete(giveUp);
      return !isOver;
    };
    const giveUp = (reason: string) => {
      isOver = true;
      settle();
      reject(new Error(reason));
    };
    const cancel = timeLimit(this.#limit, () => giveUp(tooSlow(this.#limit)));
    const [oldest] = this.#unsettled;
    if (this.#unsettled.size >= this.most) oldest?.("too many others came before it had begun");
    this.#unsettled.add(giveUp);
    this.size++;
    try {
      await Promise.race([steps(settle), givenUp]);
    } finally {
      settle();
      this.size--;
    }
  }
}

/** Explains that a client's admission exceeded its time limit, in ms. */
export function tooSlow(limit: number): string {
  return `did not begin within ${limit / 1000}s`;
}
