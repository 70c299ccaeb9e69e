/** Error replies, which a server sends in place of a reply: `error: ` and the reason. Pure. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const OPENING = encoder.encode("error: ");

/** Returns an error reply, without a line ending. */
export function errorReply(reason: string): Uint8Array {
  return encoder.encode(`error: ${reason}`);
}

/** Returns true if a line is an error reply. No other reply of readback's is: those begin with `[`. */
export function isErrorReply(line: Uint8Array): boolean {
  return OPENING.every((byte, at) => line[at] === byte);
}

/** Returns the reason in an error reply. */
export function errorReplyReason(line: Uint8Array): string {
  return decoder.decode(line.subarray(OPENING.length)).trim();
}
