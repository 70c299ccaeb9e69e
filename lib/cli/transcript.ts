/** What the server reports: to people in the tutorial's words, to programs as events. */

import type { Faults } from "../faults/faults.ts";
import { formatAddress } from "../net/address.ts";
import type { Addr } from "../net/addr.ts";
import type { ServerConn } from "../net/listener.ts";
import { type Trace, traced, type TraceEvent } from "../net/traced.ts";
import type { Client, Ending } from "../server/handler.ts";
import type { Framing } from "../wire/framing.ts";
import type { Message } from "../wire/message.ts";
import { quote } from "../wire/quote.ts";
import type { TraceText } from "./trace.ts";

/** An event of the server. `client` and `address` are addresses as people write them. */
export type Event =
  | Listening
  | { event: "waiting" }
  | { event: "connected"; client: string }
  | { event: "received"; client: string; bytes: number; data: Uint8Array }
  | { event: "sent"; client: string; bytes: number; data: Uint8Array }
  | { event: "framing"; client: string; framing: Framing; why: string }
  | { event: "message"; client: string; bytes: number; data: Uint8Array }
  | { event: "fault"; client: string; message?: number; fault: string; value?: number }
  | { event: "eof"; client: string }
  | Ended
  | { event: "refused"; client: string; reason: string }
  | { event: "vanished"; clients: number }
  | { event: "dropped"; lines: number }
  | { event: "stopping" };

/** The server is ready. `faults`, `orders` and `seed` are those that it was given. */
export interface Listening {
  event: "listening";
  address: string;
  host?: string;
  port?: number;
  faults?: string;
  orders?: boolean;
  seed?: number;
}

/** A conversation has ended. `bytes` are those of its messages; `duration` and `idle` are in ms. */
export interface Ended {
  event: "ended";
  client: string;
  reason: Ending;
  messages: number;
  bytes: number;
  /** Of a relay: bytes sent to the client. */
  replied?: number;
  duration: number;
  idle: number;
}

/** A connected client. */
export interface Guest {
  /** The address as people write it; clients of a Unix socket, which have none, are numbered. */
  readonly name: string;
  readonly since: Date;
  /** Milliseconds of `performance.now()` at which it connected. */
  readonly start: number;
  messages: number;
  /** Bytes of its messages. */
  bytes: number;
  /** Nothing is printed about it before its first byte. */
  isHidden: boolean;
}

/** Formats an event as a line; an empty one is not printed. `number` is that of a message. */
export type Format = (event: Event, time: Date, number: number) => string;

/** Formats an event for people. */
export function asText(event: Event): string {
  switch (event.event) {
    case "listening":
      return `listening on ${event.address}${faultsLine(event)}`;
    case "waiting":
      return "waiting connection...";
    case "message":
      return `Server received data: ${quote(event.data)} from ${event.client}`;
    case "fault":
      return `fault ${drawn(event)} for ${event.client}${
        event.message === undefined ? "" : `, message ${event.message}`
      }`;
    case "refused":
      return `client ${event.client} was refused: ${event.reason}`;
    case "ended":
      return endLine(event);
    case "vanished":
      return event.clients === 1
        ? "(1 connection was reset before it was accepted)"
        : `(${event.clients} connections were reset before they were accepted)`;
    case "dropped":
      return `(${event.lines} lines were dropped)`;
    default:
      return "";
  }
}

/** Formats events as lines of a trace, which has the bytes and the ends from elsewhere. */
export function asTrace(trace: TraceText): Format {
  return (event, _time, number) => {
    switch (event.event) {
      case "listening":
      case "vanished":
      case "dropped":
        return asText(event);
      case "message":
        return trace.message(event.client, number, event.data);
      case "framing":
        return trace.note(event.client, `framing ${event.framing}: ${event.why}`);
      case "fault":
        return trace.note(event.client, `fault ${drawn(event)}`);
      case "refused":
        return trace.note(event.client, `refused: ${event.reason}`);
      default:
        return "";
    }
  };
}

