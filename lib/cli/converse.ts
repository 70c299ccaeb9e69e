/** The client in conversation: sends the messages that it is given, and reports the replies. */

import { errorMessage } from "../checks.ts";
import { DatagramPeer } from "../client/datagram_peer.ts";
import { BufferedConn } from "../net/buffered_conn.ts";
import { connect } from "../net/connect.ts";
import { Tally } from "../ping/reply_matcher.ts";
import { isPending } from "../wait.ts";
import { ErrorReply, isErrorReply, MessageView, utf8 } from "../wire/message.ts";
import { escape } from "../wire/quote.ts";
import type { Context } from "./client_options.ts";
import { Filter, filter } from "./filter.ts";
import { connectingTo } from "./output/status_line.ts";
import * as pipes from "./pipes.ts";
import { errors, onSignals } from "./program.ts";
import { talk, talkFreely, Turns } from "./talk.ts";
import { openTerminal, type Terminal } from "./terminal.ts";

/** The longest time to send the end of our data, in ms. */
const CLOSING = 100;
const PROMPT = ">>:";
const input = pipes.standardInput(Deno.stdin);

/**
 * Talks to a server until the end.
 * @throws {ConnectError} if there is no connection
 * @throws {Error} if the conversation failed
 */
export async function converse(context: Context): Promise<void> {
  const { options, report, status, where } = context;
  const { udp, quiet, duplex, framing, greeting, message } = options;
  const { hostname, port, timeout = 0 } = where;
  const server = udp
    ? await DatagramPeer.connect({ hostname, port, framing, timeout })
    : new BufferedConn(await status.during(connect(where), connectingTo(where)), timeout);
  const isConn = server instanceof BufferedConn;
  const talker = isConn && quiet ? new Filter(server, framing) : new Turns(server, framing);

  async function talkToServer(): Promise<void> {
    if (isConn && greeting) await reportGreeting(server, context);
    if (isConn && duplex) await duplexInput(server, context);
    else if (talker instanceof Filter || quiet) await filter(talker, input, context);
    else await takeTurns(talker, context);
  }

  const failure = await talkToServer().then(() => undefined, errorMessage);
  // Under TLS, closing alone would look like a lost connection. The server need not read this.
  if (isConn) await isPending(server.closeWrite(), CLOSING);
  server.close();
  const { sent, answered } = talker;
  const tally = { ...new Tally(), sent, answered, connects: udp ? 0 : 1 };
  if (!duplex) await report.summary({ tally }, "summary", failure);
  if (failure === undefined) return;
  const due = Math.max(sent, message.length); // a duplex conversation has no messages to count
  const missing = answered < due ? `: ${answered} of ${due} messages were answered` : "";
  throw new Error(`${failure}${missing}`);
}

/** Reports the first data of a server that speaks first. */
async function reportGreeting(conn: BufferedConn, context: Context): Promise<void> {
  using _deadline = conn.deadline(undefined, "no greeting");
  const greeting = conn.receive({ framing: context.options.framing });
  const { reply } = await context.status.during(greeting, (s) => `no greeting yet: ${s} s`);
  await reportUnsolicited(reply, context);
}

/**
 * Reports what answers no message: beside the output, where only replies go to that.
 * @param typed the messages whose line it must not break
 */
async function reportUnsolicited(data: Uint8Array, context: Context, typed?: pipes.TypedMessages) {
  const { report, status } = context;
  const write = async () => {
    if (report.options.style === "replies") errors.line(`Server says: ${escape(data)}`);
    else await report.print({ event: "unsolicited", bytes: data.length, data });
  };
  status.hide();
  await (typed?.interrupt(write) ?? write());
}

/**
 * Sends the messages of the options or of the input in turn. An error reply is a reply like any
 * other in a conversation, and a failure of `--message`.
 */
async function takeTurns(turns: Turns, context: Context): Promise<void> {
  const { options: { message, once }, report, status } = context;
  const isList = message.length > 0;
  using terminal = isList ? undefined : await openEditor(context);
  const prompt = report.options.style === "json" ? "" : PROMPT;
  const typed = isList ? undefined : terminal ?? pipes.piped(input, report.output, prompt);
  await talk(turns, typed ?? pipes.listed(message), {
    maxMessages: once ? 1 : undefined,
    endsAtBlank: !isList,
    waiting: (reply) => status.during(reply, (s) => `no reply yet: ${s} s`),
    onUnsolicited: (data) => reportUnsolicited(data, context, typed),
    async onReply(reply, seq, duration) {
      status.hide();
      if (isList && reply && isErrorReply(reply)) throw new ErrorReply(new MessageView(reply));
      if (reply) await report.reply(reply, seq, duration);
      else if (prompt) await report.print({ event: "lost", seq }); // programs see the gap in the numbers
    },
  }).finally(() => typed?.abandon());
}

/** Sends the input, and reports what is received, without taking turns. */
async function duplexInput(conn: BufferedConn, context: Context): Promise<void> {
  const { crlf, framing } = context.options;
  using terminal = await openEditor(context);
  const pieces = terminal ? pipes.linesOf(terminal) : pipes.piecesOf(input);
  const show = (data: Uint8Array) => reportUnsolicited(data, context, terminal);
  await talkFreely(conn, crlf ? pipes.withCrlf(pieces) : pieces, framing, show)
    .finally(() => terminal?.abandon());
}

/** Opens a line editor, if a person types the messages. */
async function openEditor({ options, report, status }: Context): Promise<Terminal | undefined> {
  const { output, options: { style } } = report;
  if (style === "json" || !Deno.stdout.isTerminal() || !Deno.stdin.isTerminal()) return undefined;
  if (options.loopback) {
    const end = options.duplex ? "Ctrl-D ends." : "A blank line or Ctrl-D ends.";
    const explanation = `Type a line for the server in this process. ${end}\n`;
    await output.write(utf8(explanation));
  }
  const { default: process } = await import("node:process"); // not at the top: it takes long to load
  process.env = {}; // before Deno 2.6, node:readline reads TERM, for which there is no permission
  const prompt = output.emphasis ? `\x1b[1m${PROMPT}\x1b[22m` : PROMPT;
  const terminal = await openTerminal(process.stdin, process.stdout, prompt, () => leave(130));
  const leave = (code: number) => {
    status.hide();
    void terminal.abandon();
    terminal[Symbol.dispose]();
    Deno.exit(code);
  };
  onSignals(["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"], leave);
  return terminal;
}
