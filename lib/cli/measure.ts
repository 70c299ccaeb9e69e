/** The client as an instrument: measures a server, reports what it finds, and whether all was well. */

import { errorMessage } from "../checks.ts";
import { sleep } from "../wait.ts";
import { connect, type FamilyOptions } from "../net/connect.ts";
import { DatagramSocket } from "../net/udp.ts";
import { ConnTransport } from "../ping/conn_transport.ts";
import { Measurement, type MeasurementOptions } from "../ping/measurement.ts";
import { emphasizeLosses, line } from "./output/picture.ts";
import { connectAttempts, datagrams } from "../ping/transport.ts";
import { warmUp } from "../ping/warm_up.ts";
import type { Framing } from "../wire/framing.ts";
import type { Report } from "./output/report.ts";
import {
  connectVisibly,
  describeWait,
  SHOWN_AFTER,
  type StatusLine,
} from "./output/status_line.ts";

/**
 * Milliseconds in which the system acknowledges a TLS server's session tickets. Until then, a
 * server that leaves Nagle's algorithm on holds back its first reply.
 */
const ACKNOWLEDGED = 50;

/** Columns that are left free, for the terminal's echo of a key such as `^C`. */
const KEYS = 3;

/** The options of a measurement from the command line. */
export interface MeasureOptions extends MeasurementOptions {
  readonly udp: boolean;
  /** Make connections, and send nothing. */
  readonly connect: boolean;
  readonly framing: Framing;
  /** The server sends first. */
  readonly greeting: boolean;
}

/** The outputs of a measurement. */
export interface MeasureIo {
  readonly report: Report;
  readonly status: StatusLine;
  /** Prints what went wrong. */
  complain(sentence: string): void;
  /** Calls a function whenever somebody asks for the figures so far. */
  onProgress(print: () => void): void;
}

/**
 * Measures a server.
 * @param signal ends the measurement
 * @returns whether all was well
 */
export async function measure(
  where: FamilyOptions,
  options: MeasureOptions,
  { report, status, complain, onProgress }: MeasureIo,
  signal: AbortSignal,
): Promise<boolean> {
  let complaint = "";
  // An attempt to connect has a time limit of its own.
  const timeout = options.connect ? 0 : options.timeout;
  const measurement = new Measurement({ ...options, timeout }, {
    report: (event) => status.around(() => report.print(event)),
    complain(sentence) {
      if (options.connect || report.options.summaryAlone) return;
      complain(sentence);
      complaint = sentence;
    },
  });
  const summary = (event: "summary" | "progress", reason?: string) => {
    const { tally: { pending: _, ...counts }, elapsed, outages, timeline } = measurement;
    const rate = elapsed > 0 ? 1000 * counts.answered / elapsed : 0;
    const why = reason === undefined ? {} : { reason };
    const outcome = { ...counts, ...why, elapsed, rate, outages };
    return status.around(() => report.summary(outcome, event, timeline));
  };
  // If it can't be written, the next event can't be written either.
  onProgress(() => void summary("progress").catch(() => {}));
  let failure;
  try {
    await open(measurement, { ...where, signal }, options, status);
    using _watch = status.watch(() => progressOf(measurement, status));
    await measurement.run(signal);
  } catch (error) {
    failure = errorMessage(error);
  }
  const { sent, answered, wrong } = measurement.tally;
  const isWell = failure === undefined && answered > 0 &&
    (options.count === undefined || answered === sent);
  const why = failure ?? measurement.trouble ?? `${answered} of ${sent} messages were answered` +
      (wrong > 0
        ? `: ${wrong} wrong (a reply holds its message; with --any, any line is one)`
        : "");
  await summary("summary", isWell ? undefined : why);
  if (!isWell && why !== complaint) complain(why);
  return isWell;
}

/** Makes the connections, and all else that must not count. */
async function open(
  measurement: Measurement,
  where: FamilyOptions,
  options: MeasureOptions,
  status: StatusLine,
): Promise<void> {
  const { udp, framing } = options;
  const { hostname = "", port = 0, wait = 0 } = where;
  const each = Array.from({ length: options.connections });
  if (udp) {
    await warmUp(options, where);
    const sockets = await Promise.all(each.map(() => DatagramSocket.connect(hostname, port)));
    for (const socket of sockets) {
      measurement.add((callbacks) => datagrams(callbacks, socket, framing));
    }
    return;
  }
  const attempt = { ...where, wait: 0 };
  if (options.connect) {
    if (wait > 0) (await connectVisibly(status, where)).close();
    await warmUp(options, where);
    for (const _ of each) measurement.add((callbacks) => connectAttempts(callbacks, attempt));
    return;
  }
  await warmUp(options, where);
  const transports = each.map(() =>
    measurement.add((callbacks) => new ConnTransport(callbacks, () => connect(attempt), options))
  );
  const opening = Promise.allSettled(
    transports.map(async (transport) => transport.open(await connect(where))),
  );
  const opened = await status.during(opening, (s) => describeWait(where, s));
  const failures = opened.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
  if (failures.length === each.length) throw failures[0];
  if (where.tls !== undefined) await sleep(ACKNOWLEDGED);
}

/** Formats the line that a terminal shows during the measurement. */
function progressOf(measurement: Measurement, { size, colours }: StatusLine): string | undefined {
  const { waiting } = measurement;
  const columns = size().columns - KEYS;
  const delay = waiting < SHOWN_AFTER ? "" : `no reply yet: ${waiting / 1000 | 0} s`;
  const picture = line(measurement.timeline, columns - delay.length);
  if (picture === undefined || picture.length > columns) return delay || undefined;
  return (colours ? emphasizeLosses(picture) : picture) + (delay && `, ${delay}`);
}
