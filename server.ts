#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --no-prompt --v8-flags=--max-semi-space-size=4
// deno-lint-ignore-file no-console -- the programs alone speak to people
/** The server: reads every message back with the time it heard it. */

import config from "./deno.json" with { type: "json" };
import { addressOrName, listen } from "./lib/net/address.ts";
import { serveDatagrams } from "./lib/server/datagrams.ts";
import { errorMessage } from "./lib/checks.ts";
import { FRAMINGS } from "./lib/wire/framing.ts";
import { asJson } from "./lib/wire/quote.ts";
import { Log } from "./lib/log.ts";
import { duration, help, oneOf, parse, text, UsageError, whole } from "./lib/cli/options.ts";
import { proxyProtocol } from "./lib/net/proxy_protocol.ts";
import { checkRuntime } from "./lib/cli/runtime.ts";
import { serve } from "./lib/server/serve.ts";
import { faultsAsked, faultsHelp, faultSupport, readFaults } from "./lib/faults/faults.ts";
import { format, REPLY, stamper, whyEndless } from "./lib/server/format.ts";
import { isReply, STAMPS } from "./lib/server/stamp.ts";
import { readIdentity } from "./lib/net/tls.ts";
import { asText, type Event, nameOf, Transcript } from "./lib/cli/transcript.ts";

// deno-fmt-ignore
const OPTIONS = {
  host: { value: "HOST", fallback: "127.0.0.1", read: addressOrName, help: "address to listen on, or name: all its addresses" },
  port: { short: "p", value: "PORT", fallback: "6969", read: whole(0, 65535), help: "port to listen on; 0 takes a free one" },
  unix: { short: "U", value: "PATH", read: text, not: ["host", "port", "tlsCert"], help: "a Unix socket to listen on instead" },
  udp: { short: "u", not: ["unix", "tlsCert", "proxyProtocol", "maxClients", "idleTimeout"], help: "serve UDP: a datagram is a message, its reply another" },
  tlsCert: { value: "FILE", read: text, needs: "tlsKey", help: "speak TLS with this certificate (PEM)" },
  tlsKey: { value: "FILE", read: text, needs: "tlsCert", help: "its private key (PEM)" },
  proxyProtocol: { value: "ADDRESSES", read: proxyProtocol, not: ["unix", "tlsCert"], help: "let proxies at these addresses say who the client is" },
  once: { help: "one connection, one message, its reply, then exit" },
  framing: { short: "f", value: "auto|line|raw", fallback: "auto", read: oneOf(...FRAMINGS), help: "how a message's end is told" },
  reply: { value: "FORMAT", fallback: REPLY, read: format, help: "a reply: {message}, {time}, {client}, {server}, {seq}, {bytes}" },
  fault: { value: "FAULTS", read: readFaults, many: true, help: "misbehave: see FAULTS; may be repeated" },
  orders: { help: "let messages ask for faults: !delay=2s hello" },
  seed: { value: "N", read: whole(0, 2 ** 32 - 1), needsAny: ["fault", "orders"], help: "for faults at random; without, one is drawn" },
  stamp: { value: "ctime|iso", fallback: "ctime", read: oneOf(...STAMPS), help: "how the time is written" },
  maxClients: { value: "N", fallback: "1000", read: whole(1, 1_000_000), help: "conversations at a time; the next ones wait" },
  maxMessage: { value: "BYTES", fallback: "65536", read: whole(1, 1 << 30), help: "the longest message" },
  idleTimeout: { short: "i", value: "DUR", fallback: "0", read: duration, help: "cut off a client that is idle for this long; 0: never" },
  grace: { value: "DUR", fallback: "5s", read: duration, help: "how long a stopping server lets conversations finish" },
  drain: { value: "DUR", fallback: "0", read: duration, needs: "proxyProtocol", help: "how long a stopping server fails health checks first" },
  quiet: { short: "q", help: "print no line for messages and connections" },
  log: { value: "text|json", fallback: "text", read: oneOf("text", "json"), help: "a transcript, or a JSON object a line" },
} as const;

