/** What a reply says: text with placeholders, parsed once. */

import { formatAddress } from "../net/address.ts";
import { Message } from "../wire/message.ts";
import { quote } from "../wire/quote.ts";
import type { Client, Handler } from "./handler.ts";
import { ctime, iso, type Stamp } from "./stamp.ts";

/** What a reply is unless something else is asked for. */
export const REPLY = "[{message}] {time}";

const PLACEHOLDERS = ["message", "time", "client", "server", "seq", "bytes"] as const;
/** What differs from message to message. The time does not: it stands in the text. */
type Placeholder = Exclude<typeof PLACEHOLDERS[number], "time">;
/** A piece of a format: a placeholder, or a text that is cut where the time stands in it. */
type Piece = Placeholder | string[];

/** How long one stamp's text stays true, in milliseconds. */
const HOLDS: Readonly<Record<Stamp, number>> = { ctime: 1000, iso: 1 };

const TEXT_AROUND = "text,message,text";

const encoder = new TextEncoder();

/**
 * Checks a format given as an option.
 * @throws {RangeError} which says what is wrong with it, and what would be right
 */
export function format(text: string): string {
  parse(text);
  return text;
}

function parse(format: string): Piece[] {
  if (/[\r\n]/.test(format)) throw new RangeError("must be one line");
  const pieces: Piece[] = [];
  const text = (): string[] => {
    const last = pieces.at(-1);
    if (Array.isArray(last)) return last;
    const text = [""];
    pieces.push(text);
    return text;
  };
  for (const [token, name] of format.matchAll(/\{\{|\}\}|\{(\w*)\}|[{}]|[^{}]+/g)) {
    if (token === "{" || token === "}") {
      throw new RangeError(`the ${token} stands alone: write ${token}${token} for a brace`);
    }
    const placeholder = name === undefined ? undefined : placeholderOf(name);
    if (placeholder === undefined) text().push(text().pop() + token.replace(/([{}])\1/, "$1"));
    else if (placeholder === "time") text().push("");
    else pieces.push(placeholder);
  }
  return pieces;
}

function placeholderOf(name: string): typeof PLACEHOLDERS[number] {
  const known = PLACEHOLDERS.find((known) => known === name);
  if (known !== undefined) return known;
  const names = PLACEHOLDERS.map((name) => `{${name}}`).join(", ");
  throw new RangeError(`there is no ${quote(`{${name}}`)}: choose among ${names}`);
}

/**
 * Why two servers over UDP, put to each other, might never end; undefined where they will.
 * Each leaves unanswered what looks like a reply or a refusal, so a format that does must be used.
 */
export function whyEndless(format: string): string | undefined {
  if (/^error: |^\[.*\] \{time\}$/.test(format)) return undefined;
  return "cannot use this --reply with --udp: two servers would answer each other's replies without end; " +
    'begin it with "[" and end it with "] {time}", or begin it with "error: "';
}

/**
 * The handler that reads a message back, by default as `[` + message + `] ` + the time when it was heard.
 * What a reply says is a format: text in which `{message}`, `{time}`, `{client}` and `{server}` (addresses),
 * `{seq}` (the message's number in its conversation, from 1) and `{bytes}` (its length) stand for what they
 * name; `{{` and `}}` are braces.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, serve, stamper } from "@readback/readback";
 *
 * await using server = serve(stamper("iso", "{seq}: {message} has {bytes} bytes"));
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * assertEquals(new TextDecoder().decode(await peer.request("hello")), "1: hello has 5 bytes");
 * ```
 *
 * @param stamp how the time is written
 * @param nameOf what stands for `{client}`
 * @throws {RangeError} which says what is wrong with the format
 */
export function stamper<State = unknown>(
  stamp: Stamp,
  format: string = REPLY,
  nameOf: (client: Client<State>) => string = ({ addr }) => formatAddress(addr),
): Handler<State> {
  const pieces = parse(format);
  const written: (Message | null)[] = [];
  let from = Infinity, to = -Infinity;
  // Made once for all messages of its time: it costs ten times what a reply does.
  function renew(receivedAt: number): void {
    from = receivedAt - receivedAt % HOLDS[stamp];
    to = from + HOLDS[stamp];
    const time = (stamp === "ctime" ? ctime : iso)(receivedAt);
    for (const [at, piece] of pieces.entries()) {
      written[at] = typeof piece === "string" ? null : padded(piece.join(time));
    }
  }
  // Nearly all formats are text, the message and text: to go through their pieces takes a tenth longer.
  if (pieces.map((piece) => typeof piece === "string" ? piece : "text").join() === TEXT_AROUND) {
    return (message, reply) => {
      const { receivedAt } = message;
      if (receivedAt < from || receivedAt >= to) renew(receivedAt);
      reply.write(written[0] as Message);
      reply.write(message);
      reply.write(written[2] as Message);
    };
  }
  function valueOf(name: Placeholder, message: Message, client: Client<State>): string | Message {
    switch (name) {
      case "client":
        return nameOf(client);
      case "server":
        return client.localAddr === undefined ? "unknown" : formatAddress(client.localAddr);
      case "seq":
        return String(client.messages);
      case "bytes":
        return String(message.length);
      default:
        return message;
    }
  }
  return (message, reply, client) => {
    const { receivedAt } = message;
    if (receivedAt < from || receivedAt >= to) renew(receivedAt);
    for (let at = 0; at < written.length; at++) {
      reply.write(written[at] ?? valueOf(pieces[at] as Placeholder, message, client));
    }
  };
}

/** Text to be written often, with room after it: a message is copied in steps, beyond its end. */
function padded(text: string): Message {
  const bytes = encoder.encode(text);
  const padded = new Uint8Array(bytes.length + 8);
  padded.set(bytes);
  return new Message(padded, bytes.length);
}
