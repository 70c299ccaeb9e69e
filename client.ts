#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --no-prompt
/** The client: the other end of the conversation. */

import { mustBe } from "./lib/checks.ts";
import { converse } from "./lib/cli/converse.ts";
import { measure } from "./lib/cli/measure.ts";
import {
  duration,
  interval,
  oneOf,
  text,
  UsageError,
  type Values,
  whole,
} from "./lib/cli/options.ts";
import { Report, type Style } from "./lib/cli/output/report.ts";
import { StandardOutput } from "./lib/cli/output/standard_output.ts";
import { StatusLine } from "./lib/cli/output/status_line.ts";
import { reportTrace } from "./lib/cli/output/trace.ts";
import { type MessageSource, standardInput } from "./lib/cli/pipes.ts";
import * as program from "./lib/cli/program.ts";
import { Terminal } from "./lib/cli/terminal.ts";
import { addressesOf, addressOrName, formatEndpoint } from "./lib/net/address.ts";
import type { ConnectOptions } from "./lib/net/connect.ts";
import { readTls } from "./lib/net/pem.ts";
import { serveDatagrams } from "./lib/server/datagrams.ts";
import { readback } from "./lib/server/readback.ts";
import { serve } from "./lib/server/serve.ts";
import { FRAMINGS } from "./lib/wire/framing.ts";
import { escape } from "./lib/wire/quote.ts";

// deno-fmt-ignore
const OPTIONS = {
  host: { group: "Where the server is", value: "HOST", fallback: "127.0.0.1", read: addressOrName, help: "the server's address or name" },
  port: { short: "p", value: "PORT", fallback: "6969", read: whole(1, 65535), help: "the server's port" },
  unix: { short: "U", value: "PATH", read: text, not: ["host", "port", "tls", "loopback"], help: "the server's Unix socket instead" },
  udp: { short: "u", not: ["unix", "tls", "wait"], help: "use UDP: send datagrams, count lost replies" },
  tls: { help: "use TLS, and check the server's certificate" },
  ca: { value: "FILE", read: text, needs: ["tls"], help: "trust the certificates in this file too (PEM)" },
  cert: { value: "FILE", read: text, needs: ["tls", "key"], help: "the client's certificate, for servers that ask (PEM)" },
  key: { value: "FILE", read: text, needs: ["tls", "cert"], help: "the certificate's private key (PEM)" },
  ipv4: { short: "4", not: ["ipv6", "unix", "cert"], help: "use only the host's IPv4 addresses" },
  ipv6: { short: "6", not: ["unix", "cert"], help: "use only the host's IPv6 addresses" },
  wait: { short: "w", value: "DUR", fallback: "0", read: duration, help: "retry for this long while no server is there" },
  loopback: { not: ["host", "port", "tls"], help: "talk to a server that is started inside this process" },

  message: { group: "What it sends", short: "m", value: "TEXT", many: true, empty: true, read: line, help: "send this and print only the reply; may be repeated" },
  quiet: { short: "q", help: "be a filter: send each input line, print only replies; with --ping, print only the summary" },
  duplex: { not: ["message", "quiet", "once", "ping", "connect", "udp"], help: "send and receive without taking turns; the end of input half-closes" },
  crlf: { needs: ["duplex"], help: "end lines with CRLF" },
  once: { not: ["quiet", "message", "ping", "connect"], help: "one prompt, one message, one reply, then exit" },
  framing: { short: "f", value: "auto|line|raw", fallback: "auto", read: oneOf(...FRAMINGS), help: "how the end of a message is found" },
  greeting: { not: ["udp", "connect"], help: "wait for the server's first words, and print them" },

  ping: { group: "What it measures", help: "measure round trips: a line per reply, figures at the end" },
  connect: { not: ["udp", "message", "framing"], help: "measure how long connecting takes, and send nothing; implies --ping" },
  count: { short: "c", value: "N", needs: ["ping|connect"], read: whole(1, 1_000_000_000), help: "end after N messages; without, at Ctrl-C" },
  for: { value: "DUR", needs: ["ping|connect"], read: positive, help: "end after this time" },
  interval: { short: "i", value: "DUR", fallback: "1s", needs: ["ping|connect"], read: interval, help: "from one message to the next, such as 100us; 0: as fast as replies arrive" },
  connections: { value: "N", fallback: "1", needs: ["ping|connect"], read: whole(1, 10_000), help: "open N connections, each with its own --interval" },
  any: { needs: ["ping"], not: ["connect"], help: "take any line for a reply, not only one that holds its message" },

  timeout: { group: "How it ends", short: "t", value: "DUR", fallback: "10s", read: duration, help: "the time to connect, and for each reply; 0: unlimited" },

  timestamps: { group: "What it prints", short: "D", needs: ["ping|connect"], help: "print the local time before each line of --ping" },
  log: { value: "text|json", fallback: "text", read: oneOf("text", "json"), help: "the replies, or a JSON object per line" },
  trace: { not: ["udp"], help: "print every read and write, with its time, on standard error" },
} as const;

