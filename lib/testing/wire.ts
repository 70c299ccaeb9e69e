/** A raw socket for literal bytes: what a peer sends and what it gets, byte for byte. */

import { assertEquals } from "@std/assert";

/** What no wait for bytes should take, in ms: only a failure does. */
const PATIENCE = 20_000;

/** A stamp, and a reply's beginning to its end, as patterns. */
export const STAMP = "[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d \\d{4}";

/** A connection of a test's own. */
export class Wire implements Disposable {
  #held = "";

  private constructor(readonly conn: Deno.TcpConn) {}

  /** Connects to a port of this machine. */
  static async dial(port: number, hostname = "127.0.0.1"): Promise<Wire> {
    const conn = await Deno.connect({ hostname, port });
    conn.setNoDelay(true);
    return new Wire(conn);
  }

  /** Sends bytes; a text's characters are its bytes (Latin-1). */
  async send(bytes: string | Uint8Array): Promise<void> {
    let left = typeof bytes === "string" ? latin1(bytes) : bytes;
    while (left.length > 0) left = left.subarray(await this.conn.write(left));
  }

  /** Half-closes: no more will be sent. */
  async end(): Promise<void> {
    await this.conn.closeWrite();
  }

  /** The next bytes, up to and with the first that match. */
  async until(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(this.#held);
      if (found) {
        const all = this.#held.slice(0, found.index + found[0].length);
        this.#held = this.#held.slice(all.length);
        return all;
      }
      if (!await this.#read()) throw new Error(`end-of-file, not ${pattern}: ${this.#held}`);
    }
  }

  /** All that comes until end-of-file. */
  async rest(): Promise<string> {
    while (await this.#read());
    const all = this.#held;
    this.#held = "";
    return all;
  }

  /** What one read returns. */
  async read(): Promise<string> {
    await this.#read();
    const all = this.#held;
    this.#held = "";
    return all;
  }

  [Symbol.dispose](): void {
    this.conn[Symbol.dispose]();
  }

  async #read(): Promise<boolean> {
    const buffer = new Uint8Array(65536);
    const timer = setTimeout(() => this.conn.close(), PATIENCE);
    try {
      const count = await this.conn.read(buffer);
      this.#held += text(buffer.subarray(0, count ?? 0));
      return count !== null;
    } finally {
      clearTimeout(timer);
    }
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

/** Replies with `STAMP` for each stamp, so that they can be compared. */
export function unstamped(replies: string): string {
  return replies.replace(new RegExp(`\\] ${STAMP}`, "g"), "] STAMP");
}

/** Checks what is sent on one connection, then half-closed, against what should come back. */
export async function assertReplies(port: number, sent: string, replies: string): Promise<void> {
  using wire = await Wire.dial(port);
  await wire.send(sent);
  await wire.end();
  assertEquals(unstamped(await wire.rest()), replies);
}
