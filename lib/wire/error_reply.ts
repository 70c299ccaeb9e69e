/** Error replies, which a server sends in place of a reply: `error: ` and the reason. Pure. */

import type { Message } from "./message.ts";

const encoder = new TextEncoder();
const OPENING = encoder.encode("error: ");

/** Returns an error reply as bytes, without its line ending. */
export function errorReply(reason: string): Uint8Array {
  return encoder.encode(`error: ${reason}`);
}

/** Returns true for an error reply. Other replies of readback begin with `[`. */
export function isErrorReply(line: Uint8Array): boolean {
  return OPENING.every((byte, at) => line[at] === byte);
}

/**
 * The server refused a message: its reply began with `error: `.
 *
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { ErrorReply, Peer, serve } from "@readback/readback";
 *
 * await using server = serve((_, reply) => reply.write("error: not today"));
 * using peer = await Peer.connect({ port: server.port });
 * await assertRejects(() => peer.request("hello"), ErrorReply, "the server refused: not today");
 * ```
 */
export class ErrorReply extends Error {
  /** The name of the class. */
  override readonly name = "ErrorReply";

  /**
   * Makes the error.
   *
   * @param reply the whole reply, `error: ` and a reason
   */
  constructor(readonly reply: Message) {
    super(`the server refused: ${reply.text.slice(OPENING.length).trim()}`);
  }
}
