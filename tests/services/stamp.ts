// deno-lint-ignore-file no-console -- a program of its own
/** What was said, read back with the time it was heard. */

import { serve, showAddr } from "@readback/readback";

const server = serve((message, reply) => {
  reply.write("[");
  reply.write(message);
  reply.write(`] ${new Date(message.heard).toISOString()}`);
}, { onListen: (addr) => console.log("listening on", showAddr(addr)) });
await server.finished;
