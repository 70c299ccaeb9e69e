/**
 * A measurement whose figures are discarded, before the one that counts. The runtime compiles what
 * runs for the first time, which would add 5 to 50 ms to the first round trip.
 */

import { isAddress } from "../net/address.ts";
import type { FamilyOptions } from "../net/connect.ts";
import { bind, DatagramSocket } from "../net/udp.ts";
import type { Conn } from "../net/conn.ts";
import { ConnTransport } from "./conn_transport.ts";
import { Measurement } from "./measurement.ts";
import { connectAttempts, datagrams } from "./transport.ts";

/** Round trips at most, and the time for them in ms. */
const COUNT = 10, TIME = 60;
const HOW = { any: false, messages: [], framing: "line", greeting: false } as const;

/**
 * Warms up what carries messages. Connections in memory need no permission; without the permission
 * to listen on the loopback, nothing else is warmed up.
 */
export async function warmUp(how: { udp: boolean; connect: boolean }, where: FamilyOptions) {
  const { state } = await Deno.permissions.query({ name: "net", host: "127.0.0.1" }); // no prompt
  if (!how.udp && !how.connect) await measure((all) => new ConnTransport(all, echo, HOW));
  else if (state === "granted") await (how.udp ? warmUpDatagrams() : warmUpConnections(where));
}

async function warmUpDatagrams(): Promise<void> {
  const echo = await bind("127.0.0.1", 0);
  echo.on("message", (datagram, { port, address }) => echo.send(datagram, port, address));
  const socket = await DatagramSocket.connect("127.0.0.1", echo.address().port, "line");
  await measure((all) => datagrams(all, socket));
  echo.close();
}

/** Warms up by connections, with TLS or without. */
async function warmUpConnections({ hostname = "", tls }: FamilyOptions): Promise<void> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  // No certificate is needed: a handshake fails.
  const refusing = Array.fromAsync(listener, (conn) => conn.close()).catch(() => {});
  const name = isAddress(hostname) ? "127.0.0.1" : "localhost";
  const where = { hostname: name, port: listener.addr.port, tls };
  await measure((all) => connectAttempts(all, where));
  listener.close();
  await refusing; // now, and not while the first connection is measured
}

async function measure(make: Parameters<Measurement["add"]>[0]): Promise<void> {
  const options = { ...HOW, interval: 0, count: COUNT, timeout: TIME, connections: 1 };
  const measurement = new Measurement(options, { report: () => Promise.resolve(), complain() {} });
  measurement.add(make);
  await measurement.run(AbortSignal.timeout(TIME));
}

/** A connection that returns what was written, one message at a time. */
function echo(): Promise<Conn> {
  let written = Promise.withResolvers<Uint8Array>();
  return Promise.resolve({
    write: (bytes) => (written.resolve(bytes), Promise.resolve(bytes.length)),
    async read(into) {
      const bytes = await written.promise;
      written = Promise.withResolvers();
      into.set(bytes);
      return bytes.length;
    },
    closeWrite: () => Promise.resolve(),
    close() {},
  });
}
