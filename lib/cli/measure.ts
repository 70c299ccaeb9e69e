/** The client as an instrument: measures a server, reports what it finds, and whether all was well. */

import { errorMessage } from "../checks.ts";
import { connect } from "../net/connect.ts";
import { DatagramSocket } from "../net/udp.ts";
import { ConnTransport } from "../ping/conn_transport.ts";
import { Measurement } from "../ping/measurement.ts";
import { connectAttempts, datagrams } from "../ping/transport.ts";
import { warmUp } from "../ping/warm_up.ts";
import { sleep } from "../wait.ts";
import type { Context } from "./client_options.ts";
import { emphasizeLosses, line } from "./output/picture.ts";
import { connectingTo, SHOWN_AFTER } from "./output/status_line.ts";
import { complain, onSignals, stopAtSignals } from "./program.ts";

/**
 * Milliseconds in which the system acknowledges a TLS server's session tickets. Until then, a
 * server that leaves Nagle's algorithm on holds back its first reply.
 */
const ACKNOWLEDGED = 50;

/** Columns that are left free, for the terminal's echo of a key such as `^C`. */
const KEYS = 3;
const WRONG = "wrong (a reply holds its message; with --any, any line is one)";

/**
 * Measures a server until all is measured, or a signal.
 * @returns whether all was well; if not, the reason was printed
 */
export async function measure(context: Context): Promise<boolean> {
  const { options, report, status } = context;
  const { count, message: messages, for: duration } = options;
  // An attempt to connect has a time limit of its own.
  const timeout = options.connect ? 0 : options.timeout;
  let complaint = "";
  const measurement = new Measurement({ ...options, messages, duration, timeout }, {
    report: (event) => status.around(() => report.print(event)),
    complain(sentence) {
      if (options.connect || options.quiet) return;
      status.hide();
      complain("client", sentence);
      complaint = sentence;
    },
  });
  const summary = (event: "summary" | "progress", reason?: string) =>
    status.around(() => report.summary(measurement, event, reason));
  // If it can't be written, the next event can't be written either.
  onSignals(["SIGQUIT"], () => void summary("progress").catch(() => {}));
  const signal = stopAtSignals(new AbortController());
  const look = (columns: number) => progressOf(measurement, columns - KEYS);
  const failure = await open(measurement, signal, context)
    .then(() => status.show(measurement.run(signal), look))
    .then(() => undefined, errorMessage);
  const { sent, answered, wrong } = measurement.tally;
  const isWell = failure === undefined && answered > 0 &&
    (count === undefined || answered === sent);
  const hint = wrong > 0 ? `: ${wrong} ${WRONG}` : "";
  const why = failure ?? measurement.trouble ??
    `${answered} of ${sent} messages were answered${hint}`;
  await summary("summary", isWell ? undefined : why);
  if (!isWell && why !== complaint) complain("client", why);
  return isWell;
}

/** Makes the connections, and all else that must not count. */
async function open(measurement: Measurement, signal: AbortSignal, context: Context) {
  const { options, status } = context;
  const where = { ...context.where, signal };
  const { hostname = "", port = 0, wait = 0 } = where;
  const { udp, connect: isConnecting, framing, connections } = options;
  const each = Array.from({ length: connections });
  const attempt = { ...where, wait: 0 };
  if (isConnecting && wait > 0) {
    (await status.during(connect(where), connectingTo(where))).close();
  }
  await warmUp(options, where);
  if (udp) {
    const connecting = each.map(() => DatagramSocket.connect(hostname, port, framing));
    const sockets = await Promise.all(connecting);
    return sockets.forEach((socket) => measurement.add((all) => datagrams(all, socket)));
  }
  if (isConnecting) {
    return each.forEach(() => measurement.add((all) => connectAttempts(all, attempt)));
  }
  const openings = each.map(async () => {
    const make = () => connect(attempt);
    const transport = measurement.add((all) => new ConnTransport(all, make, measurement.options));
    transport.open(await connect(where));
  });
  const opened = await status.during(Promise.allSettled(openings), connectingTo(where));
  if (opened.every((one) => one.status === "rejected")) await openings[0]; // throws its reason
  if (where.tls !== undefined) await sleep(ACKNOWLEDGED);
}

/** Formats the line that a terminal shows during the measurement. */
function progressOf({ waiting, timeline }: Measurement, columns: number): string | undefined {
  const delay = waiting < SHOWN_AFTER ? "" : `no reply yet: ${waiting / 1000 | 0} s`;
  const end = delay && `, ${delay}`;
  const picture = line(timeline, columns - end.length);
  if (picture === undefined || picture.length + end.length > columns) return delay || undefined;
  return (Deno.noColor ? picture : emphasizeLosses(picture)) + end;
}
