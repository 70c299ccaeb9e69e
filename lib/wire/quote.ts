/** Any bytes to text that is safe to print: no terminal or log obeys it; and events to JSON. Pure. */

const NAMED: Readonly<Record<number, string>> = { 9: "\\t", 10: "\\n", 13: "\\r" };
/** Every byte escaped. */
const ESCAPED = Array.from(
  { length: 256 },
  (_, byte) => NAMED[byte] ?? `\\x${byte.toString(16).padStart(2, "0")}`,
);
/** As Python's `isprintable`: no control, format, unassigned or separator but the space. */
const UNPRINTABLE = /[\p{C}\p{Z}]/u;
/**
 * What a joiner (U+200C, U+200D) is between where it is not just invisible: letters, whose shapes it
 * joins or keeps apart (Unicode's UAX #31 on joining controls, here for letters of any script), or
 * pictographs that it makes one of (UTS #51 on emoji ZWJ sequences).
 */
const JOINED =
  /^[\p{L}\p{M}]{2}$|^[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]\p{Extended_Pictographic}$/u;
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** How much of long data is shown, in bytes. */
const SHOWN = 1024;

/**
 * Printable UTF-8 as it is, every other byte as `\xNN` (or `\n`, `\r`, `\t`).
 * @param also characters that get a backslash before them
 */
export function escape(bytes: Uint8Array, also = ""): string {
  const parts: string[] = []; // joined at the end: a string that grows by a piece a byte costs ten times its length
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at] as number;
    const character = characterAt(bytes, at) ?? joinerAt(bytes, at, parts.at(-1) ?? "");
    if (character === null) parts.push(ESCAPED[byte] as string);
    else parts.push(also.includes(character) ? `\\${character}` : character);
    at += character === null ? 1 : bytesOf(byte);
  }
  return parts.join("");
}

/** `"i am binary"`; data of over 1,024 bytes is cut and its length said. */
export function quote(data: Uint8Array | string): string {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const shown = bytes.length > SHOWN ? bytes.subarray(0, SHOWN) : bytes;
  const text = `"${isPlain(shown) ? utf8.decode(shown) : escape(shown, '"\\')}"`;
  return bytes.length > SHOWN ? `${text}... (${bytes.length} bytes)` : text;
}

/** Most of what people say is: printable ASCII with nothing to escape. */
function isPlain(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c) return false;
  }
  return true;
}

/** The printable character that begins at a byte, or null if none does. */
function characterAt(bytes: Uint8Array, at: number): string | null {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return first >= 0x20 && first < 0x7f ? String.fromCharCode(first) : null;
  // Checked here, since a decoder that throws takes 10 µs a byte: a client that sends no text would be a flood.
  if (first < 0xc2 || first > 0xf4) return null;
  const bytesHere = bytes.subarray(at, at + bytesOf(first));
  if (bytesHere.length < bytesOf(first)) return null;
  for (let next = 1; next < bytesHere.length; next++) {
    if (((bytesHere[next] as number) & 0xc0) !== 0x80) return null;
  }
  const character = utf8.decode(bytesHere);
  // More than one: overlong, a surrogate or past the last, decoded as several U+FFFD.
  return [...character].length > 1 || UNPRINTABLE.test(character) ? null : character;
}

/** The joiner that begins at a byte, or null if none does or it joins nothing. */
function joinerAt(bytes: Uint8Array, at: number, before: string): string | null {
  if (bytes[at] !== 0xe2 || bytes[at + 1] !== 0x80) return null;
  const joiner = bytes[at + 2] === 0x8c ? "\u200c" : bytes[at + 2] === 0x8d ? "\u200d" : null;
  return JOINED.test(before + (characterAt(bytes, at + 3) ?? "")) ? joiner : null;
}

/** How many bytes a UTF-8 character has, told by its first. */
function bytesOf(first: number): number {
  return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/** An event as a JSON object, without a line end; bytes become text with all that is not printable escaped. */
export function asJson({ event, ...fields }: { readonly event: string }, now: Date): string {
  const told: Record<string, unknown> = { time: now.toISOString(), event, ...fields };
  for (const name in told) {
    const value = told[name];
    if (value instanceof Uint8Array) told[name] = escape(value.subarray(0, SHOWN), "\\");
  }
  return JSON.stringify(told);
}
