/** Random numbers that can be had again: the same seed gives the same ones. Pure. */

/** A source of random numbers: returns one from 0 up to, not with, 1. */
export type Random = () => number;

/**
 * Begins a sequence of random numbers of its own for each combination of these (mulberry32).
 * @param seeds whole numbers of up to 32 bits
 */
export function randomOf(...seeds: readonly number[]): Random {
  let state = 0;
  // A step of MurmurHash3 each: what differs in one bit differs in half of the state's.
  for (const seed of seeds) {
    let mixed = Math.imul(state ^ seed, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    state = (mixed ^ (mixed >>> 16)) + 0x9e3779b9 | 0;
  }
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
