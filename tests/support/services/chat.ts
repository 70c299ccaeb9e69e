// deno-lint-ignore-file no-console -- a program, which prints where it listens
/** Sends each line to everybody in the room. A client that does not read misses lines and delays nobody. */

import { type Client, formatAddress, serve } from "@readback/readback";

const room = new Set<Client<string>>();
let guests = 0;

function sendToAll(line: string): void {
  for (const client of room) client.write(`${line}\n`);
}

const server = serve<string>((message, _reply, client) => {
  sendToAll(`${client.state}: ${message.text}`);
}, {
  framing: "line",
  onOpen(client) {
    const name = `guest ${++guests}`;
    client.write(`welcome, ${name}\n`);
    sendToAll(`${name} is here`);
    room.add(client);
    return name;
  },
  onClose(client) {
    room.delete(client);
    sendToAll(`${client.state} has left`);
  },
  onListen: (addr) => console.log("listening on", formatAddress(addr)),
});
await server.finished;
