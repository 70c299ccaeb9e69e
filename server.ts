#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --no-prompt --v8-flags=--max-semi-space-size=4
/** The server: sends every message back with the time at which it received it. */

import { absolute, environmentFor, runCommand } from "./lib/cli/command.ts";
import { Transcript } from "./lib/cli/output/transcript.ts";
import { onInputEnd } from "./lib/cli/pipes.ts";
import { complain, keepOnly, onSignals, run, stopAtSignals } from "./lib/cli/program.ts";
import { openLog } from "./lib/cli/server_log.ts";
import { args, check, command, FAULTS, OPTIONS, type Options } from "./lib/cli/server_options.ts";
import { listen } from "./lib/net/listen.ts";
import { readTls } from "./lib/net/pem.ts";
import { traced } from "./lib/net/traced.ts";
import { serveDatagrams } from "./lib/server/datagrams.ts";
import { isReply, readback } from "./lib/server/readback.ts";
import { relay } from "./lib/server/relay.ts";
import { serve } from "./lib/server/serve.ts";
import type { ServeOptions } from "./lib/server/serve_options.ts";
import { onAbort } from "./lib/wait.ts";
import { encodeEscapes } from "./lib/wire/quote.ts";

const ABOUT = `usage: readback-server [options] [HOST [PORT] | HOST:PORT] [-- COMMAND ...]

A TCP server that sends each message back with the time at which it arrived.

  readback-server -- pytest             run tests beside a server on a free port
  readback-server --fault 'delay=2s@3'  answer each client's third message late
`;
const fail = (sentence: string) => complain("server", sentence);

/** Serves until a signal, or the end of the command or of standard input; gives the exit code. */
async function main(options: Options): Promise<number> {
  const { host: hostname, port, unix: path, tlsCert: cert, tlsKey: key, udp, to } = options;
  const { logFile, once, untilEof, trace, grace = untilEof ? 0 : 5000 } = options;
  const faults = await check(options);
  const stop = new AbortController();
  if (command === undefined) stopAtSignals(stop);
  if (untilEof) await onInputEnd(() => stop.abort());

  const tls = await readTls({ cert, key });
  const log = await openLog(options, fail);
  const transcript = new Transcript(log);
  const logPath = logFile && await absolute(logFile);
  const where = { hostname, port, path, resets: Boolean(to) || faults?.resets, ...tls };
  const open = udp ? undefined : await listen(where);
  const listeners = trace ? open?.map((one) => traced(one, transcript.onTrace)) : open;
  await log.file?.truncate().catch(() => {}); // not before: it may be another server's, or a pipe
  // Each datagram is checked, a relay connects, and a socket's file is removed at the end.
  const isUnix = path !== undefined || to?.path !== undefined;
  const net = udp || to !== undefined;
  await keepOnly({ net, read: isUnix, write: isUnix, run: command !== undefined });

  onAbort(stop.signal, () => transcript.stopping());
  const common = { listeners, faults, grace: command ? 0 : grace, signal: stop.signal };
  const server = await start(options, transcript, common);
  transcript.listening(server.addrs, faults, !udp);

  const env = command ? await environmentFor(server.addr, logPath) : {};
  const code = command && await runCommand(command, grace, env).finally(() => stop.abort());
  await server.finished;
  transcript.tally();
  await log.flush();
  if (code !== undefined) return code;
  if (!once || server.messages > 0 || stop.signal.aborted) return 0;
  throw new Error("the conversation ended before a whole message came");
}

type Common = Pick<ServeOptions, "listeners" | "faults" | "grace" | "signal">;

/** Starts the server; without listeners, it serves UDP. */
async function start(options: Options, transcript: Transcript, common: Common) {
  const { host: hostname, port, udp, to, framing, maxMessage, once, trace, stamp } = options;
  const { maxClients, idleTimeout, drain, hideSilent, proxyProtocol, quiet, reply } = options;
  const { onFault, onMessage, onFraming, nameOf, callbacks } = transcript;
  const reports = { ...common, onFault, onError: ({ message }: Error) => fail(message) };
  const messages = { framing, maxMessage, once, onMessage: quiet ? undefined : onMessage };
  const handler = readback({ stamp, format: reply, nameOf }, encodeEscapes);
  const where = { hostname, port, ignore: isReply };
  if (udp) return await serveDatagrams(handler, { ...reports, ...messages, ...where });
  const connections = {
    ...reports,
    ...callbacks,
    maxClients,
    idleTimeout,
    onAccept: hideSilent ? transcript.hideSilent(proxyProtocol) : proxyProtocol,
  };
  if (to) return relay(to, connections);
  const conversations = { drain: command ? 0 : drain, onFraming: trace ? onFraming : undefined };
  return serve(handler, { ...connections, ...messages, ...conversations });
}

// A log file as long as is allowed makes a write fail, no more.
onSignals(["SIGXFSZ"], () => {});
await run("server", ABOUT, OPTIONS, args, main, FAULTS);
