/** Messages as positions in a buffer, why one can't be read, and error replies. Pure. */

/** No bytes. */
export const NONE: Uint8Array<ArrayBuffer> = new Uint8Array(0);
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();
const ERROR = utf8("error: ");

/** Encodes text as UTF-8. Returns bytes as they are. */
export function utf8(data: string | Uint8Array): Uint8Array {
  return typeof data === "string" ? encoder.encode(data) : data;
}

/**
 * A received message, valid until its handler is done; {@linkcode Message.copy} is valid for good.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Message, Peer, serve } from "@readback/readback";
 *
 * const kept: Message[] = [];
 * await using server = serve((message, reply) => {
 *   kept.push(message.copy());
 *   reply.write(message);
 * });
 * using peer = await Peer.connect({ port: server.port });
 * await peer.request("héllo");
 * assertEquals([kept[0]?.text, kept[0]?.length], ["héllo", 6]);
 * ```
 */
export interface Message<Value = unknown> {
  /** The bytes without the line ending or frame around them: a view, valid as long as the message. */
  readonly bytes: Uint8Array;
  /** The bytes decoded as UTF-8. */
  readonly text: string;
  /** The length in bytes. */
  readonly length: number;
  /** The time of receipt, in ms since 1970. */
  readonly receivedAt: number;
  /** The value that the custom framing's `read` returned; undefined with other framings. */
  readonly value: Value;
  /** Copies the message, to keep it after the handler is done. */
  copy(): Message<Value>;
}

/**
 * A message as a cursor over a buffer that is used again: a view object per message would cost as
 * much as answering it. The fields are read by the framer and by replies alone.
 */
export class MessageView<Value = unknown> implements Message<Value> {
  /** The position of the first byte in `source`. */
  start = 0;
  receivedAt = 0;
  value = undefined as Value;
  /** All of `source`, for reading several bytes at a time. */
  readonly view: DataView;

  /**
   * @param source not copied
   * @param end the position after the last byte
   */
  constructor(readonly source: Uint8Array = NONE, public end: number = source.length) {
    this.view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  }

  get bytes(): Uint8Array {
    return this.source.subarray(this.start, this.end);
  }

  get text(): string {
    return decoder.decode(this.bytes);
  }

  get length(): number {
    return this.end - this.start;
  }

  copy(): MessageView<Value> {
    const copy = new MessageView<Value>(this.bytes.slice());
    copy.receivedAt = this.receivedAt;
    copy.value = this.value;
    return copy;
  }
}

/**
 * The received bytes violate the protocol. If a custom framing throws this error, the server sends
 * `reply`, if given, closes the connection, and the conversation ends with `framing error`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type CustomFraming, FramingError, serve } from "@readback/readback";
 * import { Wire } from "@readback/readback/testing";
 *
 * const numbers: CustomFraming = {
 *   read(bytes) {
 *     if (bytes[0] === 0) throw new FramingError("zero is not allowed", { reply: "no zeros" });
 *     return { start: 0, end: 1 };
 *   },
 *   write: () => ({ after: "\n" }),
 * };
 * await using server = serve((message, reply) => reply.write(message), { framing: numbers });
 * using wire = await Wire.dial(server.port);
 * await wire.send("A\0");
 * assertEquals(await wire.rest(), "A\nno zeros\n");
 * ```
 */
export class FramingError extends Error {
  /** The name of the class. */
  override readonly name: string = "FramingError";
  /** Sent to the client as a reply before the connection is closed. */
  readonly reply: string | Uint8Array | undefined;

  /**
   * Makes the error.
   *
   * @param message one sentence
   */
  constructor(message: string, options: ErrorOptions & { reply?: string | Uint8Array } = {}) {
    super(message, options);
    this.reply = options.reply;
  }
}

/** A message grew past the limit before its end was received. */
export class MessageTooLong extends RangeError {
  /** @param limit the longest allowed message, in bytes */
  constructor(readonly limit: number) {
    super(`message longer than ${limit} bytes`);
  }
}

/** Copies the bytes of a message, or of a `Buffer`, whose `slice` is no copy. */
export function bytesOf(message: string | Uint8Array | Message): Uint8Array {
  if (typeof message === "string") return utf8(message);
  return new Uint8Array(message instanceof Uint8Array ? message : message.bytes);
}

/** Returns an error reply as bytes, without its line ending. */
export function errorReply(reason: string): Uint8Array {
  return utf8(`error: ${reason}`);
}

/** Returns true for an error reply. Other replies of readback begin with `[`. */
export function isErrorReply(line: Uint8Array): boolean {
  return ERROR.every((byte, at) => line[at] === byte);
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
    super(`the server refused: ${reply.text.slice(ERROR.length).trim()}`);
  }
}
