/** The format of replies as a command line has it, with escapes. */

import { format } from "../server/readback.ts";
import { quote } from "../wire/quote.ts";

/** Escapes of one letter, and their bytes. */
const ESCAPES: Readonly<Record<string, number>> = { "\\n": 10, "\\r": 13, "\\t": 9, "\\\\": 92 };
const encoder = new TextEncoder();

/** Reads the format of replies, whose escapes stay until it is encoded. */
export function replyFormat(text: string): string {
  encodeEscapes(text);
  return format(text);
}

/**
 * Encodes a text in which `\\n`, `\\r`, `\\t`, `\\\\` and `\\xNN` stand for a byte each.
 * @throws {RangeError} if it has another escape
 */
export function encodeEscapes(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const [piece, hex] of text.matchAll(/\\x([\da-f]{2})|\\.?|[^\\]+/gis)) {
    const byte = hex === undefined ? ESCAPES[piece] : parseInt(hex, 16);
    if (byte === undefined && piece.startsWith("\\")) {
      throw new RangeError(
        `there is no escape ${quote(piece)}: write \\n, \\r, \\t, \\\\ or \\xNN`,
      );
    }
    bytes.push(...byte === undefined ? encoder.encode(piece) : [byte]);
  }
  return Uint8Array.from(bytes);
}
