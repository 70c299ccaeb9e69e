/** Random numbers that can be had again: the seed is printed, and READBACK_SEED sets it. */

/** A source of random numbers; says its seed. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed = Number(Deno.env.get("READBACK_SEED") ?? Date.now() % 2 ** 31)) {
    this.seed = this.#state = seed;
  }

  /** A whole number from 0 up to, not with, `below` (mulberry32). */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }

  /** One of these. */
  of<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0];
  }

  /** So many bytes, mostly of a few kinds that matter to framing. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.of([10, 13, 97, 98, 91, 93, this.below(256)]));
  }

  /** These bytes, cut into pieces of up to `longest`. */
  cut(bytes: Uint8Array, longest: number): Uint8Array[] {
    const pieces = [];
    for (let at = 0; at < bytes.length;) {
      const length = 1 + this.below(longest);
      pieces.push(bytes.subarray(at, at + length));
      at += length;
    }
    return pieces;
  }
}
