/** The command line: options that are written in any of their ways are read as what they were. */

import { assertEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import fc from "fast-check";
import { duration } from "../../lib/checks.ts";
import { messageSize, oneOf, parse, type Table, text, whole } from "../../lib/cli/options.ts";
import { addressOrName, formatAddress } from "../../lib/net/address.ts";
import { property } from "../support/property.ts";

const TABLE = {
  host: { value: "HOST", fallback: "here", read: addressOrName, help: "" },
  port: { short: "p", value: "PORT", fallback: "1", read: whole(0, 65535), help: "" },
  maxMessage: { value: "BYTES", read: messageSize, help: "" },
  idleTimeout: { short: "i", value: "DUR", read: duration, help: "" },
  message: { short: "m", value: "TEXT", read: text, many: true, empty: true, help: "" },
  log: { value: "text|json", read: oneOf("text", "json"), help: "" },
  quiet: { short: "q", help: "" },
  loud: { short: "l", help: "" },
} as const satisfies Table;

/** A value, and one of the texts that mean it. */
interface Written<T> {
  readonly value: T;
  readonly text: string;
}

const inUnit = (most: number, units: Readonly<Record<string, number>>) =>
  fc.tuple(fc.integer({ min: 1, max: most }), fc.constantFrom(...Object.entries(units)))
    .map(([count, [unit, factor]]) => ({ value: count * factor, text: `${count}${unit}` }));
const plain = <T>(values: fc.Arbitrary<T>) => values.map((value) => ({ value, text: `${value}` }));

const ipv4 = fc.ipV4();
const values = fc.record({
  host: plain(fc.oneof(ipv4, fc.constantFrom("::1", "localhost", "a.example"))),
  port: plain(fc.integer({ min: 0, max: 65535 })),
  maxMessage: inUnit(1000, { "": 1, k: 1000, M: 1_000_000 }),
  idleTimeout: inUnit(500, { "": 1000, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }),
  message: fc.array(plain(fc.string({ unit: "binary", maxLength: 8 })), { maxLength: 3 }),
  log: plain(fc.constantFrom("text" as const, "json" as const)),
  quiet: fc.boolean(),
  loud: fc.boolean(),
}, { requiredKeys: ["message", "quiet", "loud"] });

/** How each option is written, in turn. */
const styles = fc.array(
  fc.constantFrom("--name value", "--name=value", "-n value", "-nvalue", "-n=value"),
  {
    minLength: 1,
  },
);

type Values = typeof values extends fc.Arbitrary<infer T> ? T : never;
type Style = "--name value" | "--name=value" | "-n value" | "-nvalue" | "-n=value";

/** Arguments that mean these values. */
function write(values: Values, styles: readonly Style[]): string[] {
  let count = 0;
  const args: string[] = [];
  for (const [key, given] of Object.entries(values)) {
    const { short } = TABLE[key as keyof typeof TABLE] as { short?: string };
    const name = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (typeof given === "boolean") {
      if (given) args.push(count++ % 2 === 0 && short !== undefined ? `-${short}` : name);
      continue;
    }
    for (const { text } of [given].flat() as Written<unknown>[]) {
      const style = styles[count++ % styles.length];
      // A value that looks like an option, or is empty, or begins with "=", can't be written in each way.
      const isPlain = /^[^-=]/s.test(text);
      if (style === "--name=value" || !isPlain) args.push(`${name}=${text}`);
      else if (style === "--name value" || short === undefined) args.push(name, text);
      else if (style === "-n value") args.push(`-${short}`, text);
      else args.push(`-${short}${style === "-n=value" ? "=" : ""}${text}`);
    }
  }
  return args;
}

/** The values themselves. */
function read(values: Values): Record<string, unknown> {
  const plain = Object.entries(values).map(([key, given]) => {
    if (typeof given === "boolean") return [key, given];
    return [key, Array.isArray(given) ? given.map(({ value }) => value) : given.value];
  });
  const rest = { maxMessage: undefined, idleTimeout: undefined, log: undefined };
  return { host: "here", port: 1, ...rest, ...Object.fromEntries(plain) };
}

describe("the command line", () => {
  property("is read as what was written, in each style", fc.tuple(values, styles), 300, (input) => {
    const args = write(...input);
    assertEquals<unknown>(parse(TABLE, args), read(input[0]), JSON.stringify(args));
  });

  const endpoints = fc.tuple(fc.oneof(ipv4, fc.ipV6()), fc.integer({ min: 0, max: 65535 }));
  property("an address that was printed is read as one", endpoints, 300, ([hostname, port]) => {
    const printed = formatAddress({ transport: "tcp", hostname, port });
    const values = parse(TABLE, [printed]);
    assertEquals<unknown>(values, {
      ...read({ message: [], quiet: false, loud: false }),
      host: hostname,
      port,
    });
  });
});
