#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --no-prompt --v8-flags=--max-semi-space-size=4
/** The server: sends every message back with the time at which it received it. */

import { absolute, checkRunPermission, environmentFor, runCommand } from "./lib/cli/command.ts";
import {
  bytes,
  duration,
  encodeEscapes,
  oneOf,
  row,
  text,
  UsageError,
  type Values,
  whole,
} from "./lib/cli/options.ts";
import { openLog, openLogFile } from "./lib/cli/output/server_log.ts";
import { nameOf, Transcript } from "./lib/cli/output/transcript.ts";
import { onInputEnd } from "./lib/cli/pipes.ts";
import { complain, keepOnly, onSignals, run, stopAtSignals } from "./lib/cli/program.ts";
import { Faults } from "./lib/faults/faults.ts";
import { faultRows, readFaults } from "./lib/faults/grammar.ts";
import { type Addr, addressOrName } from "./lib/net/address.ts";
import { listen } from "./lib/net/listen.ts";
import type { Listener } from "./lib/net/conn.ts";
import { proxyProtocol } from "./lib/net/proxy_protocol.ts";
import { readIdentity } from "./lib/net/pem.ts";
import { traced } from "./lib/net/traced.ts";
import { serveDatagrams } from "./lib/server/datagrams.ts";
import { endlessFormat, format, isReply, readback, REPLY, STAMPS } from "./lib/server/readback.ts";
import { readTarget, relay } from "./lib/server/relay.ts";
import { serve } from "./lib/server/serve.ts";
import { FRAMINGS } from "./lib/wire/framing.ts";
import { onAbort } from "./lib/wait.ts";

// deno-fmt-ignore
const OPTIONS = {
  host: { group: "Where it listens", value: "HOST", fallback: "127.0.0.1", read: addressOrName, help: "address to listen on, or a name: all its addresses" },
  port: { short: "p", value: "PORT", shown: "6969; with a command a free one", read: whole(0, 65535), help: "port to listen on; 0 chooses a free one" },
  unix: { short: "U", value: "PATH", read: text, not: ["host", "port", "tlsCert"], help: "a Unix socket to listen on instead" },
  udp: { short: "u", not: ["unix", "tlsCert", "proxyProtocol", "maxClients", "idleTimeout", "hideSilent"], help: "serve UDP: a datagram is a message, its reply another" },
  tlsCert: { value: "FILE", read: text, needs: ["tlsKey"], help: "use TLS with this certificate (PEM)" },
  tlsKey: { value: "FILE", read: text, needs: ["tlsCert"], help: "the certificate's private key (PEM)" },
  proxyProtocol: { value: "ADDRESSES", read: proxyProtocol, not: ["unix", "tlsCert"], help: "let proxies at these addresses send the client's address" },

  framing: { group: "What it answers", short: "f", value: "auto|line|raw", fallback: "auto", read: oneOf(...FRAMINGS), help: "how the end of a message is found" },
  maxMessage: { value: "BYTES", fallback: "65536", read: bytes(1 << 30), help: "the longest message, such as 500, 64k or 10M" },
  reply: { value: "FORMAT", fallback: REPLY, read: replyFormat, help: "a reply: {message}, {time}, {client}, {server}, {seq}, {bytes}, and escapes such as \\n or \\x1b" },
  stamp: { value: "ctime|iso", fallback: "ctime", read: oneOf(...STAMPS), help: "how the time is written" },
  maxClients: { value: "N", fallback: "1000", read: whole(1, 1_000_000), help: "conversations at a time; more clients wait" },

  once: { group: "How it ends", help: "one connection, one message, its reply, then exit" },
  idleTimeout: { short: "i", value: "DUR", fallback: "0", read: duration, help: "disconnect a client that is idle for this long; 0: never" },
  grace: { value: "DUR", shown: "5s; with --until-eof 0", read: duration, help: "how long a stopping server lets conversations finish" },
  drain: { value: "DUR", fallback: "0", read: duration, needs: ["proxyProtocol"], help: "how long a stopping server fails health checks first" },
  untilEof: { help: "stop when standard input ends, as it does when the parent process ends" },

  log: { group: "What it prints", value: "text|json", shown: "text", read: oneOf("text", "json"), help: "a transcript, or a JSON object per line" },
  logFile: { value: "FILE", read: text, help: "write it to this file, and print only the address" },
  trace: { not: ["udp", "quiet"], help: "print every read and write, with its time" },
  quiet: { short: "q", help: "print only the address" },
  hideSilent: { not: ["trace"], help: "print nothing about clients that send nothing, such as health checks" },

  to: { group: "Faults", value: "HOST:PORT", read: readTarget, not: ["udp", "once", "framing", "reply", "stamp", "maxMessage", "proxyProtocol", "drain", "orders"], why: "a relay passes on the bytes of connections, and has no messages", help: "relay to this server, or Unix socket, instead of answering" },
  fault: { value: "FAULTS", read: readFaults, many: true, help: "misbehave: see FAULTS; may be repeated" },
  orders: { help: "let messages request faults: !delay=2s hello" },
  seed: { value: "N", read: whole(0, 2 ** 32 - 1), needs: ["fault|orders"], help: "seed of random faults; without, one is drawn" },
} as const;

/** Reads the format of replies, whose escapes stay until it is encoded. */
function replyFormat(text: string): string {
  encodeEscapes(text);
  return format(text);
}

const ABOUT = `readback-server [options] [HOST [PORT] | HOST:PORT] [-- COMMAND ...]

A TCP server that sends each message back with the time at which it arrived.

  readback-server -- pytest             run tests beside a server on a free port
  readback-server --fault 'delay=2s@3'  answer each client's third message late
`;
const FAULTS = `
FAULTS, separated by commas; for some messages only with @3, @3.., @3..5, @10%:
${faultRows().map(([fault, effect]) => row(fault, effect)).join("")}`;

