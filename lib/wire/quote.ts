/** Bytes as text that is safe to print on terminals and in logs, and events as JSON. Pure. */

import { utf8 } from "./message.ts";

const NAMED: Readonly<Record<number, string>> = { 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\" };
/** The escape of each byte. */
const ESCAPED = Array.from(
  { length: 256 },
  (_, byte) => NAMED[byte] ?? `\\x${byte.toString(16).padStart(2, "0")}`,
);
/** Matches what Python's `isprintable` rejects: controls, format, unassigned, and separators but the space. */
const UNPRINTABLE = /[\p{C}\p{Z}]/u;
/**
 * Matches the two characters between which a joiner (U+200C, U+200D) is visible. Between letters of any
 * script, it changes their shapes (Unicode's UAX #31). Between pictographs, it combines them (UTS #51).
 */
const JOINED =
  /^[\p{L}\p{M}]{2}$|^[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]\p{Extended_Pictographic}$/u;
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Returns true for a byte of a UTF-8 character after its first. */
const isLater = (byte = 0) => (byte & 0xc0) === 0x80;

/** The most bytes of long data that are shown. */
const SHOWN = 1024;

/**
 * Returns printable UTF-8 as it is, and every other byte as `\xNN` (or `\n`, `\r`, `\t`).
 * @param also characters that are escaped with a backslash
 */
export function escape(bytes: Uint8Array, also = ""): string {
  const parts: string[] = []; // a string that grows by pieces costs ten times its length
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at] as number;
    const character = characterAt(bytes, at, parts.at(-1));
    if (character === null) parts.push(ESCAPED[byte] as string);
    else parts.push(also.includes(character) ? `\\${character}` : character);
    at += character === null ? 1 : bytesOf(byte);
  }
  return parts.join("");
}

/** Returns data in quotes, `"i am binary"`; over 1,024 bytes, it is truncated and its length added. */
export function quote(data: Uint8Array | string): string {
  const bytes = utf8(data);
  const shown = bytes.length > SHOWN ? bytes.subarray(0, SHOWN) : bytes;
  const quoted = `"${isPlain(shown) ? decoder.decode(shown) : escape(shown, '"\\')}"`;
  return bytes.length > SHOWN ? `${quoted}... (${bytes.length} bytes)` : quoted;
}

/** Returns true for printable ASCII with nothing to escape, which most data is. A loop is the fastest. */
function isPlain(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c) return false;
  }
  return true;
}

/** Returns the character that begins at a byte if it is printable, or a joiner after `before`; otherwise null. */
function characterAt(bytes: Uint8Array, at: number, before = ""): string | null {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return first >= 0x20 && first < 0x7f ? String.fromCharCode(first) : null;
  // Checked here, since a decoder that throws takes 10 µs per byte, which would let binary data delay others.
  const end = at + bytesOf(first);
  if (first < 0xc2 || !isLater(bytes[at + 1]) || !isLater(bytes[end - 1])) return null;
  const character = decoder.decode(bytes.subarray(at, end));
  // What is no character, such as an overlong form or a surrogate, is decoded as several U+FFFD.
  if ([...character].length === 1 && !UNPRINTABLE.test(character)) return character;
  const isJoiner = before !== "" && /^[\u200c\u200d]$/.test(character);
  return isJoiner && JOINED.test(before + (characterAt(bytes, end) ?? "")) ? character : null;
}

/** Returns the length of a UTF-8 character, in bytes, by its first byte. */
function bytesOf(first: number): number {
  return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/** Returns an event as a JSON object on one line; bytes become text, with unprintable ones escaped. */
export function asJson({ event, ...fields }: { readonly event: string }, now = new Date()): string {
  const shown: Record<string, unknown> = { time: now.toISOString(), event, ...fields };
  for (const name in shown) { // not by a replacer: a Buffer has its own form as JSON
    const value = shown[name];
    if (value instanceof Uint8Array) shown[name] = escape(value.subarray(0, SHOWN), "\\");
  }
  return JSON.stringify(shown);
}

const RIGHT_ESCAPES = "\\n, \\r, \\t, \\\\ or \\xNN";

/**
 * Encodes a text in which `\\n`, `\\r`, `\\t`, `\\\\` and `\\xNN` stand for a byte each.
 * @throws {RangeError} if it has another escape
 */
export function encodeEscapes(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const [piece, hex] of text.matchAll(/\\x([\da-f]{2})|\\.?|[^\\]+/gis)) {
    const byte = hex === undefined ? ESCAPED.indexOf(piece) : parseInt(hex, 16);
    if (byte < 0 && piece.startsWith("\\")) {
      throw new RangeError(`there is no escape ${quote(piece)}: write ${RIGHT_ESCAPES}`);
    }
    bytes.push(...byte < 0 ? utf8(piece) : [byte]);
  }
  return Uint8Array.from(bytes);
}
