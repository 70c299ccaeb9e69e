/** The command line of the server. */

import { Faults } from "../faults/faults.ts";
import { faultRows, readFaults } from "../faults/grammar.ts";
import { addressOrName } from "../net/address.ts";
import { proxyProtocol } from "../net/proxy_protocol.ts";
import { endlessFormat, readback, REPLY, STAMPS } from "../server/readback.ts";
import { readTarget } from "../server/relay.ts";
import { FRAMINGS } from "../wire/framing.ts";
import { encodeEscapes } from "../wire/quote.ts";
import { checkRunPermission } from "./command.ts";
import { duration, messageSize, oneOf, text, UsageError, type Values, whole } from "./options.ts";

const separator = Deno.args.indexOf("--");
/** The arguments but for the command. */
export const args: string[] = Deno.args.slice(0, separator < 0 ? undefined : separator);
/** The command that runs beside the server: the arguments after the first `--`. */
export const command = separator < 0 ? undefined : Deno.args.slice(separator + 1);

/** The options of the server. */
// deno-fmt-ignore
export const OPTIONS = {
  host: { group: "Where it listens", value: "HOST", fallback: "127.0.0.1", read: addressOrName, help: "address to listen on, or a name: all its addresses" },
  port: { short: "p", value: "PORT", fallback: command ? "0" : "6969", shown: "6969; with a command a free one", read: whole(0, 65535), help: "port to listen on; 0 chooses a free one" },
  unix: { short: "U", value: "PATH", read: text, not: ["host", "port", "tlsCert"], help: "a Unix socket to listen on instead" },
  udp: { short: "u", not: ["unix", "tlsCert", "proxyProtocol", "maxClients", "idleTimeout", "hideSilent"], help: "serve UDP: a datagram is a message, its reply another" },
  tlsCert: { value: "FILE", read: text, needs: ["tlsKey"], help: "use TLS with this certificate (PEM)" },
  tlsKey: { value: "FILE", read: text, needs: ["tlsCert"], help: "the certificate's private key (PEM)" },
  proxyProtocol: { value: "ADDRESSES", read: proxyProtocol, not: ["unix", "tlsCert"], help: "let proxies at these addresses send the client's address" },

  framing: { group: "What it answers", short: "f", value: "auto|line|raw", fallback: "auto", read: oneOf(...FRAMINGS), help: "how the end of a message is found" },
  maxMessage: { value: "BYTES", fallback: "65536", read: messageSize, help: "the longest message, such as 500, 64k or 10M" },
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

/** The values of the options. */
export type Options = Values<typeof OPTIONS>;

const TITLE = "FAULTS, separated by commas; for some messages only with @3, @3.., @3..5, @10%";
/** The rows of the help after the options. */
export const FAULTS = faultRows().map((row, at) => at === 0 ? [...row, TITLE] as const : row);

/** Checks what the table of options can't; returns the requested faults, if there are any. */
export async function check(options: Options): Promise<Faults | undefined> {
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

/** Reads the format of replies, whose escapes stay until it is encoded. */
export function replyFormat(text: string): string {
  encodeEscapes(text);
  readback({ format: text }); // throws if it is wrong
  return text;
}
