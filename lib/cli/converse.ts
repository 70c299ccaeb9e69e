/** The client in conversation: says what it is given, by whoever gives it, and prints the replies. */

import { errorMessage } from "../checks.ts";
import type { ConnectOptions } from "../net/address.ts";
import type { Framing } from "../wire/framing.ts";
import { DatagramPeer } from "../client/datagram_peer.ts";
import { Filter, filter } from "./filter.ts";
import { hearGreeting, Peer } from "../client/peer.ts";
import type { Input } from "./pipes.ts";
import { connectVisibly, type StatusLine } from "./status_line.ts";
import type { Report } from "./report.ts";
import { piped, saying } from "./sources.ts";
import { BufferedConn } from "../net/buffered_conn.ts";
import { talk, type TalkCallbacks, type TalkPeer } from "./talk.ts";

/** How to talk. */
export interface ConverseOptions {
  readonly udp: boolean;
  readonly framing: Framing;
  /** Say these; without, what the input says. */
  readonly messages: readonly Uint8Array[];
  /** Be a filter: say every line of the input, write nothing but replies. */
  readonly quiet: boolean;
  /** End after one message. */
  readonly once: boolean;
  /** The server speaks first: its first words are waited for. */
  readonly greeting: boolean;
  /** Shown before each message that the input says. */
  readonly prompt: string;
}

/** Who is at this end. */
export interface Io {
  readonly input: Input;
  readonly report: Report;
  readonly progress: StatusLine;
  /** The replies are read on a terminal. */
  readonly isTerminal: boolean;
  /** Tells what is no reply, where nothing but replies is written. */
  aside(words: Uint8Array): void;
  /** Talks with a person at a terminal; undefined where there is none. */
  readonly person?:
    | ((peer: TalkPeer, listener: TalkCallbacks, most: number) => Promise<void>)
    | undefined;
}

/**
 * Talks to a server until the end.
 * @return what went wrong, in a sentence
 * @throws {Error} when there is no connection
 */
export async function converse(
  where: ConnectOptions,
  options: ConverseOptions,
  desk: Io,
): Promise<string | undefined> {
  const peer = await connectTo(where, options, desk.progress);
  const failure = await talkTo(peer, options, desk).then(() => undefined, errorMessage);
  const { sent, answered } = peer;
  const reason = failure === undefined ? {} : { reason: failure };
  await desk.report.summary({ sent, answered, connects: options.udp ? 0 : 1, ...reason });
  const due = Math.max(peer.sent, options.messages.length);
  if (failure === undefined || peer.answered >= due) return failure;
  return `${failure}: ${peer.answered} of ${due} messages were answered`;
}

/** The server at the other end, as the options want to talk to it. */
async function connectTo(
  where: ConnectOptions,
  { udp, framing, quiet }: ConverseOptions,
  progress: StatusLine,
): Promise<Peer | DatagramPeer | Filter> {
  const { hostname = "", port = 0, timeout = 0 } = where;
  if (udp) return await DatagramPeer.connect({ hostname, port, framing, timeout });
  const conn = await connectVisibly(progress, where);
  // Any line is the reply that is due, if one is.
  if (!quiet) return new Peer(conn, framing, timeout, () => true);
  return new Filter(new BufferedConn(conn, timeout), framing);
}

async function talkTo(
  peer: Peer | DatagramPeer | Filter,
  { framing, messages, quiet, once, greeting, prompt }: ConverseOptions,
  desk: Io,
): Promise<void> {
  const { input, report, progress, person, aside } = desk;
  const onUnasked = async (data: Uint8Array) => {
    if (report.style === "replies") aside(data);
    else await report.tell({ event: "unsolicited", bytes: data.length, data });
  };
  if (greeting) {
    const heard = peer instanceof Filter
      ? hearGreeting(peer.stream, framing)
      : (peer as Peer).receive();
    await onUnasked(await progress.during(heard, (s) => `no greeting yet: ${s} s`));
  }
  if (quiet || peer instanceof Filter) return await filterInput(peer as Filter, desk);
  const patient: TalkPeer = {
    request: (message) => progress.during(peer.request(message), (s) => `no reply yet: ${s} s`),
    gone: () => peer.gone(),
    ...peer instanceof Peer ? { receive: () => peer.receive(0) } : {},
  };
  const listener = { onReply: report.reply.bind(report), onUnasked };
  if (messages.length > 0) return await talk(patient, saying(messages), listener);
  const most = once ? 1 : Infinity;
  if (person !== undefined) return await person(patient, listener, most);
  await talk(patient, piped(input, report.paper, prompt), listener, most);
}

/** Says every line of the input; where the replies go elsewhere, counts them on the terminal. */
async function filterInput(
  peer: Filter | DatagramPeer,
  { input, report, progress, isTerminal }: Io,
): Promise<void> {
  const filtering = filter(peer, input, report);
  if (isTerminal) return await filtering;
  await progress.during(filtering, () => `${peer.answered} of ${peer.sent} messages answered`);
}
