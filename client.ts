#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --no-prompt
/** The client: the other end of the conversation. */

import { type Context, OPTIONS, type Options } from "./lib/cli/client_options.ts";
import { UsageError } from "./lib/cli/options.ts";
import { Report, type Style } from "./lib/cli/output/report.ts";
import { StatusLine } from "./lib/cli/output/status_line.ts";
import { reportTrace } from "./lib/cli/output/trace.ts";
import * as program from "./lib/cli/program.ts";
import { addressesOf, formatEndpoint } from "./lib/net/address.ts";
import { readTls } from "./lib/net/pem.ts";

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
  const here = loopback
    ? { hostname: "127.0.0.1", port: await startServer(udp) }
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
  // Only what this start needs is loaded: each module takes 0.2 ms.
  if (isPing) return await (await import("./lib/cli/measure.ts")).measure(context) ? 0 : 1;
  await (await import("./lib/cli/converse.ts")).converse(context);
  return 0;
}

/** Starts a server in this process; gives its port. */
async function startServer(udp: boolean): Promise<number> {
  const { readback } = await import("./lib/server/readback.ts");
  if (!udp) return (await import("./lib/server/serve.ts")).serve(readback()).port;
  const { serveDatagrams } = await import("./lib/server/datagrams.ts");
  return (await serveDatagrams(readback())).port;
}

/** The style of the report. */
function styleOf({ log, ping, connect, message, quiet }: Options): Style {
  if (log === "json") return "json";
  if (ping || connect) return "ping";
  return message.length > 0 || quiet ? "replies" : "conversation";
}

await program.run("client", ABOUT, OPTIONS, Deno.args, main);
