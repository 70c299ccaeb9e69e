// deno-lint-ignore-file no-console -- a program, which prints where it listens
/** Works on ten messages at once and answers them in order: `30 tea` is answered `tea`, after 30 ms. */

import { setTimeout as wait } from "node:timers/promises";
import { formatAddress, serve } from "@readback/readback";

const server = serve(async (message, reply) => {
  const [milliseconds, what = ""] = message.text.split(" ");
  await wait(Number(milliseconds));
  console.log("done", what);
  reply.write(what);
}, {
  framing: "line",
  concurrency: 10, // for each conversation; its next messages wait
  onListen: (addr) => console.log("listening on", formatAddress(addr)),
});
await server.finished;
