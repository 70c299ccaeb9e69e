#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --no-prompt --v8-flags=--max-semi-space-size=4
/** The server: sends every message back with the time at which it received it. */

import { absolute, checkRunPermission, environmentFor, runCommand } from "./lib/cli/command.ts";
import { bytes, duration, oneOf, text, UsageError, type Values, whole } from "./lib/cli/options.ts";
import { openLog } from "./lib/cli/output/server_log.ts";
import { nameOf, Transcript } from "./lib/cli/output/transcript.ts";
import { onInputEnd } from "./lib/cli/pipes.ts";
import { complain, keepOnly, onSignals, run, stopAtSignals } from "./lib/cli/program.ts";
import { encodeEscapes, replyFormat } from "./lib/cli/reply_format.ts";
import { Faults } from "./lib/faults/faults.ts";
import { faultRows, readFaults } from "./lib/faults/grammar.ts";
import { addressOrName } from "./lib/net/address.ts";
import { listen } from "./lib/net/listen.ts";
import type { Listener } from "./lib/net/conn.ts";
import { proxyProtocol } from "./lib/net/proxy_protocol.ts";
import { readTls } from "./lib/net/pem.ts";
import { traced } from "./lib/net/traced.ts";
import { serveDatagrams } from "./lib/server/datagrams.ts";
import { endlessFormat, isReply, readback, REPLY, STAMPS } from "./lib/server/readback.ts";
import { readTarget, relay } from "./lib/server/relay.ts";
import { serve } from "./lib/server/serve.ts";
import { FRAMINGS } from "./lib/wire/framing.ts";
import { onAbort } from "./lib/wait.ts";

/** The command that runs beside the server: the arguments after the first `--`. */
const separator = Deno.args.indexOf("--");
const command = separator < 0 ? undefined : Deno.args.slice(separator + 1);

// deno-fmt-ignore
const OPTIONS = {
  host: { group: "Where it listens", value: "HOST", fallback: "127.0.0.1", read: addressOrName, help: "address to listen on, or a name: all its addresses" },
  port: { short: "p", value: "PORT", fallback: command ? "0" : "6969", shown: "6969; with a command a free one", read: whole(0, 65535), help: "port to listen on; 0 chooses a free one" },
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

const ABOUT = `usage: readback-server [options] [HOST [PORT] | HOST:PORT] [-- COMMAND ...]

A TCP server that sends each message back with the time at which it arrived.

  readback-server -- pytest             run tests beside a server on a free port
  readback-server --fault 'delay=2s@3'  answer each client's third message late
`;
/** The title of the help's last part. */
const TITLE = "FAULTS, separated by commas; for some messages only with @3, @3.., @3..5, @10%";
const FAULTS = faultRows().map((row, at) => at === 0 ? [...row, TITLE] as const : row);

type Options = Values<typeof OPTIONS>;

const fail = (sentence: string) => complain("server", sentence);

/** Serves until a signal, or the end of the command or of standard input; gives the exit code. */
async function main(options: Options): Promise<number> {
  const { host: hostname, port, unix: path, tlsCert: cert, tlsKey: key, udp, to } = options;
  const { logFile, once, untilEof, grace = untilEof ? 0 : 5000 } = options;
  const faults = await check(options);
  const stop = new AbortController();
  if (command === undefined) stopAtSignals(stop);
  if (untilEof) await onInputEnd(() => stop.abort());

  const tls = await readTls({ cert, key });
  const log = await openLog(options, command !== undefined, fail);
  const logPath = logFile && await absolute(logFile);
  const where = { hostname, port, path, resets: Boolean(to) || faults?.resets, ...tls };
  const listeners = udp ? [] : await listen(where);
  await log.file?.truncate().catch(() => {}); // not before: it may be another server's, or a pipe
  // Each datagram is checked, a relay connects, and a socket's file is removed at the end.
  const isUnix = path !== undefined || to?.path !== undefined;
  const kept = { net: udp || to !== undefined, read: isUnix, write: isUnix };
  await keepOnly({ ...kept, run: command !== undefined });

  const transcript = new Transcript(log);
  onAbort(stop.signal, () => transcript.stopping());
  const common = { faults, grace: command ? 0 : grace, signal: stop.signal };
  const server = await start(options, common, listeners, transcript);
  transcript.listening(server.addrs, faults, !udp);

  const env = command ? await environmentFor(server.addr, logPath) : {};
  const code = command &&
    await runCommand(command, grace, env, () => keepOnly(kept)).finally(() => {
      stop.abort();
      return server.finished;
    });
  await server.finished;
  transcript.tally();
  await log.flush();
  if (code !== undefined) return code;
  if (!once || server.messages > 0 || stop.signal.aborted) return 0;
  throw new Error("the conversation ended before a whole message came");
}

/** Checks what the table of options can't; returns the requested faults, if there are any. */
async function check(options: Options): Promise<Faults | undefined> {
  const { udp, unix, to, reply, untilEof, fault, orders, seed } = options;
  const faults = fault.length > 0 || orders ? new Faults(fault.flat(), orders, seed) : undefined;
  const transport = udp ? "udp" : unix === undefined ? "tcp" : "unix";
  const up = to && { up: to.path === undefined ? "tcp" : "unix" } as const;
  const wrong = udp && endlessFormat(reply) ||
    command?.length === 0 && "a command is missing after --" ||
    command && untilEof &&
      "cannot combine --until-eof and a command: its end is the server's end" ||
    faults?.describeUnsupported({ transport, resets: true, ...up });
  if (wrong) throw new UsageError(wrong);
  if (command?.[0] !== undefined) await checkRunPermission(command[0]);
  return faults;
}

/** Starts the server, on the listeners unless it serves UDP. */
async function start(
  options: Options,
  common: { faults: Faults | undefined; grace: number; signal: AbortSignal },
  listeners: Listener[],
  transcript: Transcript,
) {
  const { host: hostname, port, udp, to, framing, maxMessage, once, trace, stamp } = options;
  const { maxClients, idleTimeout, drain, hideSilent, proxyProtocol, quiet, reply } = options;
  const { onFault, onMessage, onTrace, onFraming, callbacks } = transcript;
  const reports = { ...common, onFault, onError: ({ message }: Error) => fail(message) };
  const connections = {
    ...{ ...reports, ...callbacks, maxClients, idleTimeout },
    listeners: trace ? listeners.map((listener) => traced(listener, onTrace)) : listeners,
    onAccept: hideSilent ? transcript.hideSilent(proxyProtocol) : proxyProtocol,
  };
  if (to) return relay(to, connections);
  const handler = readback({ stamp, format: reply, nameOf }, encodeEscapes);
  const messages = { framing, maxMessage, once, onMessage: quiet ? undefined : onMessage };
  if (udp) {
    const where = { hostname, port, ignore: isReply };
    return await serveDatagrams(handler, { ...reports, ...messages, ...where });
  }
  const conversations = { drain: command ? 0 : drain, onFraming: trace ? onFraming : undefined };
  return serve(handler, { ...connections, ...messages, ...conversations });
}

// A log file as long as is allowed makes a write fail, no more.
onSignals(["SIGXFSZ"], () => {});
const args = separator < 0 ? Deno.args : Deno.args.slice(0, separator);
await run(ABOUT, OPTIONS, args, main, fail, FAULTS);
