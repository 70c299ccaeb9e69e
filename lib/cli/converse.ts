/** The client in conversation: sends the messages that it is given, and reports the replies. */

import { errorMessage } from "../checks.ts";
import { isPending } from "../wait.ts";
import type { ConnectOptions } from "../net/connect.ts";
import type { Framing } from "../wire/framing.ts";
import { ErrorReply, isErrorReply } from "../wire/error_reply.ts";
import { MessageView } from "../wire/message.ts";
import { DatagramPeer } from "../client/datagram_peer.ts";
import { Filter, filter } from "./filter.ts";
import { Peer } from "../client/peer.ts";
import type { Report } from "./output/report.ts";
import { connectVisibly, type StatusLine } from "./output/status_line.ts";
import {
  type Input,
  linesOf,
  listed,
  type MessageSource,
  piecesOf,
  piped,
  untilBlank,
  withCrlf,
} from "./pipes.ts";
import { BufferedConn } from "../net/buffered_conn.ts";
import { DatagramTurns, talk, talkFreely, Turns } from "./talk.ts";

/** Options of a conversation. */
export interface ConverseOptions {
  readonly udp: boolean;
  readonly framing: Framing;
  /** The messages to send; without any, the lines of the input. */
  readonly messages: readonly Uint8Array[];
  /** Be a filter: send every line of the input, and write nothing but replies. */
  readonly quiet: boolean;
  /** Send and receive without taking turns. */
  readonly duplex: boolean;
  /** End lines with CRLF, if duplex. */
  readonly crlf: boolean;
  /** End after one message. */
  readonly once: boolean;
  /** Wait for the server's first data before sending. */
  readonly greeting: boolean;
  /** Shown before each message of the input. */
  readonly prompt: string;
}

/** The client's input and output. */
export interface Io {
  readonly input: Input;
  readonly report: Report;
  readonly progress: StatusLine;
  /** The replies go to a terminal. */
  readonly isTerminal: boolean;
  /** Reports unsolicited data where only replies go to the output. */
  printUnsolicited(data: Uint8Array): void;
  /** Opens a line editor on the terminal; undefined without one. */
  readonly openTerminal?: (() => Promise<MessageSource & Disposable>) | undefined;
}

/** The longest time to send the end of our data, in ms. */
const CLOSING = 100;

/**
 * Talks to a server until the end.
 * @returns what went wrong, in a sentence
 * @throws {ConnectError} if there is no connection
 */
export async function converse(
  where: ConnectOptions,
  options: ConverseOptions,
  io: Io,
): Promise<string | undefined> {
  const { udp, framing, messages } = options;
  const { hostname, port, timeout = 0 } = where;
  const peer = udp
    ? await DatagramPeer.connect({ hostname, port, framing, timeout })
    : await connect(where, options, io);
  const failure = await talkTo(peer, options, io).then(() => undefined, errorMessage);
  // Under TLS, closing alone would look like a lost connection. The server need not read this.
  if ("conn" in peer) await isPending(peer.conn.closeWrite(), CLOSING);
  ("conn" in peer ? peer.conn : peer).close();
  if (options.duplex) return failure; // there are no messages to count
  const { sent, answered } = peer;
  const reason = failure === undefined ? {} : { reason: failure };
  await io.report.summary({ sent, answered, connects: udp ? 0 : 1, ...reason });
  const due = Math.max(sent, messages.length);
  if (failure === undefined || answered >= due) return failure;
  return `${failure}: ${answered} of ${due} messages were answered`;
}

async function connect(
  where: ConnectOptions,
  { quiet, duplex, framing }: ConverseOptions,
  { progress }: Io,
): Promise<Turns | Filter> {
  const { timeout = 0 } = where;
  const conn = new BufferedConn(await connectVisibly(progress, where), timeout);
  return quiet || duplex ? new Filter(conn, framing) : new Turns(conn, new Peer(conn, { framing }));
}

async function talkTo(
  peer: Turns | DatagramPeer | Filter,
  options: ConverseOptions,
  io: Io,
): Promise<void> {
  if (options.greeting && "conn" in peer) await reportGreeting(peer.conn, options.framing, io);
  if (options.duplex && "conn" in peer) return await duplexInput(peer.conn, options, io);
  if (peer instanceof Turns) return await takeTurns(peer, options, io);
  if (peer instanceof Filter || options.quiet) return await filterInput(peer, io);
  await takeTurns(new DatagramTurns(peer), options, io);
}

/** Reports the first data of a server that speaks first. */
async function reportGreeting(conn: BufferedConn, framing: Framing, io: Io): Promise<void> {
  using _deadline = conn.deadline(undefined, "no greeting");
  const greeting = conn.receive({ framing });
  const { reply } = await io.progress.during(greeting, (s) => `no greeting yet: ${s} s`);
  await reportUnsolicited(reply, io);
}

async function reportUnsolicited(
  data: Uint8Array,
  { report, progress, printUnsolicited }: Io,
): Promise<void> {
  progress.hide();
  if (report.style === "replies") printUnsolicited(data);
  else await report.print({ event: "unsolicited", bytes: data.length, data });
}

/**
 * Sends the messages of the options or of the input in turn. An error reply is a reply like any
 * other in a conversation, and a failure of `--message`.
 */
async function takeTurns(
  turns: Turns | DatagramTurns,
  { messages, prompt, once }: ConverseOptions,
  io: Io,
): Promise<void> {
  const { input, report, progress, openTerminal } = io;
  const isList = messages.length > 0;
  using terminal = isList ? undefined : await openTerminal?.();
  const typed = untilBlank(terminal ?? piped(input, report.output, prompt));
  await talk(turns, isList ? listed(messages) : typed, {
    waiting: (reply) => progress.during(reply, (s) => `no reply yet: ${s} s`),
    onUnsolicited: (data) => reportUnsolicited(data, io),
    async onReply(reply, seq, duration) {
      progress.hide();
      if (isList && reply && isErrorReply(reply)) throw new ErrorReply(new MessageView(reply));
      await report.reply(reply, seq, duration);
    },
  }, once ? 1 : Infinity);
}

/** Sends the input, and reports what is received, without taking turns. */
async function duplexInput(
  conn: BufferedConn,
  { framing, crlf }: ConverseOptions,
  io: Io,
): Promise<void> {
  using terminal = await io.openTerminal?.();
  const pieces = terminal ? linesOf(terminal) : piecesOf(io.input);
  await talkFreely(conn, crlf ? withCrlf(pieces) : pieces, framing, (data) => {
    const write = () => reportUnsolicited(data, io);
    return terminal?.interrupt?.(write) ?? write();
  }).finally(() => terminal?.abandon?.());
}

/** Sends every line of the input; where the replies go elsewhere, shows their count on the terminal. */
async function filterInput(
  peer: Filter | DatagramPeer,
  { input, report, progress, isTerminal }: Io,
): Promise<void> {
  const filtering = filter(peer, input, report);
  if (isTerminal) return await filtering;
  await progress.during(filtering, () => `${peer.answered} of ${peer.sent} messages answered`);
}