const ABOUT = `usage: readback [options] [HOST [PORT] | HOST:PORT]

A TCP client that sends messages, prints the replies, and measures the server.

  readback --message hello 127.0.0.1:6969   send a message, print its reply
  readback --ping --count 10 example.org 7  measure ten round trips
`;
const PROMPT = ">>:";

type Options = Values<typeof OPTIONS>;

const encoder = new TextEncoder();
const output = new StandardOutput();
const progress = new StatusLine(Deno.stderr, Deno.consoleSize, !Deno.noColor);

/** Reads a message that can be sent as one line. */
function line(text: string): string {
  if (/\n/.test(text)) throw new RangeError("must be one line: each line is a message of its own");
  return text;
}

/** Reads a duration that is not 0. */
function positive(text: string): number {
  return duration(text) || mustBe("longer than 0");
}

/** Talks to a server, or measures it; gives the exit code. */
async function main(options: Options): Promise<number> {
  const { host, port, unix: path, loopback, udp, timeout, wait } = options;
  const { quiet, connect, message, ipv4, ipv6, connections, timestamps } = options;
  const ping = options.ping || connect;
  const family = ipv4 ? 4 : ipv6 ? 6 : undefined;
  if (quiet && message.length > 0 && !ping) {
    throw new UsageError("cannot combine --quiet and --message: choose one of them");
  }
  const hostname = udp && family ? (await addressesOf(host, family))[0] : host;
  const here = loopback ? await startLoopback(udp) : { hostname, port, path };
  const tls = options.tls ? await readTls(options) : undefined;
  const where = { ...here, timeout, wait, tls, family } as const;
  const messages = message.map((text) => encoder.encode(text));
  const style = styleOf(options);
  const report = new Report(formatEndpoint(where), output, {
    style,
    connect,
    connections,
    timestamps,
    summaryAlone: ping && quiet,
  });
  const trace = options.trace ? reportTrace(report, printTrace) : undefined;
  const target = { ...where, trace };
  if (ping) {
    const onProgress = (print: () => void) => program.onSignals(["SIGQUIT"], print);
    const io = { report, status: progress, complain, onProgress };
    const measuring = { ...options, messages, duration: options.for };
    return await measure(target, measuring, io, program.stopAtSignals(new AbortController()))
      ? 0
      : 1;
  }
  const prompt = style === "json" ? "" : PROMPT;
  const isTerminal = Deno.stdout.isTerminal();
  const isOnTerminal = prompt && isTerminal && Deno.stdin.isTerminal();
  if (isOnTerminal && loopback) await output.write(encoder.encode(explanation(options)));
  const failure = await converse(target, { ...options, messages, prompt }, {
    ...{ input: standardInput(Deno.stdin), report, progress, isTerminal, printUnsolicited },
    openTerminal: isOnTerminal ? openTerminal : undefined,
  });
  if (failure !== undefined) complain(failure);
  return failure === undefined ? 0 : 1;
}

/** The first line of a conversation with a server inside this process. */
function explanation({ duplex }: Options): string {
  const end = duplex ? "Ctrl-D ends." : "A blank line or Ctrl-D ends.";
  return `Type a line for the server in this process. ${end}\n`;
}

/** Starts a server inside this process; resolves to its address. */
async function startLoopback(udp: boolean): Promise<ConnectOptions> {
  const { addr } = udp ? await serveDatagrams(readback()) : serve(readback());
  return "port" in addr ? { hostname: "127.0.0.1", port: addr.port } : {};
}

/** The style of the report. */
function styleOf({ log, ping, connect, message, quiet }: Options): Style {
  if (log === "json") return "json";
  if (ping || connect) return "ping";
  return message.length > 0 || quiet ? "replies" : "conversation";
}

/** Opens a line editor on the terminal. */
async function openTerminal(): Promise<MessageSource & Disposable> {
  const { default: process } = await import("node:process"); // not at the top: it takes long to load
  process.env = {}; // before Deno 2.6, node:readline reads TERM, which we have no right to
  const prompt = output.emphasis ? `\x1b[1m${PROMPT}\x1b[22m` : PROMPT;
  const terminal = await Terminal.open(process.stdin, process.stdout, prompt, () => leave(130));
  const leave = (code: number) => {
    progress.hide();
    terminal.leave();
    terminal[Symbol.dispose]();
    Deno.exit(code);
  };
  program.onSignals(["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"], leave);
  return {
    async next() {
      const line = await terminal.ask();
      if (line === null) await output.write(encoder.encode("\n"));
      return line === null ? null : encoder.encode(line);
    },
    abandon: () => Promise.resolve(terminal.leave()),
    interrupt: (write) => terminal.interrupt(write),
    [Symbol.dispose]: () => terminal[Symbol.dispose](),
  };
}

/** Prints what a server sent that is no reply, beside replies that go elsewhere. */
function printUnsolicited(words: Uint8Array): void {
  program.printError(`Server says: ${escape(words)}`);
}

function printTrace(line: string): void {
  progress.hide();
  program.printError(line);
}

/** Prints what went wrong; words of the server may be in it. */
function complain(sentence: string): void {
  progress.hide();
  program.complain("client", escape(encoder.encode(sentence)));
}

await program.run(ABOUT, OPTIONS, Deno.args, main, complain);
