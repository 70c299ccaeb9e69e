// deno-lint-ignore-file no-console -- a program of its own
/** What was said, read back with the time it was heard. */

import { formatAddress, serve } from "@readback/readback";

const server = serve((message, reply) => {
  reply.write("[");
  reply.write(message);
  reply.write(`] ${new Date(message.receivedAt).toISOString()}`);
}, { onListen: (addr) => console.log("listening on", formatAddress(addr)) });
await server.finished;
