/**
 * Accepts clients that connect all at once before it serves them. To begin a conversation takes
 * longer than to accept a client. With 10,000 at once the listen queue would overflow, and late
 * clients would wait a second for the system to try again.
 */

import type { ServerConn } from "../net/listener.ts";
import { turn } from "../wait.ts";

/** For so many milliseconds, clients are only accepted while more connect. */
const ACCEPT_FIRST = 500;
/** After that, so many conversations begin per turn of the event loop. */
const PER_TURN = 64;

/** Connections that were accepted, and whose conversations have not begun. */
export class AcceptBurst {
  readonly #waiting: ServerConn[] = [];
  #accepted = 0;
  #isBeginning = false;

  /**
   * @param begin begins a conversation
   * @param onDone called when none is waiting any more
   */
  constructor(readonly begin: (conn: ServerConn) => void, readonly onDone: () => void) {}

  /** The number of waiting connections. */
  get size(): number {
    return this.#waiting.length;
  }

  /** Adds a connection that was accepted. */
  add(conn: ServerConn): void {
    this.#accepted++;
    this.#waiting.push(conn);
    if (!this.#isBeginning) void this.#beginAll();
  }

  async #beginAll(): Promise<void> {
    this.#isBeginning = true;
    const latest = performance.now() + ACCEPT_FIRST;
    while (this.#waiting.length > 0) {
      const before = this.#accepted;
      await turn(); // more may be accepted
      if (this.#accepted > before && performance.now() < latest) continue;
      for (const conn of this.#waiting.splice(0, PER_TURN)) this.begin(conn);
    }
    this.#isBeginning = false;
    this.onDone();
  }
}
