/** The server's transcript: the tutorial's words for people, events for programs. */

import type { Faults } from "../../faults/faults.ts";
import { type Addr, formatAddress } from "../../net/address.ts";
import { HUNG_UP } from "../../net/errors.ts";
import type { ServerConn } from "../../net/conn.ts";
import { type Trace, traced } from "../../net/traced.ts";
import type { Client, Ending } from "../../server/handler.ts";
import type { Framing } from "../../wire/framing.ts";
import type { Message } from "../../wire/message.ts";
import { quote } from "../../wire/quote.ts";
import type { TraceText } from "./trace.ts";

type Transfer = { client: string; bytes: number; data: Uint8Array };

/** The fields of each event. `client` and `address` are addresses as they are printed. */
// deno-fmt-ignore
interface Events {
  listening: { address: string; host?: string; port?: number; faults?: string; orders?: boolean; seed?: number };
  waiting: object;
  connected: { client: string };
  received: Transfer;
  sent: Transfer;
  framing: { client: string; framing: Framing; why: string };
  message: Transfer;
  fault: { client: string; message?: number | undefined; fault: string; value?: number | undefined };
  eof: { client: string };
  /** `bytes` are those of the messages, `replied` those that a relay sent; `duration` and `idle` are in ms. */
  ended: { client: string; reason: Ending; messages: number; bytes: number; replied?: number; duration: number; idle: number };
  refused: { client: string; reason: string };
  vanished: { clients: number };
  dropped: { lines: number };
  stopping: object;
}

type Name = keyof Events;

/** An event of the server. */
export type Event = { [N in Name]: { event: N } & Events[N] }[Name];

/** Formats an event as a line; an empty one is not printed. `number` is that of a message. */
export type Format = (event: Event, time?: Date, number?: number, trace?: TraceText) => string;

// deno-fmt-ignore
const TEXTS: { readonly [N in Name]?: (event: Events[N]) => string } = {
  listening: (event) => `listening on ${event.address}${faultsLine(event)}`,
  waiting: () => "waiting connection...",
  message: ({ data, client }) => `Server received data: ${quote(data)} from ${client}`,
  fault: (event) => `fault ${drawn(event)} for ${event.client}${event.message ? `, message ${event.message}` : ""}`,
  refused: ({ client, reason }) => `client ${client} was refused: ${reason}`,
  ended: ({ client, reason }) => reason === "done" ? "" : `client ${client} ${ENDS[reason] ?? `was disconnected: ${reason}`}`,
  vanished: ({ clients }) => clients === 1 ? "(1 connection was reset before it was accepted)" : `(${clients} connections were reset before they were accepted)`,
  dropped: ({ lines }) => `(${lines} lines were dropped)`,
};
/** The ends that the tutorial has words for; it has none for `done`. */
const ENDS: Readonly<Partial<Record<Ending, string>>> = {
  left: "has broken the connection...",
  reset: "has broken the connection... (reset)",
};

// deno-fmt-ignore
const TRACED: { readonly [N in Name]?: (event: Events[N], trace: TraceText, number: number) => string } = {
  waiting: () => "",
  framing: ({ client, framing, why }, trace) => trace.note(client, `framing ${framing}: ${why}`),
  message: ({ client, bytes, data }, trace, number) => trace.note(client, `message ${number}: ${bytes} byte${bytes === 1 ? "" : "s"}`, data),
  fault: (event, trace) => trace.note(event.client, `fault ${drawn(event)}`),
  refused: ({ client, reason }, trace) => trace.note(client, `refused: ${reason}`),
  ended: () => "", // the trace has the ends
};

/** Formats an event for people, or as a line of a trace. */
export function asText(event: Event, _time?: Date, number = 0, trace?: TraceText): string {
  // A lookup by a name that is known is faster, and most events are messages.
  if (!trace && event.event === "message") return TEXTS.message?.(event) ?? "";
  const line = trace && TRACED[event.event]?.(event as never, trace, number);
  return line ?? TEXTS[event.event]?.(event as never) ?? "";
}

/** A fault as requested, but with the delay that was drawn. */
function drawn({ fault, value }: Events["fault"]): string {
  return value !== undefined && fault.includes("..") ? fault.replace(/=.*/s, `=${value}ms`) : fault;
}

/** Lists the faults of a server that has some. */
function faultsLine({ faults = "", orders, seed }: Events["listening"]): string {
  if (seed === undefined) return "";
  return `\nfaults: ${[faults, orders && "by order"].filter(Boolean).join(", ")}; seed ${seed}`;
}

/** A connected client. */
export class Guest {
  /** Milliseconds of `performance.now()` at which it connected. */
  readonly start: number = performance.now();
  /** Bytes of its messages. */
  bytes = 0;
  /** Nothing is printed about it before its first byte. */
  isHidden = true;

  /** @param name the address as it is printed; clients of a Unix socket, which have none, are numbered */
  constructor(readonly name: string) {}
}

/** A client of any server, also of one over UDP. */
type AnyClient = Client<Guest | undefined | void>;
/** A client that is refused has no state. */
type FaultyClient = Pick<AnyClient, "addr" | "isHealthCheck" | "state">;
/** A client of a relay counts the bytes in both directions. */
type Conversation = Client<Guest | undefined> & { bytes?: number; replied?: number };

/** How a server's events are printed. */
export interface TranscriptOptions {
  /** Prints a line. */
  readonly print: (line: string, event?: Name) => void;
  readonly format: Format;
  /** Formats reads and writes, in place of the events `received` and `sent`. */
  readonly trace?: TraceText | undefined;
  /** Print only that the server listens. */
  readonly quiet?: boolean;
  /** No other client is waited for after the first. */
  readonly once?: boolean;
}