/** A fault as requested, but with the delay that was drawn. */
function drawn({ fault, value }: { fault: string; value?: number }): string {
  return value !== undefined && fault.includes("..") ? fault.replace(/=.*/s, `=${value}ms`) : fault;
}

/** Lists the faults of a server that has some. */
function faultsLine({ faults = "", orders, seed }: Listening): string {
  if (seed === undefined) return "";
  const listed = [faults, orders ? "by order" : ""].filter((text) => text !== "").join(", ");
  return `\nfaults: ${listed}; seed ${seed}`;
}

function endLine({ client, reason }: Ended): string {
  switch (reason) {
    case "done": // the tutorial's V1 prints nothing
      return "";
    case "left":
      return `client ${client} has broken the connection...`;
    case "reset":
      return `client ${client} has broken the connection... (reset)`;
    default:
      return `client ${client} was disconnected: ${reason}`;
  }
}

/** Formats the address of a client as the transcript does. */
export function nameOf({ state, addr }: Client<Guest | undefined | void>): string {
  return state?.name ?? formatAddress(addr);
}

/** How a server's events are printed. */
export interface TranscriptOptions {
  /** Prints a line. */
  readonly print: (line: string, event: Event["event"] | "traced") => void;
  readonly format: Format;
  /** Formats reads and writes, in place of the events `received` and `sent`. */
  readonly trace?: TraceText | undefined;
  /** Print only that the server listens. */
  readonly quiet?: boolean;
  /** No other client is waited for after the first. */
  readonly once?: boolean;
  /** Print nothing about clients that disconnect without sending a byte. */
  readonly hideSilent?: boolean;
}

/** Prints a server's events. */
export class Transcript {
  #clients = 0; // that are printed
  #isStopping = false;
  #vanished = 0;
  #unnamed = 0;
  readonly #names = new WeakMap<Addr, string>(); // of Unix sockets
  readonly #hidden = new WeakMap<Addr, Guest>();

  constructor(readonly options: TranscriptOptions) {}

  /** The server listens at these addresses. */
  listening(addrs: readonly Addr[], faults?: Faults): void {
    for (const addr of addrs) {
      const where = "hostname" in addr ? { host: addr.hostname, port: addr.port } : {};
      const given = faults && { faults: `${faults}`, orders: faults.orders, seed: faults.seed };
      const event = {
        event: "listening",
        address: formatAddress(addr),
        ...given,
        ...where,
      } as const;
      this.options.print(this.options.format(event, new Date(), 0), "listening");
    }
  }

  /** No client is connected, and another is expected. */
  waiting(): void {
    this.#print({ event: "waiting" });
  }

