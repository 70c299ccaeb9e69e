// deno-lint-ignore-file no-console -- a program of its own
/** A room: what one says, all hear. Who does not listen misses it, and holds nobody up. */

import { type Client, formatAddress, serve } from "@readback/readback";

const room = new Set<Client<string>>();
let guests = 0;

function tell(line: string): void {
  for (const client of room) client.write(`${line}\n`);
}

const server = serve<string>((message, _reply, client) => {
  tell(`${client.state}: ${message.text}`);
}, {
  framing: "line",
  onOpen(client) {
    const name = `guest ${++guests}`;
    client.write(`welcome, ${name}\n`);
    tell(`${name} is here`);
    room.add(client);
    return name;
  },
  onClose(client) {
    room.delete(client);
    tell(`${client.state} has left`);
  },
  onListen: (addr) => console.log("listening on", formatAddress(addr)),
});
await server.finished;
