/**
 * A measurement whose figures are discarded, before the one that counts. The runtime compiles what
 * runs for the first time, which would add 5 to 50 ms to the first round trip.
 */

import type { FamilyOptions } from "../net/connect.ts";
import { bind, DatagramSocket } from "../net/udp.ts";
import type { Conn } from "../net/conn.ts";
import { connectAttempts } from "./connect_transport.ts";
import { ConnTransport } from "./conn_transport.ts";
import { datagrams } from "./datagram_transport.ts";
import { Measurement } from "./measurement.ts";
import type { Transport, TransportCallbacks } from "./transport.ts";

/** Round trips at most, and the time for them in ms. */
const COUNT = 10, TIME = 60;

/** Warms up by messages over a connection in memory, which needs no permission. */
export async function warmUpMessages(): Promise<void> {
  const how = { framing: "line", takesTurns: false, areAlike: false, greeting: false } as const;
  const connect = () => Promise.resolve(echo());
  await measure((callbacks) => new ConnTransport(callbacks, connect, how));
}

/** Warms up by connections over the loopback, with TLS or without, if the program may listen there. */
export async function warmUpConnections({ hostname = "", tls }: FamilyOptions): Promise<void> {
  if (!await mayListen()) return;
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = (async () => {
    for await (const conn of listener) conn.close(); // no certificate is needed: a handshake fails
  })().catch(() => {});
  const name = /^[\d.]+$|:/.test(hostname) ? "127.0.0.1" : "localhost";
  const where = { hostname: name, port: listener.addr.port, tls };
  await measure((callbacks) => connectAttempts(callbacks, where));
  listener.close();
  await accepting;
}

/** Warms up by datagrams over the loopback, if the program may listen there. */
export async function warmUpDatagrams(): Promise<void> {
  if (!await mayListen()) return;
  const echo = await bind("127.0.0.1", 0);
  echo.on("message", (datagram, { port, address }) => echo.send(datagram, port, address));
  const socket = await DatagramSocket.connect("127.0.0.1", echo.address().port);
  await measure((callbacks) => datagrams(callbacks, socket, "line"));
  echo.close();
}

/** Returns whether the permission to listen is granted; never prompts. */
async function mayListen(): Promise<boolean> {
  const { state } = await Deno.permissions.query({ name: "net", host: "127.0.0.1" });
  return state === "granted";
}

async function measure(make: (callbacks: TransportCallbacks) => Transport): Promise<void> {
  const silent = { report: () => Promise.resolve(), complain: () => {} };
  const options = { messages: [], interval: 0, count: COUNT, timeout: 0, any: false };
  const measurement = new Measurement(options, silent);
  measurement.add(make);
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), TIME);
  await measurement.run(stop.signal);
  clearTimeout(timer);
}

/** A connection that returns what was written, one message at a time. */
function echo(): Conn {
  let written = Promise.withResolvers<Uint8Array>();
  return {
    write: (bytes) => (written.resolve(bytes), Promise.resolve(bytes.length)),
    async read(into) {
      const bytes = await written.promise;
      written = Promise.withResolvers();
      into.set(bytes);
      return bytes.length;
    },
    closeWrite: () => Promise.resolve(),
    close() {},
  };
}
