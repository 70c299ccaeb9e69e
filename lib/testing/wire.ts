/** A raw socket for literal bytes. */

import { Buffer } from "node:buffer";
import type { NetAddr } from "../net/address.ts";
import type { Conn } from "../net/conn.ts";
import { ReceivedText } from "./received_text.ts";
import { asWritten, shortened, startTimeLimit, type Wait } from "./time_limit.ts";

/** The room for a read grows while reads fill it, in bytes. */
const [MIN_READ, MAX_READ] = [1 << 14, 1 << 18];
/** The most bytes that {@linkcode Wire.until} searches. */
const MOST_SEARCHED = 64 << 20;

/**
 * A TCP connection, until the end of its block. A text stands for bytes in both directions, each
 * character (Latin-1) for one byte. Needs `--allow-net`.
 *
 * A wait or a write fails at its time limit, which closes the connection. A wait fails at once when
 * the connection has ended. The error shows what was received.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { startServer, Wire } from "@readback/readback/testing";
 *
 * await using server = await startServer(["--reply", "<{message}>"]);
 * using wire = await Wire.dial(server.port);
 * await wire.send("\xff\r\nno line end");
 * await wire.end();
 * assertEquals(await wire.rest(), "<\xff>\r\n<no line end>");
 * ```
 */
export class Wire implements Disposable {
  readonly #received = new ReceivedText(); // what is before its position was returned
  #buffer = new Uint8Array(MIN_READ);
  #reading: Promise<boolean> | undefined; // shared by waits at the same time
  #isReset = false;

  private constructor(
    /** The connection, for what a wire has no method for. */
    readonly conn: Conn & Disposable & Readonly<Record<"localAddr" | "remoteAddr", NetAddr>>,
  ) {}

  /**
   * Connects to a port, by default of this machine.
   *
   * @throws {Error} if no connection is made within the time limit
   */
  static async dial(port: number, hostname = "127.0.0.1", wait: Wait = {}): Promise<Wire> {
    const giveUp = new AbortController();
    using limit = startTimeLimit(wait, (time) => {
      giveUp.abort();
      return `${hostname}:${port} has not accepted ${time}`;
    });
    const conn = await limit.before(Deno.connect({ hostname, port, signal: giveUp.signal }));
    conn.setNoDelay(true);
    return new Wire(conn);
  }

  /**
   * Sends bytes. Resolves once the system has taken all of them.
   *
   * @throws {TypeError} if a character is not a byte
   * @throws {Error} at the time limit if the peer does not read
   */
  async send(bytes: string | Uint8Array, wait: Wait = {}): Promise<void> {
    let left = typeof bytes === "string" ? latin1(bytes) : bytes;
    using limit = this.#limit(wait, () => `${left.length} bytes were not taken`);
    while (left.length > 0) left = left.subarray(await limit.before(this.conn.write(left)));
  }

  /** Half-closes the connection: nothing more will be sent. */
  async end(): Promise<void> {
    await this.conn.closeWrite();
  }

  /**
   * Waits for words.
   *
   * @param words a text, or a pattern; it may match up to 1 MiB
   * @returns all bytes received and not returned before, up to and including the first match
   */
  async until(words: string | RegExp, wait: Wait = {}): Promise<string> {
    const problem = `${asWritten(words)} was not received`;
    using limit = this.#limit(wait, () => problem);
    const search = this.#received.search(words);
    for (;;) {
      const start = this.#received.position;
      if (search()) return this.#take(start, this.#received.position);
      if (this.#received.end - start > MOST_SEARCHED) {
        throw new Error(`${problem} in ${MOST_SEARCHED} bytes: ${this.#shown}`);
      }
      if (!await limit.before(this.#more)) throw this.#failure(problem);
    }
  }

  /** Waits for end-of-file, and returns everything that was received and not returned before. */
  rest(wait: Wait = {}): Promise<string> {
    return this.#receive("end-of-file was not received", wait, true);
  }

  /** Returns what is received next; nothing at end-of-file. */
  read(wait: Wait = {}): Promise<string> {
    return this.#receive("nothing was received", wait, false);
  }

  /**
   * Waits until the peer has reset the connection.
   *
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { startServer, Wire } from "@readback/readback/testing";
   *
   * await using server = await startServer(["--fault", "reset@2"]);
   * using wire = await Wire.dial(server.port);
   * await wire.send("one\ntwo\n");
   * await wire.resets();
   * ```
   *
   * @returns everything that was received before and not returned before
   * @throws {Error} if the peer ends the connection otherwise
   */
  async resets(wait: Wait = {}): Promise<string> {
    const problem = "no reset was received";
    using limit = this.#limit(wait, () => problem);
    while (await limit.before(this.#more));
    if (this.#isReset) return this.#take();
    throw new Error(`${problem}, but end-of-file: ${this.#shown}`);
  }

  /** Closes the connection. */
  close(): void {
    this.conn[Symbol.dispose]();
  }

  /** Closes the connection. */
  readonly [Symbol.dispose]: () => void = this.close;

  #limit(wait: Wait, describe: () => string) {
    return startTimeLimit(wait, (time) => {
      this.close(); // nothing else ends a read or a write
      return `${describe()} ${time}: ${this.#shown}`;
    });
  }

  /** The bytes that were received and not returned, for an error. */
  get #shown(): string {
    const pending = this.#received.slice(this.#received.position);
    return pending === "" ? "received nothing" : `received ${JSON.stringify(shortened(pending))}`;
  }

  #take(start = this.#received.position, end = this.#received.end): string {
    const taken = this.#received.slice(start, end);
    this.#received.position = end;
    this.#received.drop(end);
    return taken;
  }

  async #receive(problem: string, wait: Wait, toEnd: boolean): Promise<string> {
    using limit = this.#limit(wait, () => problem);
    while (await limit.before(this.#more) && toEnd);
    if (this.#isReset) throw this.#failure(problem);
    return this.#take();
  }

  #failure(problem: string): Error {
    const [Failure, end] = this.#isReset ? [Deno.errors.ConnectionReset, "reset"] : [Error, "end"];
    return new Failure(`${problem} before the ${end}: ${this.#shown}`);
  }

  /** Resolves at the next bytes; false at the end. */
  get #more(): Promise<boolean> {
    return this.#reading ??= this.#read();
  }

  async #read(): Promise<boolean> {
    const count = await this.conn.read(this.#buffer).catch((error) => {
      if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
      this.#isReset = true;
      return null;
    });
    if (count === null) return false;
    this.#received.append(text(this.#buffer.subarray(0, count)));
    const { length } = this.#buffer;
    if (count === length && length < MAX_READ) this.#buffer = new Uint8Array(2 * length);
    this.#reading = undefined;
    return true;
  }
}

/**
 * Returns a text's characters as bytes, one each.
 * @throws {TypeError} if a character is not a byte
 */
export function latin1(text: string): Uint8Array<ArrayBuffer> {
  const wrong = /[^\0-\xff]/u.exec(text);
  if (wrong === null) return new Uint8Array(Buffer.from(text, "latin1"));
  const shown = JSON.stringify(wrong[0]);
  throw new TypeError(`${shown} is not a byte: send new TextEncoder().encode(text) for UTF-8`);
}

/** Returns bytes as a text of as many characters. */
export const text = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
