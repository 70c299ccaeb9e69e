/** Random numbers that can be had again: tests print the seed, and READBACK_SEED sets it. */

import { randomOf } from "../../lib/faults/random.ts";

/** The seed of this run. */
export const SEED = Number(Deno.env.get("READBACK_SEED") ?? Date.now() % 2 ** 31);

const KINDS = [10, 13, 97, 98, 91, 93] as const;

/** The library's random numbers, and what tests make of them. */
export class Random {
  /** A number from 0 up to, not with, 1. */
  readonly next: () => number;

  constructor(readonly seed = SEED) {
    this.next = randomOf(seed);
  }

  /** A whole number from 0 up to, not with, `below`. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** One of these. */
  of<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0];
  }

  /** So many bytes, mostly of a few kinds that matter to framing. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at++) bytes[at] = KINDS[this.below(7)] ?? this.below(256);
    return bytes;
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
