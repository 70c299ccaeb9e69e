/** The command line of the client. */

import { mustBe } from "../checks.ts";
import { addressOrName } from "../net/address.ts";
import type { FamilyOptions } from "../net/connect.ts";
import { FRAMINGS } from "../wire/framing.ts";
import { duration, interval, oneOf, text, type Values, whole } from "./options.ts";
import type { Report } from "./output/report.ts";
import type { StatusLine } from "./output/status_line.ts";

/** The options of the client. */
// deno-fmt-ignore
export const OPTIONS = {
  host: { group: "Where the server is", value: "HOST", fallback: "127.0.0.1", read: addressOrName, help: "the server's address or name" },
  port: { short: "p", value: "PORT", fallback: "6969", read: whole(1, 65535), help: "the server's port" },
  unix: { short: "U", value: "PATH", read: text, not: ["host", "port", "tls", "loopback"], help: "the server's Unix socket instead" },
  udp: { short: "u", not: ["unix", "tls", "wait"], help: "use UDP: send datagrams, count lost replies" },
  tls: { help: "use TLS, and check the server's certificate" },
  ca: { value: "FILE", read: text, needs: ["tls"], help: "trust the certificates in this file too (PEM)" },
  cert: { value: "FILE", read: text, needs: ["tls", "key"], help: "the client's certificate, for servers that ask (PEM)" },
  key: { value: "FILE", read: text, needs: ["tls", "cert"], help: "the certificate's private key (PEM)" },
  ipv4: { short: "4", not: ["ipv6", "unix", "cert"], help: "use only the host's IPv4 addresses" },
  ipv6: { short: "6", not: ["unix", "cert"], help: "use only the host's IPv6 addresses" },
  wait: { short: "w", value: "DUR", fallback: "0", read: duration, help: "retry for this long while no server is there" },
  loopback: { not: ["host", "port", "tls"], help: "talk to a server that is started inside this process" },

  message: { group: "What it sends", short: "m", value: "TEXT", many: true, empty: true, read: line, help: "send this and print only the reply; may be repeated" },
  quiet: { short: "q", help: "be a filter: send each input line, print only replies; with --ping, print only the summary" },
  duplex: { not: ["message", "quiet", "once", "ping", "connect", "udp"], help: "send and receive without taking turns; the end of input half-closes" },
  crlf: { needs: ["duplex"], help: "end lines with CRLF" },
  once: { not: ["quiet", "message", "ping", "connect"], help: "one prompt, one message, one reply, then exit" },
  framing: { short: "f", value: "auto|line|raw", fallback: "auto", read: oneOf(...FRAMINGS), help: "how the end of a message is found" },
  greeting: { not: ["udp", "connect"], help: "wait for the server's first words, and print them" },

  ping: { group: "What it measures", help: "measure round trips: a line per reply, figures at the end" },
  connect: { not: ["udp", "message", "framing"], help: "measure how long connecting takes, and send nothing; implies --ping" },
  count: { short: "c", value: "N", needs: ["ping|connect"], read: whole(1, 1_000_000_000), help: "end after N messages; without, at Ctrl-C" },
  for: { value: "DUR", needs: ["ping|connect"], read: positive, help: "end after this time" },
  interval: { short: "i", value: "DUR", fallback: "1s", needs: ["ping|connect"], read: interval, help: "from one message to the next, such as 100us; 0: as fast as replies arrive" },
  connections: { value: "N", fallback: "1", needs: ["ping|connect"], read: whole(1, 10_000), help: "open N connections, each with its own --interval" },
  any: { needs: ["ping"], not: ["connect"], help: "take any line for a reply, not only one that holds its message" },

  timeout: { group: "How it ends", short: "t", value: "DUR", fallback: "10s", read: duration, help: "the time to connect, and for each reply; 0: unlimited" },

  timestamps: { group: "What it prints", short: "D", needs: ["ping|connect"], help: "print the local time before each line of --ping" },
  log: { value: "text|json", fallback: "text", read: oneOf("text", "json"), help: "the replies, or a JSON object per line" },
  trace: { not: ["udp"], help: "print every read and write, with its time, on standard error" },
} as const;

/** The values of the options. */
export type Options = Values<typeof OPTIONS>;

/** A run of the client: what it does, where the server is, and where it prints. */
export interface Context {
  readonly options: Options;
  readonly where: FamilyOptions;
  readonly report: Report;
  readonly status: StatusLine;
}

/** Reads a message that can be sent as one line. */
function line(text: string): Uint8Array {
  if (/\n/.test(text)) throw new RangeError("must be one line: each line is a message of its own");
  return new TextEncoder().encode(text);
}

/** Reads a duration that is not 0. */
function positive(text: string): number {
  return duration(text) || mustBe("longer than 0");
}
