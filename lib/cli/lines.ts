/** Lines in a stream of bytes: cut, numbered and counted. */

import { Framer } from "../wire/framing.ts";
import type { Output } from "./pipes.ts";

const LF = 10;
/** LF in each byte of a word; and the lower seven bits of each byte. */
const LFS = 0x0a0a0a0a, LOW = 0x7f7f7f7f;

/** Cuts what is written into lines, and passes them on with their numbers. */
export class Lines implements Output {
  readonly #framer = new Framer("line", Infinity);
  #count = 0;

  /** @param onLine receives each line without its ending; a view, valid until it resolves */
  constructor(readonly onLine: (line: Uint8Array, seq: number) => Promise<unknown>) {}

  /** Bytes of a line that has not ended yet. */
  get held(): number {
    return this.#framer.rest.length;
  }

  async write(bytes: Uint8Array): Promise<void> {
    while (bytes.length > 0) {
      const room = this.#framer.room();
      const taken = bytes.subarray(0, room.length);
      room.set(taken);
      this.#framer.took(taken.length);
      await this.#passOn();
      bytes = bytes.subarray(taken.length);
    }
  }

  /** Passes on the last line, if it has no ending. */
  async end(): Promise<void> {
    this.#framer.end();
    await this.#passOn();
  }

  async #passOn(): Promise<void> {
    for (let line; (line = this.#framer.next()) !== null;) {
      await this.onLine(line.bytes, ++this.#count);
    }
  }
}

/** Counts LFs, four bytes at a time: byte by byte took a tenth of the filter's time. */
export function countLines(bytes: Uint8Array): number {
  const { buffer, byteOffset, length } = bytes;
  const before = Math.min(-byteOffset & 3, length); // bytes outside whole words, here and at the end
  const whole = (length - before) >> 2;
  const words = new Uint32Array(buffer, whole > 0 ? byteOffset + before : 0, whole);
  let count = 0;
  for (let at = 0; at < whole; at++) {
    const word = words[at] as number ^ LFS; // an LF is now a zero byte
    const low = (word & LOW) + LOW; // only a zero byte leaves bit 7 clear, here and in the word
    count += Math.imul(~(low | word | LOW) >>> 7, 0x01010101) >>> 24; // the sum of four bytes
  }
  for (let at = 0; at < before; at++) if (bytes[at] === LF) count++;
  for (let at = before + 4 * whole; at < length; at++) if (bytes[at] === LF) count++;
  return count;
}
