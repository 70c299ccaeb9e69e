/** A message: a place in a buffer, while it is handled. */

const NONE = new Uint8Array(0);
const decoder = new TextDecoder();

/**
 * A message, while it is handled: a place in a buffer that is used again. To make
 * each a view of its own would cost as much as to answer it.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Message } from "@readback/readback";
 *
 * const message = new Message(new TextEncoder().encode("héllo"));
 * assertEquals([message.text, message.length, message.bytes.length], ["héllo", 6, 6]);
 * ```
 */
export class Message {
  /** Where it begins in its buffer. */
  start = 0;
  /** Where it ends; its ending is not in it. */
  end: number;
  /** When it was heard, in ms since 1970; the one who reads says it. */
  receivedAt = 0;
  /** Its buffer, to be read in steps of more than a byte. */
  readonly view: DataView;

  /**
   * Makes one of what a buffer holds.
   * @param source not copied
   * @param end of the message, in the buffer
   */
  constructor(readonly source: Uint8Array = NONE, end: number = source.length) {
    this.end = end;
    this.view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  }

  /** Its bytes: a view that holds as long as the message. */
  get bytes(): Uint8Array {
    return this.source.subarray(this.start, this.end);
  }

  /** Its bytes as UTF-8 text. */
  get text(): string {
    return decoder.decode(this.bytes);
  }

  /** Its length in bytes. */
  get length(): number {
    return this.end - this.start;
  }

  /** One of its own, to be kept. */
  copy(): Message {
    const copy = new Message(this.bytes.slice());
    copy.receivedAt = this.receivedAt;
    return copy;
  }
}

/**
 * A message grew past the limit before its end was seen.
 *
 * ```ts
 * import { assertEquals, assertRejects } from "@std/assert";
 * import { Peer, ErrorReply, serve } from "@readback/readback";
 * import { MessageTooLong } from "./message.ts";
 *
 * await using server = serve((message, reply) => reply.write(message), { maxMessage: 3 });
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * const { message } = new MessageTooLong(3);
 * assertEquals(message, "message longer than 3 bytes");
 * await assertRejects(() => peer.request("four"), ErrorReply, message);
 * ```
 */
export class MessageTooLong extends RangeError {
  /**
   * Makes the error.
   * @param limit the longest message allowed, in bytes
   */
  constructor(readonly limit: number) {
    super(`message longer than ${limit} bytes`);
  }
}
