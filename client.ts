#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --no-prompt
// deno-lint-ignore-file no-console -- the programs alone speak to people
/** The client: the other end of the conversation. */

import config from "./deno.json" with { type: "json" };
import { errorMessage } from "./lib/checks.ts";
import { converse } from "./lib/cli/converse.ts";
import { measure } from "./lib/cli/measure.ts";
import { StandardOutput, wordedInput } from "./lib/cli/pipes.ts";
import { StatusLine } from "./lib/cli/status_line.ts";
import { Report, type Style } from "./lib/cli/report.ts";
import { talk, type TalkCallbacks, type TalkPeer } from "./lib/cli/talk.ts";
import { Terminal } from "./lib/cli/terminal.ts";
import { addressOrName, type ConnectOptions, cutPort, formatEndpoint } from "./lib/net/address.ts";
import { readTls } from "./lib/net/tls.ts";
import {
  duration,
  help,
  oneOf,
  parse,
  text,
  UsageError,
  type Values,
  whole,
} from "./lib/cli/options.ts";
import { serveDatagrams } from "./lib/server/datagrams.ts";
import { checkRuntime } from "./lib/cli/runtime.ts";
import { stamper } from "./lib/server/format.ts";
import { serve } from "./lib/server/serve.ts";
import { FRAMINGS } from "./lib/wire/framing.ts";
import { escape } from "./lib/wire/quote.ts";

// deno-fmt-ignore
const OPTIONS = {
  host: { value: "HOST", fallback: "127.0.0.1", read: addressOrName, help: "where the server is" },
  port: { short: "p", value: "PORT", fallback: "6969", read: whole(1, 65535), help: "its port" },
  unix: { short: "U", value: "PATH", read: text, not: ["host", "port", "tls", "loopback"], help: "its Unix socket instead" },
  udp: { short: "u", not: ["unix", "tls", "wait"], help: "speak UDP: say datagrams, count the replies that are lost" },
  tls: { help: "speak TLS, and check who it is" },
  ca: { value: "FILE", read: text, needs: "tls", help: "trust the certificates in this file too (PEM)" },
  cert: { value: "FILE", read: text, needs: ["tls", "key"], help: "who the client is, where a server asks: its certificate (PEM)" },
  key: { value: "FILE", read: text, needs: ["tls", "cert"], help: "its private key (PEM)" },
  wait: { short: "w", value: "DUR", fallback: "0", read: duration, help: "keep trying for this long while nobody is there" },
  loopback: { not: ["host", "port", "tls"], help: "talk to a server of its own, started inside this process" },
  once: { not: ["quiet", "message", "ping"], help: "one prompt, one message, one reply, then exit" },
  message: { short: "m", value: "TEXT", many: true, empty: true, read: line, help: "say this and print the reply alone; may be repeated" },
  quiet: { short: "q", help: "a filter: each line is a message, and only replies are printed; with --ping, only the summary" },
  framing: { short: "f", value: "auto|line|raw", fallback: "auto", read: oneOf(...FRAMINGS), help: "how a message's end is told" },
  timeout: { short: "t", value: "DUR", fallback: "10s", read: duration, help: "to connect, and for each reply; 0: for ever" },
  greeting: { not: ["udp", "connect"], help: "the server speaks first: wait for that, and tell it" },
  ping: { help: "measure round trips: a line a reply, figures at the end" },
  count: { short: "c", value: "N", needs: "ping", read: whole(1, 1_000_000_000), help: "end after this many messages; without, at Ctrl-C" },
  interval: { short: "i", value: "DUR", fallback: "1s", needs: "ping", read: duration, help: "from one message to the next; 0: as fast as replies come" },
  any: { needs: "ping", not: ["connect"], help: "take any line for a reply, not only one that holds its message" },
  connect: { needs: "ping", not: ["udp", "message", "framing"], help: "measure connections instead, and say nothing" },
  log: { value: "text|json", fallback: "text", read: oneOf("text", "json"), help: "the replies, or a JSON object a line" },
} as const;

const PROMPT = ">>:";

type Options = Values<typeof OPTIONS>;

const encoder = new TextEncoder();
const paper = new StandardOutput(Deno.stdout, Deno.consoleSize, !Deno.noColor);
const progress = new StatusLine(Deno.stderr, Deno.consoleSize);

