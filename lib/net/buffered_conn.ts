/** The client's end of a connection, with a buffer for the bytes received and not yet consumed. */

import { type FoundReply, nextReply, type ReplySearch } from "../wire/replies.ts";
import { Deadline } from "../wait.ts";
import { Closed, describeTlsError, TimeoutError } from "./errors.ts";
import type { Conn } from "./conn.ts";
import { FramingError } from "../wire/message.ts";

/** A reply may be longer than its message by this, in bytes. */
export const MAX_ADDED: number = 1 << 20;
/** The room for a read grows from MIN_READ to MAX_READ while reads fill it, in bytes. */
const MIN_READ = 4096;
const MAX_READ = 262144;
/** The content type of a TLS alert, the first byte with which a TLS server answers plain text. */
const TLS_ALERT = 21;

/** A connection to a server. The messages of its errors are sentences. */
export class BufferedConn {
  /** The most bytes to hold for a reply that has no end yet. */
  maxHeld = MAX_ADDED;
  /** The time of the last read, in milliseconds since 1970. */
  receivedAt = 0;
  /** The number of reads until now. */
  reads = 0;

  /** The bytes received and not consumed: a view, valid until the next read. After it is room for that. */
  held: Uint8Array = new Uint8Array(MIN_READ).subarray(0, 0);

  #room = MIN_READ; // for the next read
  #reading: Promise<boolean> | undefined;
  #isOver = false; // the server sends no more
  #failure: Error | undefined;

  /**
   * @param conn owned from here on
   * @param timeout the time limit of a reply, in milliseconds; 0 is none
   */
  constructor(readonly conn: Conn, readonly timeout: number) {}

  /** Writes all of these bytes. */
  async send(bytes: Uint8Array): Promise<void> {
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await this.conn.write(bytes));
    } catch (error) {
      throw this.#failed(error, "the server has disconnected");
    }
  }

  /** Reads once; false at the end. Calls at the same time share one read. */
  more(): Promise<boolean> {
    return this.#reading ??= this.#read().finally(() => this.#reading = undefined);
  }

  /** Removes the first bytes of what is held. */
  consume(count: number): void {
    this.held = this.held.subarray(count);
  }

  /** Finds a reply in what is held, and consumes it; null until more is read. */
  take(search: ReplySearch): FoundReply | null {
    const maxLength = this.maxHeld = (search.message?.length ?? 0) + MAX_ADDED;
    const found = nextReply(this.held, { ...search, maxLength, isOver: this.#isOver });
    if (found === null) return null;
    const reply = found.reply.slice();
    this.consume(found.length);
    return { ...found, reply };
  }

  /**
   * Reads until a reply is complete, and consumes it.
   * @throws {Closed} when the server closes the connection before that
   */
  async receive(search: ReplySearch): Promise<FoundReply> {
    for (;;) {
      const found = this.take(search);
      if (found !== null) return found;
      if (!await this.more()) throw this.endError();
    }
  }

  /** The error to report at the end of the server's data. */
  endError(): Closed {
    const [first, second] = this.held;
    if (first === TLS_ALERT && second === 3) {
      return new Closed("the server uses TLS: add --tls, and --ca FILE if needed");
    }
    if (first === undefined) return new Closed("the server has closed the connection");
    return new Closed("the server closed the connection in the middle of a reply");
  }

  /** Half-closes the connection. */
  async closeWrite(): Promise<void> {
    await this.conn.closeWrite().catch(() => {}); // a read reports what happened
  }

  /**
   * Closes the connection when a reply takes longer than the time limit.
   * @param isWaiting time counts only while it returns true
   * @param missing what did not happen then
   * @param late called instead of closing
   */
  deadline(
    isWaiting = () => true,
    missing = "no reply",
    late: (error: Error) => void = (error) => this.close(error),
  ): Deadline {
    const passed = () => late(new TimeoutError(missing, this.timeout));
    return new Deadline(this.timeout, passed, isWaiting, () => this.reads);
  }

  /** Closes the connection; reads and writes under way reject with `failure`. */
  close(failure: Error = new Closed("the connection is closed")): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.conn.close();
  }

  async #read(): Promise<boolean> {
    if (this.held.length > this.maxHeld) {
      throw new FramingError(`a reply is longer than ${this.maxHeld} bytes`);
    }
    const room = this.#makeRoom();
    try {
      const count = await this.conn.read(room);
      this.#isOver = count === null;
      const { length } = this.held; // some may have been consumed meanwhile
      this.held = new Uint8Array(room.buffer, room.byteOffset - length, length + (count ?? 0));
      this.reads++;
      this.receivedAt = Date.now();
      if (count === room.length) this.#room = Math.min(2 * this.#room, MAX_READ);
      return count !== null;
    } catch (error) {
      throw this.#failed(error, "the server has reset the connection");
    }
  }

  /** Explains a failed read or write. A TLS server may check our certificate only after its handshake. */
  #failed(error: unknown, otherwise: string): Error {
    const why = describeTlsError(error);
    return this.#failure ??
      new Closed(why ? `the server has ended the TLS connection: ${why}` : otherwise);
  }

  #makeRoom(): Uint8Array {
    const { length, buffer, byteOffset } = this.held;
    const room = new Uint8Array(buffer, length === 0 ? 0 : byteOffset + length);
    if (room.length >= this.#room) return room;
    const larger = new Uint8Array(2 * length + this.#room);
    larger.set(this.held);
    this.held = larger.subarray(0, length);
    return larger.subarray(length);
  }
}
