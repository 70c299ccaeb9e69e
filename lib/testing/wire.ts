/** A raw socket for literal bytes: what a peer sends and what it gets, byte for byte. */

import type { NetAddr } from "../net/addr.ts";
import type { Conn } from "../net/listener.ts";
import { asWritten, patternOf, shortened, TimeLimit, type Wait } from "./time_limit.ts";

/**
 * A connection of a test's own, until the end of the block that it is used in. A text stands for
 * bytes both ways, a character (Latin-1) a byte. It takes `--allow-net`.
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
 *
 * A wait fails once its patience is over, and at once at end-of-file; it says what had come.
 */
export class Wire implements Disposable {
  #held = "";

  /** The connection, for what a wire has no method for. */
  readonly conn: Conn & Disposable & { readonly localAddr: NetAddr; readonly remoteAddr: NetAddr };

  private constructor(conn: Deno.TcpConn) {
    this.conn = conn;
  }

  /** Connects to a port, of this machine unless another is named. */
  static async dial(port: number, hostname = "127.0.0.1"): Promise<Wire> {
    const conn = await Deno.connect({ hostname, port });
    conn.setNoDelay(true);
    return new Wire(conn);
  }

  /** Sends bytes. */
  async send(bytes: string | Uint8Array): Promise<void> {
    let left = typeof bytes === "string" ? latin1(bytes) : bytes;
    while (left.length > 0) left = left.subarray(await this.conn.write(left));
  }

  /** Half-closes: no more will be sent. */
  async end(): Promise<void> {
    await this.conn.closeWrite();
  }

  /** The next bytes, up to and with the first that match. */
  async until(words: string | RegExp, wait: Wait = {}): Promise<string> {
    const pattern = patternOf(words);
    using deadline = this.#deadline(wait, `${asWritten(words)} has not come`);
    for (;;) {
      const found = pattern.exec(this.#held);
      if (found) {
        const all = this.#held.slice(0, found.index + found[0].length);
        this.#held = this.#held.slice(all.length);
        return all;
      }
      if (!await this.#read(deadline)) {
        throw new Error(`${asWritten(words)} has not come before the end: ${this.#shown}`);
      }
    }
  }

  /** All that comes until end-of-file. */
  async rest(wait: Wait = {}): Promise<string> {
    using deadline = this.#deadline(wait, "the end has not come");
    while (await this.#read(deadline));
    return this.#taken();
  }

  /** What one read returns; nothing at end-of-file. */
  async read(wait: Wait = {}): Promise<string> {
    using deadline = this.#deadline(wait, "nothing has come");
    await this.#read(deadline);
    return this.#taken();
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.conn[Symbol.dispose]();
  }

  #deadline(wait: Wait, complaint: string): TimeLimit {
    return new TimeLimit(wait, (time) => {
      this.conn.close(); // nothing else ends a read
      return `${complaint} ${time}: ${this.#shown}`;
    });
  }

  /** What has come and was not taken. */
  get #shown(): string {
    return this.#held === "" ? "nothing came" : JSON.stringify(shortened(this.#held));
  }

  #taken(): string {
    const all = this.#held;
    this.#held = "";
    return all;
  }

  async #read(deadline: TimeLimit): Promise<boolean> {
    const buffer = new Uint8Array(65536);
    const count = await deadline.before(this.conn.read(buffer));
    this.#held += text(buffer.subarray(0, count ?? 0));
    return count !== null;
  }
}

/** A text's characters as bytes, one each. */
export function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Bytes as a text of as many characters. */
export function text(bytes: Uint8Array): string {
  let all = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    all += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return all;
}