/** A message that can be said in one line. */
function line(text: string): string {
  if (/\n/.test(text)) throw new RangeError("must be one line: each line is a message of its own");
  return text;
}

/** Talks as the options say; gives the exit code. */
async function main(): Promise<number> {
  checkRuntime();
  const options = parse(OPTIONS, Deno.args, ["host", "port"], cutPort);
  if (options === "version") return print(`readback ${config.version}`);
  if (options === "help") {
    return print(`usage: readback [options] [HOST [PORT] | HOST:PORT]\n\n${help(OPTIONS)}`);
  }
  const { host, port, unix: path, loopback, udp, timeout, wait } = options;
  const { ping, quiet, connect, message } = options;
  if (quiet && message.length > 0 && !ping) {
    throw new UsageError("cannot combine --quiet and --message: choose one of them");
  }
  const here = loopback ? await startLoopback(udp) : { hostname: host, port, path };
  const tls = options.tls ? await readTls(options) : undefined;
  const where = { ...here, timeout, wait, tls };
  const messages = message.map((text) => encoder.encode(text));
  const style = styleOf(options);
  const report = new Report(formatEndpoint(where), paper, {
    style,
    connect,
    summaryAlone: ping && quiet,
  });
  if (ping) {
    const instrument = { report, progress, complain };
    return await measure(where, { ...options, messages }, instrument, stopSignal()) ? 0 : 1;
  }
  const prompt = style === "json" ? "" : PROMPT;
  const isTerminal = Deno.stdout.isTerminal();
  const person = prompt && isTerminal && Deno.stdin.isTerminal() ? talkOnTerminal : undefined;
  const desk = { input: wordedInput(Deno.stdin), report, progress, isTerminal, person, aside };
  const failure = await converse(where, { ...options, messages, prompt }, desk);
  if (failure !== undefined) complain(failure);
  return failure === undefined ? 0 : 1;
}

/** Starts a server inside this process; says where. */
async function startLoopback(udp: boolean): Promise<ConnectOptions> {
  const { addr } = udp ? await serveDatagrams(stamper("ctime")) : serve(stamper("ctime"));
  return "port" in addr ? { hostname: "127.0.0.1", port: addr.port } : {};
}

/** How replies are told. */
function styleOf({ log, ping, message, quiet }: Options): Style {
  if (log === "json") return "json";
  if (ping) return "ping";
  return message.length > 0 || quiet ? "replies" : "conversation";
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

async function talkOnTerminal(
  peer: TalkPeer,
  listener: TalkCallbacks,
  most: number,
): Promise<void> {
  const { default: process } = await import("node:process"); // not at the top: it takes long to load
  process.env = {}; // before Deno 2.6, node:readline reads TERM, which we have no right to
  const prompt = paper.emphasis ? `\x1b[1m${PROMPT}\x1b[22m` : PROMPT;
  using terminal = await Terminal.open(process.stdin, process.stdout, prompt, () => leave(130));
  const leave = (code: number) => {
    progress.hide();
    terminal.leave();
    terminal[Symbol.dispose]();
    Deno.exit(code);
  };
  const signals = { SIGHUP: 129, SIGINT: 130, SIGQUIT: 131, SIGTERM: 143 } as const;
  for (const [signal, code] of Object.entries(signals)) {
    if (Deno.build.os !== "windows") {
      Deno.addSignalListener(signal as Deno.Signal, () => leave(code));
    }
  }
  const next = async () => {
    const line = await terminal.ask();
    if (line === null) console.log();
    return line ? encoder.encode(line) : null;
  };
  const abandon = () => Promise.resolve(terminal.leave());
  const interrupt = terminal.interrupt.bind(terminal);
  await talk(peer, { next, abandon, interrupt }, listener, most);
}

/** Shows what a server said that is no reply, beside replies that go elsewhere. */
function aside(words: Uint8Array): void {
  console.error("Server says: %s", escape(words));
}

function print(text: string): number {
  console.log(text.trimEnd());
  return 0;
}

/** Says what went wrong; the server's words may be in it. */
function complain(sentence: string): void {
  progress.hide();
  try {
    console.error("%cclient:%c %s", "color: red", "", escape(encoder.encode(sentence)));
  } catch {
    // The disk is full: what is left to say it is the exit code.
  }
}

try {
  Deno.exit(await main());
} catch (error) {
  complain(errorMessage(error));
  Deno.exit(error instanceof UsageError ? 2 : 1);
}
