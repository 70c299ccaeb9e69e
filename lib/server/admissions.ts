/** The steps before a conversation: handshake, PROXY header, `verify`. Each client has a time limit. */

import { timeLimit } from "../wait.ts";

/** The time limit of a client's admission, in ms. */
export const ADMISSION_LIMIT = 10_000;
/** The most admissions in progress; one more, and the oldest is given up. */
const MAX_ADMISSIONS = 1000;
/** With so many in progress, they have priority: one client is accepted per turn of the event loop. */
const CROWD = 100;

/** The admission of one client. */
export class Admission {
  /** True once it was given up: the client must not be served. */
  isOver = false;
  /** True once only a free slot is missing. */
  isSettled = false;
  readonly #givenUp = Promise.withResolvers<never>();
  readonly #cancel: () => void;

  /** @param limit in ms */
  constructor(limit: number) {
    this.#cancel = timeLimit(limit, () => this.giveUp(tooSlow(limit)));
  }

  /** Rejects when the admission is given up; never resolves. */
  get givenUp(): Promise<never> {
    return this.#givenUp.promise;
  }

  /** Gives the admission up. */
  giveUp(reason: string): void {
    this.isOver = true;
    this.#givenUp.reject(new Error(reason));
  }

  /** Ends the time limit: waiting for a free slot has none. */
  settle(): void {
    this.isSettled = true;
    this.#cancel();
  }
}

/** The admissions in progress. */
export class Admissions {
  readonly #admissions = new Set<Admission>();
  readonly #limit: number;

  /**
   * @param idleTimeout shortens the time limit, in ms; 0 does not
   * @param most admissions in progress; one more, and the oldest is given up
   */
  constructor(idleTimeout: number, readonly most: number = MAX_ADMISSIONS) {
    this.#limit = Math.min(idleTimeout || ADMISSION_LIMIT, ADMISSION_LIMIT);
  }

  /** The number in progress. */
  get size(): number {
    return this.#admissions.size;
  }

  /** True if so many are in progress that they have priority over new clients. */
  get isCrowd(): boolean {
    return this.#admissions.size >= CROWD;
  }

  /** Gives up all that wait for more than a free slot. */
  giveUp(reason: string): void {
    for (const admission of this.#admissions) if (!admission.isSettled) admission.giveUp(reason);
  }

  /**
   * Takes the steps of one client's admission.
   * @throws {Error} the error of a step, or the reason why it was given up
   */
  async admit(steps: (admission: Admission) => Promise<void>): Promise<void> {
    const [oldest] = this.#admissions;
    if (this.#admissions.size === this.most && oldest !== undefined) {
      this.#admissions.delete(oldest);
      oldest.giveUp("too many others came before it had begun");
    }
    const admission = new Admission(this.#limit);
    this.#admissions.add(admission);
    try {
      await Promise.race([steps(admission), admission.givenUp]);
    } finally {
      admission.settle();
      this.#admissions.delete(admission);
    }
  }
}

/** Explains that a client's admission exceeded its time limit, in ms. */
export function tooSlow(limit: number): string {
  return `did not begin within ${limit / 1000}s`;
}