  /** A client connected. Health checks are not printed. */
  open({ addr, isHealthCheck }: Client): Guest | undefined {
    const { quiet, hideSilent = false } = this.options;
    if (quiet || isHealthCheck) return undefined;
    const times = { since: new Date(), start: performance.now() };
    const guest = { ...times, name: this.#nameOf(addr), messages: 0, bytes: 0, isHidden: true };
    if (hideSilent) this.#hidden.set(addr, guest);
    else this.#show(guest);
    return guest;
  }

  /** A read or a write of a connection. */
  traced(event: TraceEvent, { remoteAddr }: ServerConn): void {
    const { trace, print, quiet } = this.options;
    const client = this.#nameOf(remoteAddr);
    const { data, kind, from } = event;
    if (trace && !quiet) print(trace.line(event, client), "traced");
    if (trace || kind !== "data") return;
    const name = from === "peer" ? "received" : "sent";
    this.#print({ event: name, client, bytes: data.length, data });
  }

  /** Prepares connections, as `onAccept` does, so that a client is shown at its first byte. */
  accept(prepare = (conn: ServerConn): Promise<ServerConn | null> => Promise.resolve(conn)) {
    const trace: Trace = ({ kind, from }, { remoteAddr }) => {
      if (kind === "data" && from === "peer") this.#show(this.#hidden.get(remoteAddr));
    };
    return async (conn: ServerConn): Promise<ServerConn | null> => {
      const prepared = await prepare(conn);
      return prepared && traced(prepared, trace);
    };
  }

  /** A conversation's framing was decided. */
  framing(framing: Framing, why: string, { state }: Client<Guest | undefined>): void {
    if (state) this.#print({ event: "framing", client: state.name, framing, why });
  }

  /** A message arrived. */
  message(message: Message, client: Client<Guest | undefined | void>): void {
    const { isHealthCheck, state, messages } = client;
    if (this.options.quiet || isHealthCheck) return;
    const data = message.bytes; // a view, made only if it is printed
    if (state) {
      state.messages++;
      state.bytes += data.length;
    }
    this.#print({ event: "message", client: nameOf(client), bytes: data.length, data }, messages);
  }

  /** A fault is applied, to a message if it has a number. A client that is refused has no state. */
  fault(
    fault: string,
    client: Pick<Client<Guest | undefined | void>, "addr" | "isHealthCheck" | "state">,
    message?: number,
    value?: number,
  ): void {
    const { addr, isHealthCheck, state } = client;
    if (this.options.quiet || isHealthCheck) return;
    this.#show(state);
    const name = state?.name ?? this.#nameOf(addr);
    const details = { ...message && { message }, fault, ...value !== undefined && { value } };
    this.#print({ event: "fault", client: name, ...details });
  }

  /** A client half-closed its connection, or closed it. */
  eof({ state }: Client<Guest | undefined>): void {
    if (state && !state.isHidden) this.#print({ event: "eof", client: state.name });
  }

  /** A conversation has ended. */
  close(
    client: Client<Guest | undefined> & { bytes?: number; replied?: number },
    reason: Ending,
  ): void {
    const { state, idle, replied } = client;
    if (state === undefined) return;
    if (reason !== "left" && reason !== "reset") this.#show(state);
    if (state.isHidden) return;
    const { name, start, messages } = state;
    const bytes = replied === undefined
      ? { bytes: state.bytes }
      : { bytes: client.bytes ?? 0, replied };
    this.#clients--;
    const duration = Math.round(performance.now() - start);
    this.#print({ event: "ended", client: name, reason, messages, ...bytes, duration, idle });
    if (this.#clients > 0 || this.#isStopping || this.options.once) return;
    this.tally();
    this.waiting();
  }

  /** A client was refused. */
  refused(addr: Addr, reason: string): void {
    this.#print({ event: "refused", client: this.#nameOf(addr), reason });
  }

  /** A connection was reset before it was accepted; its address is unknown. */
  vanished(): void {
    this.#vanished++;
  }

  /** Prints how many connections have vanished since the last time. */
  tally(): void {
    if (this.#vanished > 0) this.#print({ event: "vanished", clients: this.#vanished });
    this.#vanished = 0;
  }

  /** The server stops. */
  stopping(): void {
    this.#isStopping = true;
    this.#print({ event: "stopping" });
  }

  /** Prints that a hidden client connected. */
  #show(guest: Guest | undefined | void): void {
    if (!guest?.isHidden) return;
    guest.isHidden = false;
    this.#clients++;
    this.#print({ event: "connected", client: guest.name }, 0, guest.since);
  }

  #nameOf(addr: Addr): string {
    if ("hostname" in addr) return formatAddress(addr);
    const name = this.#names.get(addr) ?? `unix#${++this.#unnamed}`;
    this.#names.set(addr, name);
    return name;
  }

  #print(event: Event, number = 0, time = new Date()): void {
    const line = this.options.quiet ? "" : this.options.format(event, time, number);
    if (line !== "") this.options.print(line, event.event);
  }
}
