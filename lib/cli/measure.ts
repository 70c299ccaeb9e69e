/** The client as an instrument: measures a server, tells what it finds, and whether all was well. */

import { reason } from "../checks.ts";
import { connect, type ConnectOptions } from "../net/address.ts";
import type { Framing } from "../wire/framing.ts";
import { DatagramLink } from "../ping/datagram_transport.ts";
import { DatagramSocket } from "../net/datagram_socket.ts";
import { DialLink } from "../ping/connect_transport.ts";
import { ConnectionLink, type Link } from "../ping/transport.ts";
import { Ping, type PingOptions } from "../ping/measurement.ts";
import { connectVisibly, type Progress } from "./status_line.ts";
import { rehearse } from "../ping/warm_up.ts";
import type { Report } from "./report.ts";

/** What to measure, and how. */
export interface MeasureOptions extends PingOptions {
  readonly udp: boolean;
  /** Make connections, and say nothing. */
  readonly connect: boolean;
  readonly framing: Framing;
  /** The server speaks first. */
  readonly greeting: boolean;
}

/** Where what is found goes. */
export interface Instrument {
  readonly report: Report;
  readonly progress: Progress;
  /** Says what went wrong. */
  complain(sentence: string): void;
}

/**
 * Measures a server.
 * @param signal ends the measurement
 * @return whether all was well
 * @throws {Error} when there is not even a first connection
 */
export async function measure(
  where: ConnectOptions,
  options: MeasureOptions,
  { report, progress, complain }: Instrument,
  signal: AbortSignal,
): Promise<boolean> {
  let complaint = "";
  // How long an attempt to connect may take is its own affair.
  const ping = new Ping(options.connect ? { ...options, timeout: 0 } : options, {
    tell: (event) => {
      progress.hide();
      return report.tell(event);
    },
    complain: (sentence) => {
      if (options.connect || report.options.summaryAlone) return;
      complain(sentence);
      complaint = sentence;
    },
  });
  const link = await linkTo(ping, where, options, progress);
  using _watch = progress.watch(() => ping.waiting, (s) => `no reply yet: ${s} s`);
  const failure = await ping.run(link, signal).then(() => undefined, reason);
  const { sent, answered } = ping.tally;
  const isWell = failure === undefined && answered > 0 &&
    (options.count === undefined || answered === sent);
  const why = failure ?? ping.trouble ?? `${answered} of ${sent} messages were answered`;
  await report.summary(ping.tally, link.connects, isWell ? undefined : why);
  if (!isWell && why !== complaint) complain(why);
  return isWell;
}

async function linkTo(
  ping: Ping,
  where: ConnectOptions,
  options: MeasureOptions,
  progress: Progress,
): Promise<Link> {
  const { udp, framing, any, messages, greeting } = options;
  const { hostname = "", port = 0 } = where;
  if (udp) return new DatagramLink(ping, await DatagramSocket.connect(hostname, port), framing);
  if (options.connect) return new DialLink(ping, where);
  const areAlike = any || messages.length > 0;
  await rehearse();
  const reconnect = () => connect({ ...where, wait: 0 });
  const how = { framing, takesTurns: any, areAlike, greeting };
  const link = new ConnectionLink(ping, reconnect, how);
  link.open(await connectVisibly(progress, where));
  return link;
}
