#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --no-prompt
// deno-lint-ignore-file no-console -- the programs alone speak to people
/** The client: the other end of the conversation. */

import config from "./deno.json" with { type: "json" };
import { connect, host, type Place, showPlace } from "./lib/net/address.ts";
import { Peer } from "./lib/client/peer.ts";
import { DatagramPeer } from "./lib/client/datagram_peer.ts";
import { serveDatagrams } from "./lib/server/datagrams.ts";
import { reason } from "./lib/errors.ts";
import { filter, writeAll } from "./lib/client/filter.ts";
import { Framer, FRAMINGS, join, messagesOf } from "./lib/wire/framing.ts";
import {
  duration,
  help,
  oneOf,
  parse,
  text,
  UsageError,
  type Values,
  whole,
} from "./lib/options.ts";
import { pinging } from "./lib/client/sources.ts";
import { Progress } from "./lib/client/progress.ts";
import { escape } from "./lib/wire/quote.ts";
import { Lines, Report, type Style } from "./lib/client/report.ts";
import { serve } from "./lib/server/serve.ts";
import { stamper } from "./lib/server/format.ts";
import {
  type Interlocutor,
  saying,
  type Source,
  talk,
  talkAhead,
  type Tell,
} from "./lib/client/talk.ts";
import { Terminal } from "./lib/client/terminal.ts";
import { readTrusted } from "./lib/net/tls.ts";

// deno-fmt-ignore
const OPTIONS = {
  host: { value: "HOST", fallback: "127.0.0.1", read: host, help: "where the server is" },
  port: { short: "p", value: "PORT", fallback: "6969", read: whole(1, 65535), help: "its port" },
  unix: { short: "U", value: "PATH", read: text, not: ["host", "port", "tls", "loopback"], help: "its Unix socket instead" },
  udp: { short: "u", not: ["unix", "tls", "wait"], help: "speak UDP: say datagrams, count the replies that are lost" },
  tls: { help: "speak TLS, and check who it is" },
  ca: { value: "FILE", read: text, needs: "tls", help: "trust the certificates in this file too (PEM)" },
  wait: { short: "w", value: "DUR", fallback: "0", read: duration, help: "keep trying for so long while nobody is there" },
  loopback: { not: ["host", "port", "tls"], help: "talk to a server of its own, started inside this process" },
  once: { not: ["quiet", "message", "ping"], help: "one prompt, one message, one reply, then exit" },
  message: { short: "m", value: "TEXT", many: true, read: line, help: "say this and print the reply alone; may be repeated" },
  quiet: { short: "q", not: ["message", "ping"], help: "a filter: a message a line in, the replies alone out" },
  framing: { short: "f", value: "auto|line|raw", fallback: "auto", read: oneOf(...FRAMINGS), help: "how a message's end is told" },
  timeout: { short: "t", value: "DUR", fallback: "10s", read: duration, help: "to connect, and for each reply; 0: for ever" },
  ping: { help: "measure round trips: a line a reply, figures at the end" },
  count: { short: "c", value: "N", needs: "ping", read: whole(1, 1_000_000_000), help: "so many messages; without, until Ctrl-C" },
  interval: { short: "i", value: "DUR", fallback: "1s", needs: "ping", read: duration, help: "from one message to the next" },
  log: { value: "text|json", fallback: "text", read: oneOf("text", "json"), help: "the replies, or a JSON object a line" },
} as const;

const PROMPT = ">>:";
/** The longest line that is read from a pipe, in bytes. */
const MOST = 16 << 20;

type Options = Values<typeof OPTIONS>;

const encoder = new TextEncoder();
const NEWLINE = encoder.encode("\n");
/** A person is at both ends of this program. */
const onTerminal = Deno.stdin.isTerminal() && Deno.stdout.isTerminal();

/** Standard output; a terminal's width may change. */
const paper = {
  write,
  get columns() {
    return Deno.stdout.isTerminal() ? Deno.consoleSize().columns : undefined;
  },
  emphasis: Deno.stdout.isTerminal() && !Deno.noColor,
};
const progress = new Progress(
  Deno.stderr.isTerminal()
    ? {
      write: (text) => void Deno.stderr.writeSync(encoder.encode(text)),
      get columns() {
        return Deno.consoleSize().columns;
      },
    }
    : undefined,
);

/** A message that can be said in one line. */
function line(text: string): string {
  if (/\n/.test(text)) throw new RangeError("must be one line: each line is a message of its own");
  return text;
}

/** Talks as the options say; gives the exit code. */
async function main(): Promise<number> {
  const options = parse(OPTIONS, Deno.args, ["host", "port"]);
  if (options === "version") return print(`readback ${config.version}`);
  if (options === "help") {
    return print(`usage: client.ts [options] [HOST [PORT]]\n\n${help(OPTIONS)}`);
  }

  const { framing, timeout, wait, ping, udp } = options;
  const tls = options.tls ? { ca: options.ca && await readTrusted(options.ca) } : undefined;
  const place = options.loopback ? await loopback(udp) : options;
  const server = showPlace(place);
  const peer = udp
    ? await DatagramPeer.connect({ hostname: place.host, port: place.port, framing, timeout })
    : new Peer(
      await progress.during(
        connect(place, { timeout, wait, tls }),
        (s) => `connecting to ${server}: ${s} s`,
      ),
      framing,
      timeout,
    );
  const report = new Report(server, styleOf(options), paper);
  const failure = await run(peer, options, report).then(() => undefined, reason);
  await report.summary(peer, failure);
  if (failure !== undefined) {
    const due = Math.max(peer.sent, options.message.length);
    const tally = `: ${peer.answered} of ${due} messages were answered`;
    complain(failure + (peer.answered < due && !ping ? tally : ""));
  }
  const isWell = ping ? peer.answered > 0 : failure === undefined;
  return isWell ? 0 : 1;
}

