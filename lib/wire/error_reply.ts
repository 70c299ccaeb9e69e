/** A refusal: what a server says instead of a reply, `error: ` and why. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const OPENING = encoder.encode("error: ");

/** A refusal as it goes over the wire, without its line's ending. */
export function errorReply(reason: string): Uint8Array {
  return encoder.encode(`error: ${reason}`);
}

/** Whether a line is a refusal. No reply of readback's is: those begin with `[`. */
export function isErrorReply(line: Uint8Array): boolean {
  return OPENING.every((byte, at) => line[at] === byte);
}

/** The reason that a refusal gives. */
export function errorReplyReason(line: Uint8Array): string {
  return decoder.decode(line.subarray(OPENING.length)).trim();
}