type Options = Values<typeof OPTIONS>;

/** The command that runs beside the server: the arguments after the first `--`. */
const separator = Deno.args.indexOf("--");
const command = separator < 0 ? undefined : Deno.args.slice(separator + 1);
const fail = (sentence: string) => complain("server", sentence);

/** Serves until a signal, or the end of the command or of standard input; gives the exit code. */
async function main(options: Options): Promise<number> {
  const { udp, untilEof, once, grace = untilEof ? 0 : 5000 } = options;
  await check(options);
  const faults = faultsOf(options);
  const stop = new AbortController();
  if (command === undefined) stopAtSignals(stop);
  if (untilEof) await onInputEnd(Deno.stdin, () => stop.abort());

  const { listeners, log, logPath, kept } = await open(options, faults);
  const transcript = new Transcript(log);
  onAbort(stop.signal, () => transcript.stopping());
  const common = { faults, grace: command ? 0 : grace, signal: stop.signal };
  const server = await start(options, common, listeners, transcript);
  transcript.listening(server.addrs, faults, !udp);

  const code = command && await runCommand(command, grace, {
    env: await environmentFor(server.addrs[0] as Addr, logPath),
    onStart: () => keepOnly(kept),
    onEnd: () => stop.abort(),
  }).finally(() => server.finished);
  await server.finished;
  transcript.tally();
  await log.flush();
  if (code !== undefined) return code;
  if (!once || server.messages > 0 || stop.signal.aborted) return 0;
  throw new Error("the conversation ended before a whole message came");
}

/** Checks what the table of options can't. */
async function check({ udp, reply, untilEof }: Options): Promise<void> {
  const wrong = udp && endlessFormat(reply);
  if (wrong) throw new UsageError(wrong);
  if (command === undefined) return;
  if (command[0] === undefined) throw new UsageError("a command is missing after --");
  if (untilEof) {
    throw new UsageError("cannot combine --until-eof and a command: its end is the server's end");
  }
  await checkRunPermission(command[0]);
}

/** The requested faults, if there are any. */
function faultsOf({ fault, orders, seed, udp, unix, to }: Options): Faults | undefined {
  if (fault.length === 0 && !orders) return undefined;
  const faults = new Faults(fault.flat(), orders, seed);
  const transport = udp ? "udp" : unix === undefined ? "tcp" : "unix";
  const up = to && { up: to.path === undefined ? "tcp" : "unix" } as const;
  const why = faults.describeUnsupported({ transport, resets: true, ...up });
  if (why !== undefined) throw new UsageError(why);
  return faults;
}

/** Opens the listeners and the log, then gives up the permissions that are not needed any more. */
async function open(options: Options, faults: Faults | undefined) {
  const { udp, unix: path, tlsCert, tlsKey, host: hostname, logFile, to } = options;
  const { port = command ? 0 : 6969 } = options;
  const identity = tlsCert && tlsKey ? await readIdentity(tlsCert, tlsKey) : undefined;
  const file = logFile === undefined ? undefined : await openLogFile(logFile);
  const logPath = logFile && await absolute(logFile);
  const where = { hostname, port, path, resets: Boolean(to) || faults?.resets, ...identity };
  const listeners = udp ? [] : await listen(where);
  await file?.truncate().catch(() => {}); // not before: the file may be another server's, or a pipe
  // Each datagram is checked, a relay connects, and a socket's file is removed at the end.
  const net = udp || to ? ["net"] as const : [];
  const kept = [...net, ...path || to?.path ? ["read", "write"] as const : []];
  await keepOnly([...kept, ...command ? ["run"] as const : []]);
  return { listeners, log: openLog(options, file, command !== undefined, fail), logPath, kept };
}

/** Starts the server, on the listeners unless it serves UDP. */
async function start(
  options: Options,
  common: { faults: Faults | undefined; grace: number; signal: AbortSignal },
  listeners: Listener[],
  transcript: Transcript,
) {
  const { udp, to, host: hostname, framing, maxMessage, maxClients, idleTimeout, once } = options;
  const { port = command ? 0 : 6969, proxyProtocol, trace, drain, quiet, stamp } = options;
  const { onFault, onMessage, onTrace, onFraming, callbacks } = transcript;
  const reports = { onFault, onError: ({ message }: Error) => fail(message) };
  const messages = { framing, maxMessage, once, onMessage: quiet ? undefined : onMessage };
  const connections = {
    ...{ ...common, ...reports, ...callbacks, maxClients, idleTimeout },
    listeners: trace ? listeners.map((listener) => traced(listener, onTrace)) : listeners,
    onAccept: options.hideSilent ? transcript.hideSilent(proxyProtocol) : proxyProtocol,
  };
  if (to) return relay(to, connections);
  const handler = readback({ stamp, format: options.reply, nameOf }, encodeEscapes);
  if (udp) {
    const where = { hostname, port, ignore: isReply };
    return await serveDatagrams(handler, { ...common, ...reports, ...messages, ...where });
  }
  const conversations = { drain: command ? 0 : drain, onFraming: trace ? onFraming : undefined };
  return serve(handler, { ...connections, ...messages, ...conversations });
}

// A log file as long as is allowed makes a write fail, no more.
onSignals(["SIGXFSZ"], () => {});
const args = separator < 0 ? Deno.args : Deno.args.slice(0, separator);
await run(ABOUT, OPTIONS, args, main, fail, FAULTS);
