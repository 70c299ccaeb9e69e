/** Command lines to typed options: parsing, checking and help come from one table. */

import { parseArgs } from "@std/cli/parse-args";
import { levenshteinDistance } from "@std/text/levenshtein-distance";
import { mustBe, size } from "../checks.ts";
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

/** A program's options. */
export type Table = Readonly<Record<string, Option>>;

/** The values of a table's options. */
export type Values<T extends Table> = {
  readonly [K in keyof T]: T[K] extends { read: (text: string) => infer V }
    ? T[K] extends { many: true } ? readonly V[]
    : T[K] extends { fallback: string } ? V
    : V | undefined
    : boolean;
};

const COMMON: Table = {
  help: { group: "Other options", short: "h", help: "print this text" },
  version: { short: "V", help: "print the version" },
};
const SEE_HELP = "--help lists the options";
/** The most letters by which a misspelt name may differ from the suggested one. */
const MOST_MISSPELT = 2;
/** Escapes of one letter, and their bytes. */
const ESCAPES: Readonly<Record<string, number>> = { "\\n": 10, "\\r": 13, "\\t": 9, "\\\\": 92 };
const encoder = new TextEncoder();
/** The width of the help's left column, in characters. */
const LEFT = 30;
/** The width of the help, in characters. */
const COLUMNS = 80;

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

/** Reads a number of bytes, such as `500`, `10k` or `1M`. */
export function bytes(most: number): (text: string) => number {
  return (text) => {
    const bytes = size(text);
    return bytes >= 1 && bytes <= most ? bytes : mustBe(`from 1 to ${most} bytes`);
  };
}

/**
 * Encodes a text in which `\\n`, `\\r`, `\\t`, `\\\\` and `\\xNN` stand for a byte each.
 * @throws {RangeError} if it has another escape
 */
export function encodeEscapes(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const [piece, hex] of text.matchAll(/\\x([\da-f]{2})|\\.?|[^\\]+/gis)) {
    const escaped = hex === undefined ? ESCAPES[piece] : parseInt(hex, 16);
    if (escaped === undefined && piece.startsWith("\\")) {
      throw new RangeError(
        `there is no escape ${quote(piece)}: write \\n, \\r, \\t, \\\\ or \\xNN`,
      );
    }
    if (escaped === undefined) bytes.push(...encoder.encode(piece));
    else bytes.push(escaped);
  }
  return Uint8Array.from(bytes);
}

/**
 * Reads a command line.
 * @param operands the options that may also be given by position, in order
 * @param cut splits an operand into several
 * @return the options, or `help` or `version` if that was requested
 * @throws {UsageError}
 */
export function parse<T extends Table>(
  table: T,
  args: readonly string[],
  operands: readonly (keyof T & string)[] = [],
  cut: (operand: string) => string[] = (operand) => [operand],
): Values<T> | "help" | "version" {
  const given = new Map<string, string[]>();
  const rest = split({ ...table, ...COMMON }, args, given);
  if (given.has("help")) return "help";
  if (given.has("version")) return "version";
  for (const [position, operand] of rest.flatMap(cut).entries()) {
    const key = operands[position];
    if (key === undefined) throw new UsageError(`stray argument ${quote(operand)}: ${SEE_HELP}`);
    if (given.has(key)) {
      throw new UsageError(`stray argument ${quote(operand)}: ${dashed(key)} is given too`);
    }
    given.set(key, [operand]);
  }
  for (const [key, option] of Object.entries(table)) {
    if (given.has(key)) checkCombination(key, option, given);
  }
  const values = Object.entries(table)
    .map(([key, option]) => [key, readValues(dashed(key), option, given.get(key))]);
  return Object.fromEntries(values);
}

/** Formats the table, an option a row. */
export function help(table: Table): string {
  return Object.entries({ ...table, ...COMMON }).map(([key, option]) => {
    const { group, short, value, shown = option.fallback } = option;
    const title = group === undefined ? "" : `\n${group}:\n`;
    const name = `${short ? `-${short}, ` : "    "}${dashed(key)}${value ? ` ${value}` : ""}`;
    return title + row(name, option.help + (shown ? ` (${shown})` : ""));
  }).join("");
}

/** Formats a row of two columns, the second of which is wrapped. */
export function row(left: string, right: string): string {
  const lines = [`  ${left}`.padEnd(LEFT)];
  if (left.length > LEFT - 4) lines.push(" ".repeat(LEFT));
  for (const word of right.split(" ")) {
    const line = lines.pop() as string;
    if (line.length + word.length < COLUMNS) lines.push(`${line}${word} `);
    else lines.push(line, `${" ".repeat(LEFT)}${word} `);
  }
  return lines.map((line) => `${line.trimEnd()}\n`).join("");
}

/**
 * Sorts arguments by the option that they belong to.
 * @param given receives the values of each option by key; a flag has none
 * @return the operands
 */
