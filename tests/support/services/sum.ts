// deno-lint-ignore-file no-console -- a program, which prints where it listens
/** Keeps a state for each conversation: send numbers, receive their sum so far. `exit` ends it. */

import { formatAddress, serve } from "@readback/readback";

const server = serve<{ sum: number }>((message, reply, client) => {
  if (message.text === "exit") return client.end();
  const number = Number(message.text);
  if (Number.isNaN(number)) reply.write(`error: not a number: ${message.text}`);
  else reply.write(String(client.state.sum += number));
}, {
  framing: "line",
  onOpen: () => ({ sum: 0 }),
  onListen: (addr) => console.log("listening on", formatAddress(addr)),
});
await server.finished;
