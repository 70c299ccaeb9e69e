/** The client in conversation: sends the messages that it is given, and reports the replies. */

import { errorMessage } from "../checks.ts";
import type { ConnectOptions } from "../net/connect.ts";
import { TimeoutError } from "../net/errors.ts";
import type { Framing } from "../wire/framing.ts";
import { ErrorReply, isErrorReply } from "../wire/error_reply.ts";
import { MessageView } from "../wire/message.ts";
import { DatagramPeer } from "../client/datagram_peer.ts";
import { Filter, filter } from "./filter.ts";
import { Peer } from "../client/peer.ts";
import type { Input } from "./pipes.ts";
import { connectVisibly, type StatusLine } from "./status_line.ts";
import type { Report } from "./report.ts";
import { linesOf, listed, piecesOf, piped, untilBlank, withCrlf } from "./sources.ts";
import { BufferedConn } from "../net/buffered_conn.ts";
import {
  datagramExchange,
  type Exchange,
  type MessageSource,
  talk,
  talkFreely,
  Turns,
} from "./talk.ts";

/** How to talk to the server. */
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
  /** Whether the replies go to a terminal. */
  readonly isTerminal: boolean;
  /** Reports unsolicited data where only replies go to the output. */
  aside(data: Uint8Array): void;
  /** Opens a line editor on the terminal; undefined without one. */
  readonly openTerminal?: (() => Promise<MessageSource & Disposable>) | undefined;
}

/** A conversation that is about to begin. */
interface Session {
  run(): Promise<void>;
  close(): void;
  /** Counts for the summary; a duplex conversation has none. */
  readonly tally?: { readonly sent: number; readonly answered: number };
}

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
  const { run, close, tally } = await (options.udp ? openDatagrams : open)(where, options, io);
  const failure = await run().then(() => undefined, errorMessage);
  close();
  if (tally === undefined) return failure;
  const { sent, answered } = tally;
  const reason = failure === undefined ? {} : { reason: failure };
  await io.report.summary({ sent, answered, connects: options.udp ? 0 : 1, ...reason });
  const due = Math.max(tally.sent, options.messages.length);
  if (failure === undefined || tally.answered >= due) return failure;
  return `${failure}: ${tally.answered} of ${due} messages were answered`;
}

async function openDatagrams(
  { hostname, port, timeout }: ConnectOptions,
  options: ConverseOptions,
  io: Io,
): Promise<Session> {
  const { framing, quiet } = options;
  const peer = await DatagramPeer.connect({ hostname, port, framing, timeout });
  const closed = new Promise<never>(() => {}); // UDP has no connection
  const onLost = (seq: number) => io.report.reply(null, seq);
  const run = () =>
    quiet
      ? filterInput(peer, io)
      : takeTurns(datagramExchange(peer), options, io, () => closed, onLost);
  return { run, close: () => peer.close(), tally: peer };
}

async function open(where: ConnectOptions, options: ConverseOptions, io: Io): Promise<Session> {
  const { framing, quiet, duplex, greeting } = options;
  const { timeout = 0 } = where;
  const conn = await connectVisibly(io.progress, where);
  if (!quiet && !duplex) {
    const turns = new Turns(new Peer(conn, { framing, timeout: 0 }), timeout);
    const run = async () => {
      const greet = async () => (await turns.peer.receive(timeout)).bytes;
      if (greeting) await waitForGreeting(greet, timeout, io);
      await takeTurns(turns.exchange, options, io, (onData) => turns.receive(onData));
    };
    return { run, close: () => turns.peer.close(), tally: turns };
  }
  const buffered = new BufferedConn(conn, timeout);
  const filter = new Filter(buffered, framing);
  const run = async () => {
    using deadline = buffered.deadline();
    const greet = async () => (await buffered.receive({ framing })).reply;
    if (greeting) await waitForGreeting(greet, timeout, io);
    deadline[Symbol.dispose]();
    await (quiet ? filterInput(filter, io) : duplexInput(buffered, options, io));
  };
  const close = () => buffered.close();
  return duplex ? { run, close } : { run, close, tally: filter };
}

/** Reports the first data of a server that speaks first. */
async function waitForGreeting(
  receive: () => Promise<Uint8Array>,
  timeout: number,
  io: Io,
): Promise<void> {
  const receiving = receive().catch((error) => {
    throw error instanceof TimeoutError ? new TimeoutError("no greeting", timeout) : error;
  });
  await reportUnsolicited(
    await io.progress.during(receiving, (s) => `no greeting yet: ${s} s`),
    io,
  );
}

async function reportUnsolicited(data: Uint8Array, { report, progress, aside }: Io): Promise<void> {
  progress.hide();
  if (report.style === "replies") aside(data);
  else await report.tell({ event: "unsolicited", bytes: data.length, data });
}

/**
 * Sends the messages of the options or of the input in turn. An error reply is a reply like any
 * other in a conversation, and a failure of `--message`.
 * @param receive reports unsolicited data, and rejects when the connection is closed
 */
async function takeTurns(
  exchange: Exchange,
  { messages, prompt, once }: ConverseOptions,
  io: Io,
  receive: (onData: (data: Uint8Array) => Promise<void>) => Promise<never>,
  onLost?: (seq: number) => Promise<void>,
): Promise<void> {
  const { input, report, progress, openTerminal } = io;
  const isList = messages.length > 0;
  using terminal = isList ? undefined : await openTerminal?.();
  const source = isList
    ? listed(messages)
    : untilBlank(terminal ?? piped(input, report.paper, prompt));
  const visibly: Exchange = (message, onReply) =>
    progress.during(exchange(message, onReply), (s) => `no reply yet: ${s} s`);
  const onReply = async (reply: Uint8Array, seq: number, duration: number) => {
    progress.hide();
    if (isList && isErrorReply(reply)) throw new ErrorReply(new MessageView(reply));
    await report.reply(reply, seq, duration);
  };
  const closed = receive((data) => {
    const write = () => reportUnsolicited(data, io);
    return source.interrupt?.(write) ?? write();
  });
  await talk(source, visibly, { onReply, onLost }, closed, once ? 1 : Infinity);
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