/** Prints a server's events. */
export class Transcript {
  #clients = 0; // that are printed
  #isStopping = false;
  #vanished = 0;
  #unnamed = 0;
  readonly #names = new WeakMap<Addr, string>();
  #hidden: WeakMap<Addr, Guest> | undefined; // with `hideSilent`

  constructor(readonly options: TranscriptOptions) {}

  /** Returns the address of a client as it is printed; those of a Unix socket are numbered. */
  readonly nameOf = ({ addr }: { readonly addr: Addr }): string => {
    const known = this.#names.get(addr);
    if (known !== undefined) return known;
    const name = "hostname" in addr ? formatAddress(addr) : `unix#${++this.#unnamed}`;
    this.#names.set(addr, name);
    return name;
  };

  /** The server listens at these addresses, and waits for connections unless it has none. */
  listening(addrs: readonly Addr[], faults?: Faults, waits = true): void {
    const given = faults && { faults: `${faults}`, orders: faults.orders, seed: faults.seed };
    for (const addr of addrs) {
      const where = "hostname" in addr ? { host: addr.hostname, port: addr.port } : {};
      this.#print({ event: "listening", address: formatAddress(addr), ...given, ...where });
    }
    if (waits) this.#print({ event: "waiting" });
  }

  /** Prints each message. */
  readonly onMessage = (message: Message, client: AnyClient): void => {
    if (this.options.quiet || client.isHealthCheck) return;
    const { state } = client;
    const data = message.bytes; // a view, made only if it is printed
    const bytes = data.length;
    if (state) state.bytes += bytes;
    const name = state ? state.name : this.nameOf(client);
    this.#print({ event: "message", client: name, bytes, data }, client.messages);
  };

  /** Prints each fault. */
  readonly onFault = (fault: string, on: FaultyClient, message?: number, value?: number): void => {
    if (on.isHealthCheck) return;
    this.#show(on.state);
    this.#print({ event: "fault", client: this.nameOf(on), message, fault, value });
  };

  /** The callbacks of a server of connections. Health checks are not printed. */
  readonly callbacks = {
    onOpen: ({ addr, isHealthCheck }: Client): Guest | undefined => {
      if (this.options.quiet || isHealthCheck) return undefined;
      const guest = new Guest(this.nameOf({ addr }));
      if (this.#hidden) this.#hidden.set(addr, guest);
      else this.#show(guest);
      return guest;
    },
    onEof: ({ state }: Conversation): void => {
      if (state && !state.isHidden) this.#print({ event: "eof", client: state.name });
    },
    onClose: (client: Conversation, reason: Ending): void => {
      const { state, idle, messages, bytes = 0, replied } = client;
      if (reason !== "left" && reason !== "reset") this.#show(state);
      if (state === undefined || state.isHidden) return;
      this.#clients--;
      const counts = replied === undefined ? { bytes: state.bytes } : { bytes, replied };
      const times = { duration: Math.round(performance.now() - state.start), idle };
      this.#print({ event: "ended", client: state.name, reason, messages, ...counts, ...times });
      if (this.#clients > 0 || this.#isStopping || this.options.once) return;
      this.tally();
      this.#print({ event: "waiting" });
    },
    onRefused: (addr: Addr, reason: string): void => {
      if (this.#hidden && reason === HUNG_UP) return;
      this.#print({ event: "refused", client: this.nameOf({ addr }), reason });
    },
    onVanished: (): void => void this.#vanished++,
  };

  /** Prints the reads and writes of connections. */
  readonly onTrace: Trace = (event, { remoteAddr }) => {
    const { trace, print } = this.options;
    const client = this.nameOf({ addr: remoteAddr });
    const { data, kind, from } = event;
    if (trace) return print(trace.line(event, client));
    const name = from === "peer" ? "received" : "sent";
    if (kind === "data") this.#print({ event: name, client, bytes: data.length, data });
  };

  /** Prints that the framing of a conversation was decided. */
  readonly onFraming = (framing: Framing, why: string, { state }: Conversation): void => {
    if (state) this.#print({ event: "framing", client: state.name, framing, why });
  };

  /** Prepares connections, as `onAccept` does, so that a client is printed from its first byte on. */
  hideSilent(prepare?: (conn: ServerConn) => Promise<ServerConn | null>) {
    const hidden = this.#hidden = new WeakMap<Addr, Guest>();
    const trace: Trace = ({ kind, from }, { remoteAddr }) => {
      if (kind === "data" && from === "peer") this.#show(hidden.get(remoteAddr));
    };
    return async (conn: ServerConn): Promise<ServerConn | null> => {
      const prepared = prepare ? await prepare(conn) : conn;
      return prepared && traced(prepared, trace);
    };
  }

  /** Prints how many connections were reset before they were accepted, since the last time. */
  tally(): void {
    if (this.#vanished > 0) this.#print({ event: "vanished", clients: this.#vanished });
    this.#vanished = 0;
  }

  /** The server stops. */
  stopping(): void {
    this.#isStopping = true;
    this.#print({ event: "stopping" });
  }

  /** Prints that a hidden client connected, and when. */
  #show(guest: Guest | undefined | void): void {
    if (!guest?.isHidden) return;
    guest.isHidden = false;
    this.#clients++;
    const time = new Date(Date.now() - (performance.now() - guest.start));
    this.#print({ event: "connected", client: guest.name }, 0, time);
  }

  #print(event: Event, number = 0, time?: Date): void {
    const { quiet, format, print, trace } = this.options;
    const line = quiet && event.event !== "listening" ? "" : format(event, time, number, trace);
    if (line !== "") print(line, event.event);
  }
}
