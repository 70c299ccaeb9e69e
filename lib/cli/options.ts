/** Command lines to typed options: parsing, checking and help come from one table. */

import { parseArgs } from "@std/cli/parse-args";
import { levenshteinDistance } from "@std/text/levenshtein-distance";
import { mustBe, size } from "../checks.ts";
import { cutPort } from "../net/address.ts";
import { quote } from "../wire/quote.ts";

export { duration, interval } from "../checks.ts";

/** A mistake in a command line. Its message is a sentence that names it and what would be right. */
export class UsageError extends Error {}

/** A row of the table. Its key is the option's long name, in camel case. */
export interface Option {
  /** A phrase that says what the option does. */
  readonly help: string;
  /** The title of the group of the help that begins with this option. */
  readonly group?: string;
  /** The one-letter name. */
  readonly short?: string;
  /** The placeholder of the value, such as `PORT`. An option without one is a flag. */
  readonly value?: string;
  /** Reads a value; throws a RangeError that says what the value must be. */
  readonly read?: (text: string) => unknown;
  /** The value of an option that is not given, as it would be typed. */
  readonly fallback?: string;
  /** The default as the help shows it, if it depends on other options. */
  readonly shown?: string;
  /** The option may be repeated. */
  readonly many?: true;
  /** The value may be empty. */
  readonly empty?: true;
  /** Options that it can't be combined with, by key. */
  readonly not?: readonly string[];
  /** The reason why not. */
  readonly why?: string;
  /** Options that it requires, by key; `a|b` is one of two. */
  readonly needs?: readonly string[];
}

type Options = Readonly<Record<string, Option>>;

/** A program's options. A host and a port may also be given by position. */
export type Table = Options & Readonly<Record<"host" | "port", Option>>;

/** The values of a table's options. */
export type Values<T extends Table> = {
  readonly [K in keyof T]: T[K] extends { read: (text: string) => infer V }
    ? T[K] extends { many: true } ? readonly V[]
    : T[K] extends { fallback: string } ? V
    : V | undefined
    : boolean;
};

const COMMON: Options = {
  help: { group: "Other options", short: "h", help: "print this text" },
  version: { short: "V", help: "print the version" },
};
/** The longest message that a server can be set to accept, in bytes. */
export const MAX_MESSAGE: number = 1 << 30;
const SEE_HELP = "--help lists the options";
/** The most letters by which a misspelt name may differ from the suggested one. */
const MOST_MISSPELT = 2;
/** The width of the help's left column, in characters. */
const LEFT = 30;
/** A line of the help's right column, with the space after it: both columns have 80 characters. */
const LINE = /(.{1,49})(?: |$)/g;
/** `--name`, `--name=value`, or one-letter flags and an option with its value, `-abn=value`. */
const ARGUMENT = /^(--[^=]*|-[^-])(.*)$/su;

/** Reads any text. */
export const text = (text: string): string => text;

/** Reads one of some words. */
export function oneOf<T extends string>(...words: readonly T[]): (text: string) => T {
  return (text) => words.find((word) => word === text) ?? mustBe(words.join(" or "));
}

/** Reads a whole number in a range. */
export function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const good = /^\d+$/.test(text) && Number(text) >= least && Number(text) <= most;
    return good ? Number(text) : mustBe(`a whole number from ${least} to ${most}`);
  };
}

/** Reads the most bytes of a message, such as `500`, `10k` or `1M`. */
export function messageSize(text: string): number {
  const bytes = size(text);
  return bytes >= 1 && bytes <= MAX_MESSAGE ? bytes : mustBe(`from 1 to ${MAX_MESSAGE} bytes`);
}

/**
 * Reads a command line.
 * @returns the options, or `help` or `version` if that was requested
 * @throws {UsageError}
 */
export function parse<T extends Table>(table: T, args: string[]): Values<T> | "help" | "version" {
  const all: Table = { ...table, ...COMMON };
  const keys = Object.keys(all);
  const spelled = [...spellOut(all, args)];
  const { _: rest, ...named } = parseArgs(spelled, { string: ["_", ...keys], collect: keys });
  const given = (key: string) => named[key] as string[];
  const isGiven = (key: string) => given(key).length > 0;
  if (isGiven("help")) return "help";
  if (isGiven("version")) return "version";
  for (const [position, operand] of (rest as string[]).flatMap(cutPort).entries()) {
    const key = ["host", "port"][position];
    if (key === undefined || isGiven(key)) {
      const why = key === undefined ? SEE_HELP : `${dashed(key)} is given too`;
      throw new UsageError(`stray argument ${quote(operand)}: ${why}`);
    }
    given(key).push(operand);
  }
  checkCombinations(table, isGiven);
  const values = Object.entries(table)
    .map(([key, option]) => [key, readValues(dashed(key), option, given(key))]);
  return Object.fromEntries(values);
}

