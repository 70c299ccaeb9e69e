/** Small servers for clients that are tested. */

import { FakeServer } from "../../lib/testing/fake_server.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { Framer, messagesOf } from "../../lib/wire/framing.ts";

/**
 * A server of lines.
 * @param answer sends anything for a line; false closes the connection
 */
export function lines(
  answer: (line: string, send: (text: string) => Promise<void>) => Promise<boolean | void>,
): FakeServer {
  return FakeServer.start(async (conn) => {
    const send = async (text: string) => void await conn.write(latin1(text));
    for await (const message of messagesOf(conn, new Framer("line", 1 << 20))) {
      if (await answer(text(message), send) === false) return;
    }
  });
}

/** A reply as our server sends it; to `ping 1` it has 33 bytes. */
export const reply = (line: string) => `[${line}] Mon Dec  9 18:15:50 2019\n`;

/** Sends back what it receives, from the connection of this number on; drops those before. */
export function echo(options: { port?: number; from?: number } = {}): FakeServer {
  let connections = 0;
  return FakeServer.start(async (conn) => {
    const isDropped = ++connections < (options.from ?? 1);
    const buffer = new Uint8Array(65536);
    for (let size; (size = await conn.read(buffer)) !== null && !isDropped;) {
      for (let left = buffer.subarray(0, size); left.length > 0;) {
        left = left.subarray(await conn.write(left));
      }
    }
  }, options);
}

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  await using server = echo();
  return server.port;
}
