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
import { readTls } from "./lib/net/pem.ts";
import { serveDatagrams } from "./lib/server/datagrams.ts";
import { readback } from "./lib/server/readback.ts";
import { serve } from "./lib/server/serve.ts";

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
  const startServer = () => udp ? serveDatagrams(readback()) : serve(readback());
  const here = loopback
    ? { hostname: "127.0.0.1", port: (await startServer()).port }
    : { hostname, port, path };
  const tls = options.tls ? await readTls(options) : undefined;
  const server = { ...here, timeout, wait, tls, family };
  const how = { ...options, style: styleOf(options), summaryAlone: isPing && quiet };
  const report = new Report(formatEndpoint(server), how);
  const status = new StatusLine(Deno.stderr, Deno.consoleSize);
  const printTrace = (line: string) => {
    status.hide();
    program.errors.line(line);
  };
  const trace = options.trace ? reportTrace(report, printTrace) : undefined;
  const context: Context = { options, where: { ...server, trace }, report, status };
  if (isPing) return await measure(context) ? 0 : 1;
  await converse(context);
  return 0;
}

/** The style of the report. */
function styleOf({ log, ping, connect, message, quiet }: Options): Style {
  if (log === "json") return "json";
  if (ping || connect) return "ping";
  return message.length > 0 || quiet ? "replies" : "conversation";
}

await program.run("client", ABOUT, OPTIONS, Deno.args, main);
