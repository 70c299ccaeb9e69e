/** What a server tells people, in the tutorial's words, and programs, as events. */

import { showAddr } from "../net/address.ts";
import type { Ending, Witness } from "./conversation.ts";
import type { Message } from "../wire/framing.ts";
import { quote } from "../wire/quote.ts";

/** What there is to tell. `client` and `address` are addresses as people write them. */
export type Event =
  | { event: "listening"; address: string; host?: string; port?: number }
  | { event: "waiting" }
  | { event: "connected"; client: string }
  | { event: "message"; client: string; bytes: number; data: Uint8Array }
  | Ended
  | { event: "refused"; client: string; reason: string }
  | { event: "untold"; lines: number }
  | { event: "stopping" };

/** A conversation is over; `duration` is in ms, `bytes` are its messages'. */
export interface Ended {
  event: "ended";
  client: string;
  reason: Ending;
  messages: number;
  bytes: number;
  duration: number;
}

/** An event as a line for people; an empty one is not told. */
export function asText(told: Event): string {
  switch (told.event) {
    case "listening":
      return `listening on ${told.address}`;
    case "waiting":
      return "waiting connection...";
    case "message":
      return `Server received data: ${quote(told.data)} from ${told.client}`;
    case "refused":
      return `client ${told.client} was not let in: ${told.reason}`;
    case "ended":
      return endOf(told.client, told.reason);
    case "untold":
      return `(${told.lines} lines were not told)`;
    default:
      return "";
  }
}

function endOf(client: string, reason: Ending): string {
  switch (reason) {
    case "done": // the tutorial's V1 says nothing
      return "";
    case "left":
    case "reset":
      return `client ${client} has broken the connection...`;
    default:
      return `client ${client} was let go: ${reason}`;
  }
}

/** Tells a server's events, and counts who is there to say when nobody is. */
export class Transcript {
  #clients = 0;
  #stopping = false;
  #unnamed = 0;

  /**
   * @param tell where a told line goes
   * @param form turns an event to its line
   * @param quiet tells nothing else but that the server listens
   * @param once after the first client, no other is waited for
   */
  constructor(
    readonly tell: (line: string) => void,
    readonly form: (event: Event) => string,
    readonly quiet: boolean,
    readonly once = false,
  ) {}

  /**
   * The server listens at these addresses.
   * @param waits for connections
   */
  listening(addrs: readonly Deno.Addr[], waits = true): void {
    for (const addr of addrs) {
      const where = "hostname" in addr ? { host: addr.hostname, port: addr.port } : {};
      this.tell(this.form({ event: "listening", address: showAddr(addr), ...where }));
    }
    if (waits) this.#say({ event: "waiting" });
  }

  /** A message came that belongs to no connection. */
  message({ bytes: data }: Message, addr: Deno.Addr): void {
    if (this.quiet) return;
    this.#say({ event: "message", client: showAddr(addr), bytes: data.length, data });
  }

  /** A client came; what is given back is to be told what passes. */
  client(addr: Deno.Addr): Witness {
    if (this.quiet) return {};
    const client = this.#nameOf(addr);
    const since = performance.now();
    let messages = 0, bytes = 0;
    this.#clients++;
    this.#say({ event: "connected", client });
    return {
      heard: ({ bytes: data }) => {
        messages++;
        bytes += data.length;
        this.#say({ event: "message", client, bytes: data.length, data });
      },
      ended: (reason) => {
        this.#clients--;
        const duration = Math.round(performance.now() - since);
        this.#say({ event: "ended", client, reason, messages, bytes, duration });
        const waits = this.#clients === 0 && !this.#stopping && !this.once;
        if (waits) this.#say({ event: "waiting" });
      },
    };
  }

  /** A client was not let in. */
  refused(addr: Deno.Addr, reason: string): void {
    this.#say({ event: "refused", client: this.#nameOf(addr), reason });
  }

  /** The server stops: nobody will be waited for. */
  stopping(): void {
    this.#stopping = true;
    this.#say({ event: "stopping" });
  }

  /** Clients of a Unix socket have no address: they are numbered. */
  #nameOf(addr: Deno.Addr): string {
    return "hostname" in addr ? showAddr(addr) : `unix#${++this.#unnamed}`;
  }

  #say(event: Event): void {
    const line = this.quiet ? "" : this.form(event);
    if (line !== "") this.tell(line);
  }
}