function split(table: Table, args: readonly string[], given: Map<string, string[]>): string[] {
  const rows = Object.entries(table);
  const names = rows.map(([key]) => dashed(key));
  const isFlag = ([, { value }]: [string, Option]) => value === undefined;
  const keys = (rows: [string, Option][]) => rows.map(([key]) => dashed(key).slice(2));
  const valued = keys(rows.filter((row) => !isFlag(row)));
  const { _: operands, ...parsed } = parseArgs(joinValues(rows, args), {
    string: ["_", ...valued],
    collect: valued,
    boolean: keys(rows.filter(isFlag)),
    alias: Object.fromEntries(
      rows.flatMap(([key, { short }]) => short ? [[dashed(key).slice(2), short]] : []),
    ),
    unknown: (arg, name) => {
      if (name !== undefined) throw unknown(arg.split("=")[0] as string, names);
    },
  });
  for (const [key, { value, many }] of rows) {
    const found = parsed[dashed(key).slice(2)];
    if (value === undefined ? found !== true : (found as string[]).length === 0) continue;
    given.set(key, value === undefined ? [] : found as string[]);
    if (value !== undefined && !many && (found as string[]).length > 1) {
      throw new UsageError(`${dashed(key)} is given twice: give it once`);
    }
  }
  return operands as string[];
}

/** `--name`, `--name=value`, or one-letter flags and an option with its value, `-abn=value`. */
const ARGUMENT = /^(?:(--.+?)(?:=(.*))?|-([^-].*))$/su;

/**
 * Writes each option with its value as one argument, `--name=value`. Otherwise, the parser takes an
 * empty value for a missing one, and a value that begins with `-` for an option.
 */
function joinValues(rows: readonly [string, Option][], args: readonly string[]): string[] {
  const joined: string[] = [];
  const left = [...args];
  for (let arg; (arg = left.shift()) !== undefined;) {
    if (arg === "--") return [...joined, arg, ...left];
    const [, long, longValue, letters] = ARGUMENT.exec(arg) ?? [];
    const letter = letters?.match(/./su)?.[0];
    const row = rows.find(([key, { short }]) => long ? dashed(key) === long : short === letter);
    if (row === undefined || (!long && !letter)) {
      joined.push(arg);
      continue;
    }
    const [key, option] = row;
    const name = dashed(key);
    const after = letter === undefined ? longValue : letters?.slice(letter.length) || undefined;
    if (option.value !== undefined) {
      joined.push(
        `${name}=${valueOf(name, option, letter ? after?.replace(/^=/, "") : after, left)}`,
      );
      continue;
    }
    if (long ? after !== undefined : after?.startsWith("=")) {
      throw new UsageError(`${name} takes no value: write ${name} alone`);
    }
    joined.push(name);
    if (after !== undefined) left.unshift(`-${after}`);
  }
  return joined;
}

/** Returns an option's value: the one in its own argument, or the next argument. */
function valueOf(
  name: string,
  { value, empty }: Option,
  inline: string | undefined,
  left: string[],
): string {
  const text = inline ?? left.shift();
  const isOption = inline === undefined && /^-(?!\d|$)/.test(text ?? "");
  if (text !== undefined && !isOption && (text !== "" || empty)) return text;
  throw new UsageError(`${name} needs a value: ${name}=${value}`);
}

/** Checks that an option makes sense beside the others that are given. */
function checkCombination(
  key: string,
  { not = [], needs = [], why = "choose one of them" }: Option,
  given: Map<string, unknown>,
) {
  const other = not.find((key) => given.has(key));
  if (other !== undefined) {
    throw new UsageError(`cannot combine ${dashed(key)} and ${dashed(other)}: ${why}`);
  }
  const missing = needs.map((need) => need.split("|"))
    .find((keys) => !keys.some((key) => given.has(key)));
  if (missing !== undefined) {
    const names = missing.map(dashed).join(" or ");
    throw new UsageError(
      `${dashed(key)} makes sense only with ${names}: add that, or leave it out`,
    );
  }
}

function unknown(name: string, names: readonly string[]): UsageError {
  const distance = (other: string) => levenshteinDistance(name, other);
  const [nearest = ""] = names.toSorted((a, b) => distance(a) - distance(b));
  const isNear = name.length > MOST_MISSPELT + 2 && distance(nearest) <= MOST_MISSPELT;
  return new UsageError(
    `unknown option ${quote(name)}: ${isNear ? `did you mean ${nearest}?` : SEE_HELP}`,
  );
}

function readValues(name: string, { read, fallback, many }: Option, given?: string[]): unknown {
  if (read === undefined) return given !== undefined;
  const values = given?.map((text) => {
    try {
      return read(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new UsageError(`cannot use ${name} ${quote(text)}: ${error.message}`);
    }
  });
  if (many) return values ?? [];
  return values === undefined && fallback !== undefined ? read(fallback) : values?.[0];
}

/** `maxClients` to `--max-clients`. */
function dashed(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
