/** The handler that reads a message back: a format with placeholders, parsed once, and the stamp. */

import { formatAddress } from "../net/address.ts";
import { type Message, MessageView, utf8 } from "../wire/message.ts";
import { quote } from "../wire/quote.ts";
import type { Client, Handler } from "./handler.ts";

/** The default format of replies. */
export const REPLY = "[{message}] {time}";

const PLACEHOLDERS = ["message", "time", "client", "server", "seq", "bytes"] as const;
type Placeholder = Exclude<typeof PLACEHOLDERS[number], "time">;
/** Milliseconds for which the text of a stamp is right. */
const PRECISION: Readonly<Record<Stamp, number>> = { ctime: 1000, iso: 1 };

/**
 * Cuts a format into texts and, between them, the names of placeholders. A text has an LF for each time:
 * the time differs from second to second only, other values from message to message.
 */
function parse(format: string): string[] {
  if (/[\r\n]/.test(format)) throw new RangeError("must be one line");
  const names = PLACEHOLDERS.map((name) => `{${name}}`);
  const pieces = format.replace(/\{\{|\}\}|\{\w*\}|[{}]/g, (token) => {
    if (token === "{{" || token === "}}") return token.charAt(0);
    if (token === "{" || token === "}") {
      throw new RangeError(`the ${token} stands alone: write ${token}${token} for a brace`);
    }
    if (token === "{time}") return "\n";
    if (names.includes(token)) return `\r${token.slice(1, -1)}\r`;
    throw new RangeError(`there is no ${quote(token)}: choose among ${names.join(", ")}`);
  });
  return pieces === "" ? [] : pieces.split("\r");
}

/**
 * Explains when two UDP servers would answer each other for ever; undefined if they would stop. Each
 * leaves messages that look like replies or error replies unanswered, so replies must look like that.
 */
export function endlessFormat(format: string): string | undefined {
  if (/^error: |^\[.*\] \{time\}$/.test(format)) return undefined;
  return "cannot use this --reply with --udp: two servers would answer each other's replies without end; " +
    'begin it with "[" and end it with "] {time}", or begin it with "error: "';
}

/**
 * The options of {@linkcode readback}.
 *
 * ```ts
 * import { readback, type ReadbackOptions, serve } from "@readback/readback";
 *
 * const options: ReadbackOptions = { stamp: "iso", format: "{seq}: {message} at {time}" };
 * await using _server = serve(readback(options));
 * ```
 */
export interface ReadbackOptions<State = unknown> {
  /** The form of the time. @default {"ctime"} */
  stamp?: Stamp | undefined;
  /**
   * The reply: text with placeholders. Those are `{message}`, `{time}`, the addresses `{client}` and
   * `{server}`, `{seq}` (the message's number in its conversation, from 1) and `{bytes}` (its length).
   * `{{` and `}}` are braces. @default {"[{message}] {time}"}
   */
  format?: string | undefined;
  /** Returns the text for `{client}`. By default, the client's address. */
  nameOf?: ((client: Client<State>) => string) | undefined;
}

/**
 * Returns the handler that reads a message back: `[`, the message, `] ` and the time of its receipt.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, readback, serve } from "@readback/readback";
 *
 * await using server = serve(readback({ format: "{seq}: {message} has {bytes} bytes" }));
 * using peer = await Peer.connect({ port: server.port });
 * assertEquals((await peer.request("hello")).text, "1: hello has 5 bytes");
 * ```
 *
 * @param encode encodes the text of the format; by default as UTF-8
 * @throws {RangeError} that says what is wrong with the format
 */