const USAGE = `usage: readback-server [options]\n\n${help(OPTIONS)}\n${faultsHelp()}`;
/** What went wrong, in words. Not by console.error, which blocks while nobody reads, and throws on a full disk. */
const complaints = new Log(Deno.stderr, (lines) => `server: (${lines} lines were not told)`);

/** Runs the server until it is stopped; gives the exit code. */
async function main(): Promise<number> {
  checkRuntime();
  const options = parse(OPTIONS, Deno.args);
  if (options === "version") return print(`readback ${config.version}`);
  if (options === "help") return print(USAGE);

  const { udp, unix, tlsCert, tlsKey, host, port, framing, maxMessage, once, grace } = options;
  const faults = faultsAsked(options);
  const wrong = (udp && whyEndless(options.reply)) || faults?.whyNot(faultSupport(options));
  if (wrong) throw new UsageError(wrong);
  const identity = tlsCert && tlsKey ? await readIdentity(tlsCert, tlsKey) : undefined;
  const where = { hostname: host, port, path: unix, resets: faults?.resets, ...identity };
  const listeners = udp ? [] : await listen(where);
  // What is open stays. Each reply over UDP still takes a right, and so does a socket's own file.
  for (const name of ["read", "write", "net"] as const) {
    if (name === "net" ? !udp : unix === undefined) await Deno.permissions.revoke({ name });
  }
  const form = options.log === "json" ? (event: Event) => asJson(event, new Date()) : asText;
  const log = new Log(
    Deno.stdout,
    (lines) => form({ event: "untold", lines }),
    (error) =>
      complain(`cannot write to standard output: ${errorMessage(error)}; the conversations go on`),
  );
  const transcript = new Transcript((line) => log.line(line), form, options.quiet, options.once);
  const stop = new AbortController();
  onSignals((code) => {
    if (stop.signal.aborted) Deno.exit(code);
    transcript.stopping();
    stop.abort();
  });
  const { maxClients, idleTimeout, drain } = options;
  const common = {
    ...{ framing, maxMessage, once, grace, signal: stop.signal, ...faults?.options },
    onMessage: options.quiet ? undefined : transcript.message.bind(transcript),
    onFault: transcript.fault.bind(transcript),
    onError: ({ message }: Error) => complain(message),
  };
  const server = udp
    ? await serveDatagrams(stamper(options.stamp, options.reply), {
      ...{ ...common, hostname: host, port, ignore: isReply },
    })
    : serve(stamper(options.stamp, options.reply, nameOf), {
      ...common,
      ...{ listeners, maxClients, idleTimeout, drain },
      onAccept: options.proxyProtocol,
      onOpen: transcript.open.bind(transcript),
      onEof: transcript.eof.bind(transcript),
      onClose: transcript.close.bind(transcript),
      onRefused: transcript.refused.bind(transcript),
      onVanished: transcript.vanished.bind(transcript),
    });
  transcript.listening(server.addrs, !udp, faults);
  await server.finished;
  transcript.tally();
  await log.flush();
  if (!options.once || server.messages > 0 || stop.signal.aborted) return 0;
  throw new Error("the conversation was over before a whole message came");
}

/** Calls back with the exit code that a signal means. */
function onSignals(stop: (code: number) => void): void {
  Deno.addSignalListener("SIGINT", () => stop(130));
  if (Deno.build.os === "windows") return;
  Deno.addSignalListener("SIGTERM", () => stop(143));
  Deno.addSignalListener("SIGXFSZ", () => {}); // a log as long as may be is a write that fails, no more
}

function print(text: string): number {
  console.log(text.trimEnd());
  return 0;
}

function complain(sentence: string): void {
  complaints.line(`server: ${sentence}`);
}

const code = await main().catch((error) => {
  complain(errorMessage(error));
  return error instanceof UsageError ? 2 : 1;
});
await complaints.flush();
Deno.exit(code);
