/**
 * A server as one writes it the first time, with every mistake that the battery is
 * there to see. Do not learn from it: it is what naive_server_test.ts proves the battery on.
 */

import { ctime } from "../../lib/server/readback.ts";

const encoder = new TextEncoder();

async function converse(conn: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(65536);
  for (;;) {
    const count = await conn.read(buffer); // rejects after a reset, and nobody catches it
    if (count === null) break;
    const message = new TextDecoder().decode(buffer.subarray(0, count)).trimEnd(); // one read, one message
    await conn.write(encoder.encode(`[${message}] ${ctime(Date.now())}\n`)); // as if it wrote all
  }
  conn.close();
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
await Deno.stdout.write(encoder.encode(`listening on 127.0.0.1:${listener.addr.port}\n`));
for await (const conn of listener) converse(conn); // ends when a connection dies in the queue
