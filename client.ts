#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --no-prompt
/** The client: the other end of the conversation. */

import { converse } from "./lib/cli/converse.ts";
import { type Context, OPTIONS, type Options } from "./lib/cli/client_options.ts";
import { measure } from "./lib/cli/measure.ts";
import { UsageError } from "./lib/cli/options.ts";
import { Report, type Style } from "./lib/cli/output/report.ts";
import { StatusLine } from "./lib/cli/output/status_line.ts";
import { reportTrace } from "./lib/cli/output/trace.ts";
import * as program from "./lib/cli/program.ts";
import { addressesOf, formatEndpoint } from "./lib/net/address.ts";
import type { ConnectOptions } from "./lib/net/connect.ts";
import { readTls } from "./lib/net/pem.ts";
import { serveDatagrams } from "./lib/server/datagrams.ts";
import { readback } from "./lib/server/readback.ts";
import { serve } from "./lib/server/serve.ts";
import { escape } from "./lib/wire/quote.ts";

const ABOUT = `usage: readback [options] [HOST [PORT] | HOST:PORT]

A TCP client that sends messages, prints the replies, and measures the server.

  readback --message hello 127.0.0.1:6969   send a message, print its reply
  readback --ping --count 10 example.org 7  measure ten round trips
`;

/** Talks to a server, or measures it; gives the exit code. */
async function main(options: Options): Promise<number> {
  const { host, port, unix: path, loopback, udp, timeout, wait, ipv4, ipv6, quiet } = options;
  const isPing = options.ping || options.connect;
  if (quiet && options.message.length > 0 && !isPing) {
    throw new UsageError("cannot combine --quiet and --message: choose one of them");
  }
  const family = ipv4 ? 4 as const : ipv6 ? 6 as const : undefined;
  const hostname = udp && family ? (await addressesOf(host, family))[0] : host;
  const here = loopback ? await startLoopback(udp) : { hostname, port, path };
  const tls = options.tls ? await readTls(options) : undefined;
  const where = { ...here, timeout, wait, tls, family };
  const style = styleOf(options);
  const report = new Report(formatEndpoint(where), {
    ...options,
    style,
    summaryAlone: isPing && quiet,
  });
  const status = new StatusLine(Deno.stderr, Deno.consoleSize);
  const printTrace = (line: string) => {
    status.hide();
    program.errors.line(line);
  };
  const trace = options.trace ? reportTrace(report, printTrace) : undefined;
  const context: Context = { options, report, status };
  if (isPing) return await measure({ ...where, trace }, context, complain) ? 0 : 1;
  await converse({ ...where, trace }, context);
  return 0;
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

/** Prints what went wrong; words of the server may be in it. */
function complain(sentence: string): void {
  program.complain("client", escape(new TextEncoder().encode(sentence)));
}

await program.run(ABOUT, OPTIONS, Deno.args, main, complain);