/** How replies are told. */
function styleOf({ log, ping, message, quiet }: Options): Style {
  if (log === "json") return "json";
  if (ping) return "ping";
  return message.length > 0 || quiet ? "replies" : "conversation";
}

/** Starts a server inside this process; says where. */
async function loopback(udp: boolean): Promise<Place> {
  const { addr } = udp ? await serveDatagrams(stamper("ctime")) : serve(stamper("ctime"));
  return { host: "127.0.0.1", port: "port" in addr ? addr.port : 0 };
}

/** Talks until the end. */
async function run(peer: Peer | DatagramPeer, options: Options, report: Report): Promise<void> {
  const { quiet, ping, interval, count } = options;
  const messages = options.message.map((text) => encoder.encode(text));
  const tell = report.reply.bind(report);
  if (quiet) return await filterInput(peer, report);
  const say = (message: Uint8Array) =>
    progress.during(peer.say(message), (s) => `no reply yet: ${s} s`);
  const patient = { say, gone: () => peer.gone() };
  if (ping) {
    const stop = stopSignal();
    const { promise: stopped, resolve } = Promise.withResolvers<void>();
    stop.addEventListener("abort", () => resolve());
    const talking = talk(patient, pinging(messages, interval, stop), tell, count);
    return await Promise.race([talking, stopped]).finally(() => progress.hide());
  }
  if (messages.length > 0) return await talk(patient, saying(messages), tell);
  const most = options.once ? 1 : Infinity;
  if (report.style === "json") await talk(patient, piped(""), tell, most);
  else if (onTerminal) await talkOnTerminal(patient, tell, most);
  else await talk(patient, piped(PROMPT), tell, most);
}

/** Says every line of standard input; where the replies go elsewhere, counts them on the terminal. */
async function filterInput(peer: Peer | DatagramPeer, report: Report): Promise<void> {
  const filtering = filterTo(peer, report);
  if (Deno.stdout.isTerminal()) return await filtering;
  await progress.during(filtering, () => `${peer.answered} of ${peer.sent} messages answered`);
}

async function filterTo(peer: Peer | DatagramPeer, report: Report): Promise<void> {
  const tell = report.reply.bind(report);
  if (peer instanceof DatagramPeer) {
    await talkAhead(peer, messagesOf(stdin, new Framer("line", MOST)), tell);
  } else if (report.style === "json") {
    const lines = new Lines(tell);
    await filter(peer, stdin, lines).finally(() => lines.end());
  } else await filter(peer, stdin, { write });
}

/** Aborts at the first Ctrl-C; a second one ends the program. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  const on = (signal: Deno.Signal, code: number) =>
    Deno.addSignalListener(signal, () => stop.signal.aborted ? Deno.exit(code) : stop.abort());
  on("SIGINT", 130);
  if (Deno.build.os !== "windows") on("SIGTERM", 143);
  return stop.signal;
}

async function talkOnTerminal(peer: Interlocutor, tell: Tell, most: number): Promise<void> {
  const { default: process } = await import("node:process"); // not at the top: it takes long to load
  const prompt = paper.emphasis ? `\x1b[1m${PROMPT}\x1b[22m` : PROMPT;
  using terminal = await Terminal.open(process.stdin, process.stdout, prompt, () => leave(130));
  const leave = (code: number) => {
    progress.hide();
    terminal.leave();
    terminal[Symbol.dispose]();
    Deno.exit(code);
  };
  if (Deno.build.os !== "windows") {
    Deno.addSignalListener("SIGHUP", () => leave(129));
    Deno.addSignalListener("SIGTERM", () => leave(143));
  }
  const next = async () => {
    const line = await terminal.ask();
    if (line === null) console.log();
    return line ? encoder.encode(line) : null;
  };
  const abandon = () => Promise.resolve(terminal.leave());
  await talk(peer, { next, abandon }, tell, most);
}

/** Asks standard input; with a prompt, what it says is shown as a terminal would. */
function piped(prompt: string): Source {
  const lines = messagesOf(stdin, new Framer("line", MOST));
  const show = async (bytes: Uint8Array) => void (prompt && await write(bytes));
  return {
    async next() {
      await show(encoder.encode(prompt));
      const { value: line = new Uint8Array() } = await lines.next();
      await show(join([line, NEWLINE]));
      return line.length > 0 ? line : null;
    },
    abandon: () => show(NEWLINE),
  };
}

/** Standard input. */
const stdin = {
  read: (into: Uint8Array) =>
    Deno.stdin.read(into).catch((error) => {
      throw new Error(`cannot read standard input: ${reason(error)}`);
    }),
};

/** Writes all of these bytes to standard output. */
async function write(bytes: Uint8Array): Promise<number> {
  try {
    await writeAll(Deno.stdout, bytes);
    return bytes.length;
  } catch (error) {
    const isPipe = error instanceof Deno.errors.BrokenPipe;
    throw new Error(
      isPipe ? "nobody reads the replies any more" : `cannot write the replies: ${reason(error)}`,
    );
  }
}

function print(text: string): number {
  console.log(text.trimEnd());
  return 0;
}

/** Says what went wrong; the server's words may be in it. */
function complain(sentence: string): void {
  console.error("%cclient:%c %s", "color: red", "", escape(encoder.encode(sentence)));
}

try {
  Deno.exit(await main());
} catch (error) {
  complain(reason(error));
  Deno.exit(error instanceof UsageError ? 2 : 1);
}
