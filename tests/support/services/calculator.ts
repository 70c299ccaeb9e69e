// deno-lint-ignore-file no-console -- a program, which prints where it listens
/** A calculator: `2 + 3` is answered `5`. */

import { formatAddress, serve } from "@readback/readback";

const OPERATIONS = new Map<string, (left: number, right: number) => number>([
  ["+", (left, right) => left + right],
  ["-", (left, right) => left - right],
  ["*", (left, right) => left * right],
  ["/", (left, right) => left / right],
]);

const server = serve((message, reply) => {
  const [left, operator = "", right] = message.text.split(" ");
  const operation = OPERATIONS.get(operator);
  if (operation === undefined) reply.write("error: write two numbers with + - * or / between");
  else reply.write(`${operation(Number(left), Number(right))}`);
}, {
  framing: "line",
  onListen: (addr) => console.log("listening on", formatAddress(addr)),
});
await server.finished;
