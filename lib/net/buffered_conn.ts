/** A connection with a buffer: what has come is held until it is dropped. */

import type { Conn } from "./listener.ts";
import { describeTlsError } from "./tls.ts";
import { Deadline } from "./deadline.ts";

/** The least and the most room for a read, in bytes: it grows while reads fill it. */
const LEAST_READ = 4096;
const MOST_READ = 262144;
/** What may be held at first, in bytes. */
const MOST_HELD = 1 << 20;
/** What TLS answers to plain text begins with this, and with its version, 3. */
const TLS_ALERT = 21;

/** The client's end of a connection to a server. Its errors' messages are sentences. */
export class BufferedConn {
  /** How much may be held before it counts as a reply without an end, in bytes. */
  mostHeld = MOST_HELD;

  #bytes = new Uint8Array(LEAST_READ);
  #room = LEAST_READ; // for the next read
  #start = 0;
  #end = 0;
  #reading: Promise<boolean> | undefined;
  #failure: Error | undefined;

  /**
   * @param conn owned from here on
   * @param timeout how long a reply may take, in ms; 0 is for ever
   */
  constructor(readonly conn: Conn, readonly timeout: number) {}

  /** What has come and is not dropped yet: a view that holds until the next {@linkcode more}. */
  get held(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** Writes all of these bytes. */
  async send(bytes: Uint8Array): Promise<void> {
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await this.conn.write(bytes));
    } catch (error) {
      throw this.#failed(error, "the server has gone away");
    }
  }

  /** Waits until more has come; false at the end. All who wait share one read. */
  more(): Promise<boolean> {
    return this.#reading ??= this.#read().finally(() => this.#reading = undefined);
  }

  /** Forgets the first bytes of what is held. */
  drop(count: number): void {
    this.#start += count;
  }

  /** Rejects when the server goes away, and never resolves. */
  async gone(): Promise<never> {
    while (await this.more());
    throw this.over();
  }

  /** What is to be said of the server's end of the stream. */
  over(): Error {
    const [first, second] = this.held;
    if (first === TLS_ALERT && second === 3) {
      return new Error("the server speaks TLS: say --tls, and --ca FILE if it needs that");
    }
    return new Error(
      this.held.length > 0
        ? "the server closed the connection in the middle of a reply"
        : "the server has closed the connection",
    );
  }

  /** Says that no more messages will come. */
  async end(): Promise<void> {
    await this.conn.closeWrite().catch(() => {}); // the reading side tells what happened
  }

  /**
   * Fails the conversation when a reply takes longer than the timeout, unless disposed of, or put off, in time.
   * @param waits whether a reply is waited for
   * @param timeout in ms, where it is another
   * @param lacks what did not come then
   */
  deadline(waits?: () => boolean, timeout = this.timeout, lacks = "no reply"): Deadline {
    const late = () => this.close(new Error(`${lacks} within ${timeout / 1000}s`));
    return new Deadline(timeout, late, waits);
  }

  /** Closes the connection; whoever waits gets `failure`. */
  close(failure: Error = new Error("the conversation is over")): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.conn.close();
  }

  async #read(): Promise<boolean> {
    if (this.held.length > this.mostHeld) {
      throw new Error(`a reply of over ${this.mostHeld} bytes`);
    }
    const room = this.#makeRoom();
    try {
      const count = await this.conn.read(room);
      this.#end += count ?? 0;
      if (count === room.length) this.#room = Math.min(2 * this.#room, MOST_READ);
      return count !== null;
    } catch (error) {
      throw this.#failed(error, "the server has reset the connection");
    }
  }

  /** Why a read or a write failed. A TLS server may look at our certificate only after its handshake. */
  #failed(error: unknown, otherwise: string): Error {
    const why = describeTlsError(error);
    return this.#failure ?? new Error(why ? `the server has broken off: ${why}` : otherwise);
  }

  #makeRoom(): Uint8Array {
    const { held } = this;
    if (held.length === 0) this.#start = this.#end = 0;
    if (this.#bytes.length - this.#end < this.#room) {
      const larger = new Uint8Array(2 * held.length + this.#room);
      larger.set(held);
      this.#bytes = larger;
      this.#start = 0;
      this.#end = held.length;
    }
    return this.#bytes.subarray(this.#end);
  }
}