export function readback<State = unknown>(
  options: ReadbackOptions<State> = {},
  encode: (text: string) => Uint8Array = utf8,
): Handler<State> {
  const { stamp = "ctime", format = REPLY, nameOf } = options;
  const pieces = parse(format);
  const written: (MessageView | null)[] = []; // null: differs from message to message
  let from = Infinity, to = -Infinity;
  // Once for all messages of the same time: this costs ten times as much as a reply.
  function renew(receivedAt: number): void {
    from = receivedAt - receivedAt % PRECISION[stamp];
    to = from + PRECISION[stamp];
    const time = (stamp === "ctime" ? ctime : iso)(receivedAt);
    for (const [at, piece] of pieces.entries()) {
      written[at] = at % 2 === 1 ? null : padded(encode(piece.replaceAll("\n", time)));
    }
  }
  const isUsual = pieces.length === 3 && pieces[1] === "message";
  const valueOf: Record<Placeholder, (...of: [Message, Client<State>]) => string | Message> = {
    message: (message) => message,
    client: (_, client) => nameOf?.(client) ?? formatAddress(client.addr),
    server: (_, { localAddr }) => localAddr === undefined ? "unknown" : formatAddress(localAddr),
    seq: (_, { messages }) => String(messages),
    bytes: ({ length }) => String(length),
  };
  return (message, reply, client) => {
    const { receivedAt } = message;
    if (receivedAt < from || receivedAt >= to) renew(receivedAt);
    if (isUsual) { // a loop over the pieces takes a tenth longer
      reply.write(written[0] as MessageView);
      reply.write(message);
      return reply.write(written[2] as MessageView);
    }
    for (let at = 0; at < written.length; at++) {
      reply.write(written[at] ?? valueOf[pieces[at] as Placeholder](message, client));
    }
  };
}

/** Returns text as a message with room after it: copying reads up to seven bytes beyond the end. */
function padded(bytes: Uint8Array): MessageView {
  const padded = new Uint8Array(bytes.length + 8);
  padded.set(bytes);
  return new MessageView(padded, bytes.length);
}

/**
 * The form of the time: C's `ctime`, or ISO 8601 with milliseconds and offset. Both are local time;
 * the `TZ` variable chooses the zone by its name, such as `Europe/Berlin`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, readback, serve, type Stamp } from "@readback/readback";
 *
 * for (const [stamp, length] of [["ctime", 24], ["iso", 29]] as [Stamp, number][]) {
 *   await using server = serve(readback({ stamp }));
 *   using peer = await Peer.connect({ port: server.port });
 *   assertEquals((await peer.request("hello")).length, "[hello] ".length + length);
 * }
 * ```
 */
export type Stamp = "ctime" | "iso";

/** The names of the stamps, for options. */
export const STAMPS: readonly Stamp[] = ["ctime", "iso"];

/** Formats a time as C's ctime(3), 24 characters of local time: `Mon Dec  9 18:15:50 2019`. */
export function ctime(milliseconds: number): string {
  const time = new Date(milliseconds);
  const day = String(time.getDate()).padStart(2);
  const clock = time.toTimeString().slice(0, 8);
  return `${time.toDateString().slice(0, 7)} ${day} ${clock} ${time.getFullYear()}`;
}

/** Formats a time as local time with its offset from UTC: `2019-12-09T18:15:50.123+08:00`. */
export function iso(milliseconds: number): string {
  const offset = -new Date(milliseconds).getTimezoneOffset(); // in minutes, positive to the east
  const local = new Date(milliseconds + offset * 60_000).toISOString().slice(0, -1);
  const zone = new Date(Math.abs(offset) * 60_000).toISOString().slice(11, 16); // hours:minutes
  return `${local}${offset < 0 ? "-" : "+"}${zone}`;
}

/** The end of a reply, with a line ending if it has one. */
const REPLY_END =
  /\] (?:[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}|\d{4}-\d\d-\d\dT[\d:.]{12}[+-]\d\d:\d\d)\r?\n?$/;
/** The length of the longest such end, in bytes. */
const MAX_END = 40;
const BRACKET = 0x5b;
const decoder = new TextDecoder();

/**
 * Returns true if a message looks like a reply. Two servers that answered each other's replies would
 * never stop.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, isReply, readback, serveDatagrams } from "@readback/readback";
 *
 * const reply = "[hello] Mon Dec  9 18:15:50 2019";
 * await using server = await serveDatagrams(readback(), { ignore: isReply });
 * using peer = await DatagramPeer.connect({ port: server.port, timeout: 100 });
 * await peer.request(reply).catch(() => {}); // no reply comes
 * assertEquals(server.messages, 1);
 * ```
 */
export function isReply({ bytes }: Message): boolean {
  if (bytes[0] !== BRACKET) return false;
  return REPLY_END.test(decoder.decode(bytes.subarray(Math.max(0, bytes.length - MAX_END))));
}
