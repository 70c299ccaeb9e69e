/** The client in conversation: says what it is given, by whoever gives it, and prints the replies. */

import { reason } from "../checks.ts";
import type { ConnectOptions } from "../net/address.ts";
import type { Framing } from "../wire/framing.ts";
import { DatagramPeer } from "./datagram_peer.ts";
import { Filter, filter } from "./filter.ts";
import { Peer } from "./peer.ts";
import type { Input } from "./pipes.ts";
import { connectVisibly, type Progress } from "./progress.ts";
import type { Report } from "./report.ts";
import { piped, saying } from "./sources.ts";
import { Stream } from "./stream.ts";
import { type Interlocutor, type OnReply, talk } from "./talk.ts";

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
  /** Shown before each message that the input says. */
  readonly prompt: string;
}

/** Who is at this end. */
export interface Desk {
  readonly input: Input;
  readonly report: Report;
  readonly progress: Progress;
  /** The replies are read on a terminal. */
  readonly isTerminal: boolean;
  /** Talks with a person at a terminal; undefined where there is none. */
  readonly person?:
    | ((peer: Interlocutor, onReply: OnReply, most: number) => Promise<void>)
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
  desk: Desk,
): Promise<string | undefined> {
  const peer = await connectTo(where, options, desk.progress);
  const failure = await talkTo(peer, options, desk).then(() => undefined, reason);
  await desk.report.summary(peer, options.udp ? 0 : 1, failure);
  const due = Math.max(peer.sent, options.messages.length);
  if (failure === undefined || peer.answered >= due) return failure;
  return `${failure}: ${peer.answered} of ${due} messages were answered`;
}

/** The server at the other end, as the options want to talk to it. */
async function connectTo(
  where: ConnectOptions,
  { udp, framing, quiet }: ConverseOptions,
  progress: Progress,
): Promise<Peer | DatagramPeer | Filter> {
  const { hostname = "", port = 0, timeout = 0 } = where;
  if (udp) return await DatagramPeer.connect({ hostname, port, framing, timeout });
  const conn = await connectVisibly(progress, where);
  return quiet ? new Filter(new Stream(conn, timeout), framing) : new Peer(conn, framing, timeout);
}

async function talkTo(
  peer: Peer | DatagramPeer | Filter,
  { messages, quiet, once, prompt }: ConverseOptions,
  desk: Desk,
): Promise<void> {
  const { input, report, progress, person } = desk;
  if (quiet || peer instanceof Filter) return await filterInput(peer as Filter, desk);
  const onReply = report.reply.bind(report);
  const patient: Interlocutor = {
    say: (message) => progress.during(peer.say(message), (s) => `no reply yet: ${s} s`),
    gone: () => peer.gone(),
  };
  if (messages.length > 0) return await talk(patient, saying(messages), onReply);
  const most = once ? 1 : Infinity;
  if (person !== undefined) return await person(patient, onReply, most);
  await talk(patient, piped(input, report.paper, prompt), onReply, most);
}

/** Says every line of the input; where the replies go elsewhere, counts them on the terminal. */
async function filterInput(
  peer: Filter | DatagramPeer,
  { input, report, progress, isTerminal }: Desk,
): Promise<void> {
  const filtering = filter(peer, input, report);
  if (isTerminal) return await filtering;
  await progress.during(filtering, () => `${peer.answered} of ${peer.sent} messages answered`);
}
