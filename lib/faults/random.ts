/** Random numbers that can be had again: the same seed gives the same ones. Pure. */

/** A source of random numbers (mulberry32). */
export class Random {
  #state = 0;

  /**
   * Begins a sequence of its own for each combination of these.
   * @param seeds whole numbers of up to 32 bits
   */
  constructor(...seeds: readonly number[]) {
    // A step of MurmurHash3 each: what differs in one bit differs in half of the state's.
    for (const seed of seeds) {
      let mixed = Math.imul(this.#state ^ seed, 0x85ebca6b);
      mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
      this.#state = (mixed ^ (mixed >>> 16)) + 0x9e3779b9 | 0;
    }
  }

  /** A number from 0 up to, not with, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 up to, not with, `below`. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }
}
