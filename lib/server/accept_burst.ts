/**
 * Clients that come all at once: they are accepted first, and begun when no more come. To begin a
 * conversation takes longer than to accept a client; if each began before the next is accepted,
 * the listen queue would overflow at 10,000 at once, and the system let the late ones wait a second.
 */

import type { ServerConn } from "../net/listener.ts";
import { turn } from "../wait.ts";

/** For this long clients are only accepted while more come, in ms. */
const LONGEST = 500;
/** After that, this many begin before others are accepted. */
const PIECE = 64;

/** Clients that were accepted, and have not begun. */
export class AcceptBurst {
  readonly #arrived: ServerConn[] = [];
  #came = 0;
  #isBeginning = false;

  /**
   * @param begin begins a conversation
   * @param onOver is told when all have begun
   */
  constructor(readonly begin: (conn: ServerConn) => void, readonly onOver: () => void) {}

  /** How many have not begun. */
  get size(): number {
    return this.#arrived.length;
  }

  /** A client came. */
  add(conn: ServerConn): void {
    this.#came++;
    this.#arrived.push(conn);
    if (!this.#isBeginning) void this.#beginAll();
  }

  async #beginAll(): Promise<void> {
    this.#isBeginning = true;
    const latest = performance.now() + LONGEST;
    while (this.#arrived.length > 0) {
      const before = this.#came;
      await turn(); // others may be accepted
      if (this.#came > before && performance.now() < latest) continue;
      for (const conn of this.#arrived.splice(0, PIECE)) this.begin(conn);
    }
    this.#isBeginning = false;
    this.onOver();
  }
}
