/** A measurement that is not told, before one that is. */

import type { Conn } from "../net/listener.ts";
import { ConnectionTransport } from "./transport.ts";
import { Measurement } from "./measurement.ts";

const MESSAGES = 10;

/**
 * Measures an echo in memory: the runtime compiles what runs for the first time, and that would
 * count as 5 ms of the first round trip.
 */
export async function warmUp(): Promise<void> {
  const silent = { tell: () => Promise.resolve(), complain: () => {} };
  const options = { messages: [], interval: 0, count: MESSAGES, timeout: 0, any: false };
  const ping = new Measurement(options, silent);
  const how = { framing: "line", takesTurns: false, areAlike: false, greeting: false } as const;
  const connect = () => Promise.resolve(new Echo());
  await ping.run(new ConnectionTransport(ping, connect, how), new AbortController().signal);
}

/** A connection that reads back what was written, one message at a time. */
class Echo implements Conn {
  #written = Promise.withResolvers<Uint8Array>();

  write(bytes: Uint8Array): Promise<number> {
    this.#written.resolve(bytes);
    return Promise.resolve(bytes.length);
  }

  async read(into: Uint8Array): Promise<number> {
    const bytes = await this.#written.promise;
    this.#written = Promise.withResolvers();
    into.set(bytes);
    return bytes.length;
  }

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}
