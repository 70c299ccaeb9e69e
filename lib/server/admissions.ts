/** What comes before a conversation: a handshake, a proxy's header, the question whether the client is let in. */

/** How long that may take at most, in ms. */
export const ADMISSION_LIMIT = 10_000;
/** The most that may be under way at once; one more, and the oldest is given up. */
const MOST = 1000;
/** Where so many are under way, they go first: one more is accepted in a turn of the event loop. */
const CROWD = 100;

/** A client's way in. */
export class Admission {
  /** It was given up: the client is not let in any more. */
  isOver = false;
  /** It has done what comes before a conversation. */
  isSettled = false;
  readonly #givenUp = Promise.withResolvers<never>();
  readonly #late: ReturnType<typeof setTimeout>;

  /** @param patience how long it may take, in ms */
  constructor(patience: number) {
    const late = () => this.giveUp(`did not begin within ${patience / 1000}s`);
    this.#late = setTimeout(late, patience);
  }

  /** Rejects when it is given up, and never resolves. */
  get givenUp(): Promise<never> {
    return this.#givenUp.promise;
  }

  /** Gives it up. */
  giveUp(why: string): void {
    this.isOver = true;
    this.#givenUp.reject(new Error(why));
  }

  /** Only a place is missing now: for that it may wait as long as it takes. */
  settle(): void {
    this.isSettled = true;
    clearTimeout(this.#late);
  }
}

/** All that are under way. */
export class Admissions {
  readonly #entries = new Set<Admission>();
  readonly #patience: number;

  /** @param idleTimeout how long a client may do nothing, in ms; 0 for ever */
  constructor(idleTimeout: number) {
    this.#patience = Math.min(idleTimeout || ADMISSION_LIMIT, ADMISSION_LIMIT);
  }

  /** How many are under way. */
  get size(): number {
    return this.#entries.size;
  }

  /** So many are under way that they go first. */
  get isCrowd(): boolean {
    return this.#entries.size >= CROWD;
  }

  /** Gives up all that have not done what comes before a conversation. */
  giveUp(why: string): void {
    for (const entry of this.#entries) if (!entry.isSettled) entry.giveUp(why);
  }

  /**
   * Lets a client in by these steps.
   * @throws {Error} what a step throws, or why it was given up
   */
  async admit(steps: (entry: Admission) => Promise<void>): Promise<void> {
    const [oldest] = this.#entries;
    if (this.#entries.size === MOST && oldest !== undefined) {
      this.#entries.delete(oldest);
      oldest.giveUp("too many others came before it had begun");
    }
    const entry = new Admission(this.#patience);
    this.#entries.add(entry);
    try {
      await Promise.race([steps(entry), entry.givenUp]);
    } finally {
      entry.settle();
      this.#entries.delete(entry);
    }
  }
}
