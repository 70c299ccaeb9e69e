#!/usr/bin/env -S deno run --allow-net --no-prompt
// deno-lint-ignore-file no-console -- the programs alone speak to people
/** The client: the other end of the conversation. */

import process from "node:process";
import config from "./deno.json" with { type: "json" };
import { connect, host, type Place } from "./lib/address.ts";
import { Peer } from "./lib/converse.ts";
import { filter, writeAll } from "./lib/filter.ts";
import { Framer, FRAMINGS, join, messagesOf } from "./lib/framing.ts";
import { duration, help, oneOf, parse, text, UsageError, whole } from "./lib/options.ts";
import { escape } from "./lib/quote.ts";
import { serve } from "./lib/serve.ts";
import { stamper } from "./lib/stamp.ts";
import { Terminal } from "./lib/terminal.ts";
import { readTrusted } from "./lib/tls.ts";

// deno-fmt-ignore
const OPTIONS = {
  host: { value: "HOST", fallback: "127.0.0.1", read: host, help: "where the server is" },
  port: { short: "p", value: "PORT", fallback: "6969", read: whole(1, 65535), help: "its port" },
  unix: { short: "U", value: "PATH", read: text, not: ["host", "port", "tls", "loopback"], help: "its Unix socket instead" },
  tls: { help: "speak TLS, and check who it is" },
  ca: { value: "FILE", read: text, needs: "tls", help: "trust who is in this file too (PEM)" },
  wait: { short: "w", value: "DUR", fallback: "0", read: duration, help: "keep trying for so long while nobody is there" },
  loopback: { not: ["host", "port", "tls"], help: "talk to a server of its own, started inside this process" },
  once: { help: "one prompt, one message, one reply, then exit" },
  message: { short: "m", value: "TEXT", many: true, read: line, help: "say this and print the reply alone; may be repeated" },
  quiet: { short: "q", help: "a filter: a message a line in, the replies alone out" },
  framing: { short: "f", value: "auto|line|raw", fallback: "auto", read: oneOf(...FRAMINGS), help: "how a message's end is told" },
  timeout: { short: "t", value: "DUR", fallback: "10s", read: duration, help: "to connect, and for each reply; 0: for ever" },
} as const;

const PROMPT = ">>:";
/** The longest line that is read from a pipe, in bytes. */
const MOST = 16 << 20;

type Ask = () => Promise<Uint8Array | null>;

const encoder = new TextEncoder();
const NEWLINE = encoder.encode("\n");
/** A person is at both ends of this program. */
const onTerminal = Deno.stdin.isTerminal() && Deno.stdout.isTerminal();

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
  const { quiet, message: messages, once } = options;
  if (Number(quiet) + Number(messages.length > 0) + Number(once) > 1) {
    throw new UsageError("cannot combine --quiet, --message and --once: choose one of them");
  }

  const { framing, timeout, wait } = options;
  const tls = options.tls ? { ca: options.ca && await readTrusted(options.ca) } : undefined;
  const place = options.loopback ? loopback() : options;
  const peer = new Peer(await connect(place, { timeout, wait, tls }), framing, timeout);
  try {
    if (quiet) await filter(peer, Deno.stdin, { write });
    else if (messages.length > 0) await sayAll(peer, messages);
    else if (onTerminal) await converseOnTerminal(peer, once);
    else await converse(peer, askPipe(), once);
    return 0;
  } catch (error) {
    const due = Math.max(peer.sent, messages.length);
    const tally = `: ${peer.answered} of ${due} messages were answered`;
    throw new Error(reason(error) + (peer.answered < due ? tally : ""));
  }
}

/** Starts a server inside this process; says where. */
function loopback(): Place {
  const { addr } = serve(stamper("ctime"));
  return { host: "127.0.0.1", port: "port" in addr ? addr.port : 0 };
}

async function sayAll(peer: Peer, messages: readonly string[]): Promise<void> {
  for (const message of messages) await show(await peer.say(encoder.encode(message)));
}

/** The tutorial's conversation, until a blank line or the end; or until the server goes away, even while it asks. */
async function converse(peer: Peer, ask: Ask, once: boolean): Promise<void> {
  const gone = peer.gone();
  gone.catch(() => {}); // it may come while nobody asks
  for (;;) {
    const line = await Promise.race([ask(), gone]).catch(async (error) => {
      await write(NEWLINE);
      throw error;
    });
    if (line === null || line.length === 0) return;
    const reply = await peer.say(line);
    await write(encoder.encode("Client received data: "));
    await show(reply);
    if (once) return;
  }
}

async function converseOnTerminal(peer: Peer, once: boolean): Promise<void> {
  const leave = (code: number) => {
    terminal[Symbol.dispose]();
    console.log();
    Deno.exit(code);
  };
  using terminal = new Terminal(process.stdin, process.stdout, PROMPT, () => leave(130));
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", () => leave(143));
  const ask = async () => {
    const line = await terminal.ask();
    if (line === null) console.log();
    return line === null ? null : encoder.encode(line);
  };
  await converse(peer, ask, once);
}

/** Asks standard input; what it says is shown as a terminal would. */
function askPipe(): Ask {
  const lines = messagesOf(Deno.stdin, new Framer("line", MOST));
  return async () => {
    await write(encoder.encode(PROMPT));
    const { value: line = null } = await lines.next();
    await write(join([line ?? new Uint8Array(), NEWLINE]));
    return line;
  };
}

/** Prints a reply: to a terminal so that it can't be obeyed, elsewhere byte for byte. */
async function show(reply: Uint8Array): Promise<void> {
  const safe = Deno.stdout.isTerminal() ? encoder.encode(escape(reply)) : reply;
  await write(join([safe, NEWLINE]));
}

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

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

try {
  Deno.exit(await main());
} catch (error) {
  console.error(`client: ${reason(error)}`);
  Deno.exit(error instanceof UsageError ? 2 : 1);
}
