// deno-lint-ignore-file no-console -- a program, which prints where it listens
/** Sends every message back with the time at which it was received. */

import { formatAddress, serve } from "@readback/readback";

const server = serve((message, reply) => {
  reply.write("[");
  reply.write(message);
  reply.write(`] ${new Date(message.receivedAt).toISOString()}`);
}, { onListen: (addr) => console.log("listening on", formatAddress(addr)) });
await server.finished;