/** A row of the help: its two columns, and the title above it. */
export type HelpRow = readonly [left: string, right: string, title?: string | undefined];

/** Formats the table, an option a row, and further rows. The right column is wrapped. */
export function help(table: Table, more: readonly HelpRow[] = []): string {
  const rows = Object.entries({ ...table, ...COMMON }).map(([key, option]): HelpRow => {
    const { group, short, value, shown = option.fallback } = option;
    const name = `${short ? `-${short}, ` : "    "}${dashed(key)}${value ? ` ${value}` : ""}`;
    return [name, option.help + (shown ? ` (${shown})` : ""), group];
  });
  const indent = " ".repeat(LEFT);
  return [...rows, ...more].map(([left, right, title]) => {
    const start = left.length > LEFT - 4 ? `  ${left}\n${indent}` : `  ${left}`.padEnd(LEFT);
    const lines = right.replaceAll(LINE, `$1\n${indent}`).trimEnd();
    return `${title ? `\n${title}:\n` : ""}${start}${lines}\n`;
  }).join("");
}

/**
 * Writes each option with its value as one argument, `--key=value`, a flag as `--key=`. Otherwise,
 * the parser takes an empty value for a missing one, and a value that begins with `-` for an option.
 * @throws {UsageError}
 */
function* spellOut(table: Table, args: string[]): Generator<string> {
  const left = [...args];
  for (let arg; (arg = left.shift()) !== undefined && arg !== "--";) {
    const [, name, after = ""] = ARGUMENT.exec(arg) ?? [];
    const row = Object.entries(table)
      .find(([key, { short }]) => name === dashed(key) || name === `-${short}`);
    if (row === undefined) {
      if (name !== undefined) throw unknown(arg, Object.keys(table).map(dashed));
      yield arg;
      continue;
    }
    const [key, { value, empty }] = row;
    const option = dashed(key);
    let text: string | undefined = "";
    if (value !== undefined) {
      text = after === "" ? left.shift() : after.replace(/^=/, "");
      const isOption = after === "" && /^-(?!\d|$)/.test(text ?? "");
      if (text === undefined || isOption || (text === "" && !empty)) {
        throw new UsageError(`${option} needs a value: ${option}=${value}`);
      }
    } else if (after.startsWith("=")) {
      throw new UsageError(`${option} takes no value: write ${option} alone`);
    } else if (after !== "") left.unshift(`-${after}`);
    yield `--${key}=${text}`;
  }
  yield* ["--", ...left];
}

/** Checks that the options that are given make sense together. */
function checkCombinations(table: Table, isGiven: (key: string) => boolean) {
  for (const [key, { not = [], needs = [], why = "choose one of them" }] of Object.entries(table)) {
    if (!isGiven(key)) continue;
    const other = not.find(isGiven);
    const missing = needs.find((keys) => !keys.split("|").some(isGiven));
    if (other !== undefined) {
      throw new UsageError(`cannot combine ${dashed(key)} and ${dashed(other)}: ${why}`);
    }
    if (missing !== undefined) {
      const names = missing.split("|").map(dashed).join(" or ");
      const sense = `${dashed(key)} makes sense only with ${names}`;
      throw new UsageError(`${sense}: add that, or leave it out`);
    }
  }
}

function unknown(arg: string, names: readonly string[]): UsageError {
  const [name = ""] = arg.split("=");
  const distance = (other: string) => levenshteinDistance(name, other);
  const [nearest = ""] = names.toSorted((a, b) => distance(a) - distance(b));
  const isNear = name.length > MOST_MISSPELT + 2 && distance(nearest) <= MOST_MISSPELT;
  const remedy = isNear ? `did you mean ${nearest}?` : SEE_HELP;
  return new UsageError(`unknown option ${quote(name)}: ${remedy}`);
}

function readValues(name: string, { read, fallback, many }: Option, given: string[]): unknown {
  if (read === undefined) return given.length > 0;
  if (given.length > 1 && !many) throw new UsageError(`${name} is given twice: give it once`);
  if (given.length === 0 && fallback !== undefined) return read(fallback);
  const values = given.map((text) => {
    try {
      return read(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new UsageError(`cannot use ${name} ${quote(text)}: ${error.message}`);
    }
  });
  return many ? values : values[0];
}

/** `maxClients` to `--max-clients`. */
function dashed(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
