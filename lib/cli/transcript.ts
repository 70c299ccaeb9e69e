/** What a server tells people, in the tutorial's words, and programs, as events. */

import type { Addr } from "../net/addr.ts";
import { formatAddress } from "../net/address.ts";
import type { Faults } from "../faults/faults.ts";
import type { Client, Ending } from "../server/handler.ts";
import type { Message } from "../wire/message.ts";
import { quote } from "../wire/quote.ts";

/** What there is to tell. `client` and `address` are addresses as people write them. */
export type Event =
  | Listening
  | { event: "waiting" }
  | { event: "connected"; client: string }
  | { event: "message"; client: string; bytes: number; data: Uint8Array }
  | { event: "fault"; client: string; message?: number; fault: string }
  | { event: "eof"; client: string }
  | Ended
  | { event: "refused"; client: string; reason: string }
  | { event: "vanished"; clients: number }
  | { event: "untold"; lines: number }
  | { event: "stopping" };

/** The server is ready; `faults`, `orders` and `seed` say what it is to do wrong. */
export interface Listening {
  event: "listening";
  address: string;
  host?: string;
  port?: number;
  faults?: string;
  orders?: boolean;
  seed?: number;
}

/** A conversation is over; `duration` and `idle`, the time since a byte passed, are in ms, `bytes` are its messages'. */
export interface Ended {
  event: "ended";
  client: string;
  reason: Ending;
  messages: number;
  bytes: number;
  duration: number;
  idle: number;
}

/** What is to be known of a client while it is there. */
export interface Guest {
  /** Its address as people write it; clients of a Unix socket, which have none, are numbered. */
  readonly name: string;
  /** When it came, as `performance.now()` tells it. */
  readonly since: number;
  /** What it has said. */
  messages: number;
  /** Their length, all together. */
  bytes: number;
}

/** An event as a line for people; an empty one is not told. */
export function asText(told: Event): string {
  switch (told.event) {
    case "listening":
      return `listening on ${told.address}${askedFor(told)}`;
    case "waiting":
      return "waiting connection...";
    case "message":
      return `Server received data: ${quote(told.data)} from ${told.client}`;
    case "fault":
      return `fault ${told.fault} for ${told.client}`;
    case "refused":
      return `client ${told.client} was not let in: ${told.reason}`;
    case "ended":
      return endOf(told.client, told.reason);
    case "vanished":
      return told.clients === 1
        ? "(1 connection was reset before it was accepted)"
        : `(${told.clients} connections were reset before they were accepted)`;
    case "untold":
      return `(${told.lines} lines were not told)`;
    default:
      return "";
  }
}

/** A line that says what the server is to do wrong, if anything. */
function askedFor({ faults = "", orders, seed }: Listening): string {
  if (seed === undefined) return "";
  const asked = [faults, orders ? "by order" : ""].filter((text) => text !== "").join(", ");
  return `\nfaults: ${asked}; seed ${seed}`;
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

/** A client as people write it. */
export function nameOf({ state, addr }: Client<Guest | undefined | void>): string {
  return state?.name ?? formatAddress(addr);
}

/** Tells a server's events, and counts who is there to say when nobody is. */
export class Transcript {
  #guests = 0;
  #stopping = false;
  #unnamed = 0;
  #vanished = 0;

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
   * @param faults are what it is to do wrong
   */
  listening(addrs: readonly Addr[], waits: boolean, faults?: Faults): void {
    for (const addr of addrs) {
      const where = "hostname" in addr ? { host: addr.hostname, port: addr.port } : {};
      const wrong = faults && { faults: `${faults}`, orders: faults.orders, seed: faults.seed };
      this.tell(
        this.form({ event: "listening", address: formatAddress(addr), ...wrong, ...where }),
      );
    }
    if (waits) this.#say({ event: "waiting" });
  }

  /** A client came; gives what is to be known of it. Health checks are not told. */
  open({ addr, isHealthCheck }: Client): Guest | undefined {
    if (this.quiet || isHealthCheck) return undefined;
    const name = this.#nameOf(addr);
    this.#guests++;
    this.#say({ event: "connected", client: name });
    return { name, since: performance.now(), messages: 0, bytes: 0 };
  }

  /** A message came; over UDP from nobody who was known before. */
  message(message: Message, client: Client<Guest | undefined | void>): void {
    const { isHealthCheck, state } = client;
    if (this.quiet || isHealthCheck) return;
    const data = message.bytes; // a view, which is made only where it is told
    if (state) {
      state.messages++;
      state.bytes += data.length;
    }
    this.#say({ event: "message", client: nameOf(client), bytes: data.length, data });
  }

  /** A fault happens; to which message, if to one. */
  fault(
    fault: string,
    client: Pick<Client<Guest | undefined | void>, "addr" | "isHealthCheck" | "state">,
    message?: number,
  ): void {
    if (this.quiet || client.isHealthCheck) return;
    // One that is refused was not known before.
    const name = client.state ? client.state.name : this.#nameOf(client.addr);
    const number = message === undefined ? {} : { message };
    this.#say({ event: "fault", client: name, ...number, fault });
  }

  /** A client has said that no more will come from it. */
  eof(client: Client<Guest | undefined>): void {
    if (client.state) this.#say({ event: "eof", client: client.state.name });
  }

  /** A conversation is over. */
  close({ state, idle }: Client<Guest | undefined>, reason: Ending): void {
    if (state === undefined) return;
    const { name: client, since, messages, bytes } = state;
    this.#guests--;
    const duration = Math.round(performance.now() - since);
    this.#say({ event: "ended", client, reason, messages, bytes, duration, idle });
    if (this.#guests > 0 || this.#stopping || this.once) return;
    this.tally();
    this.#say({ event: "waiting" });
  }

  /** A client was not let in. */
  refused(addr: Addr, reason: string): void {
    this.#say({ event: "refused", client: this.#nameOf(addr), reason });
  }

  /** A connection was reset before it was accepted; nobody knows whose. */
  vanished(): void {
    this.#vanished++;
  }

  /** Tells how many have vanished since this was told last. */
  tally(): void {
    if (this.#vanished > 0) this.#say({ event: "vanished", clients: this.#vanished });
    this.#vanished = 0;
  }

  /** The server stops: nobody will be waited for. */
  stopping(): void {
    this.#stopping = true;
    this.#say({ event: "stopping" });
  }

  /** Clients of a Unix socket have no address: they are numbered. */
  #nameOf(addr: Addr): string {
    return "hostname" in addr ? formatAddress(addr) : `unix#${++this.#unnamed}`;
  }

  #say(event: Event): void {
    const line = this.quiet ? "" : this.form(event);
    if (line !== "") this.tell(line);
  }
}
