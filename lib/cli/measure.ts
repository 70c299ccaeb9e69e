/** The client as an instrument: measures a server, tells what it finds, and whether all was well. */

import { errorMessage } from "../checks.ts";
import { connect, type ConnectOptions } from "../net/address.ts";
import type { Framing } from "../wire/framing.ts";
import { DatagramTransport } from "../ping/datagram_transport.ts";
import { DatagramSocket } from "../net/datagram_socket.ts";
import { ConnectTransport } from "../ping/connect_transport.ts";
import { ConnectionTransport, type Transport } from "../ping/transport.ts";
import { Measurement, type MeasurementOptions } from "../ping/measurement.ts";
import { connectVisibly, type StatusLine } from "./status_line.ts";
import { warmUp } from "../ping/warm_up.ts";
import type { Report } from "./report.ts";

/** What to measure, and how. */
export interface MeasureOptions extends MeasurementOptions {
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
  readonly progress: StatusLine;
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
  const ping = new Measurement(options.connect ? { ...options, timeout: 0 } : options, {
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
  const failure = await ping.run(link, signal).then(() => undefined, errorMessage);
  const { sent, answered } = ping.tally;
  const isWell = failure === undefined && answered > 0 &&
    (options.count === undefined || answered === sent);
  const why = failure ?? ping.trouble ?? `${answered} of ${sent} messages were answered`;
  await report.summary(ping.tally, link.connects, isWell ? undefined : why);
  if (!isWell && why !== complaint) complain(why);
  return isWell;
}

async function linkTo(
  ping: Measurement,
  where: ConnectOptions,
  options: MeasureOptions,
  progress: StatusLine,
): Promise<Transport> {
  const { udp, framing, any, messages, greeting } = options;
  const { hostname = "", port = 0 } = where;
  if (udp) {
    return new DatagramTransport(ping, await DatagramSocket.connect(hostname, port), framing);
  }
  if (options.connect) return new ConnectTransport(ping, where);
  const areAlike = any || messages.length > 0;
  await warmUp();
  const reconnect = () => connect({ ...where, wait: 0 });
  const how = { framing, takesTurns: any, areAlike, greeting };
  const link = new ConnectionTransport(ping, reconnect, how);
  link.open(await connectVisibly(progress, where));
  return link;
}
