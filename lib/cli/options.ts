/** Command lines to typed options: parsing, checking and help come from one table. */

import { parseArgs } from "@std/cli/parse-args";
import { levenshteinDistance } from "@std/text/levenshtein-distance";
import { quote } from "../wire/quote.ts";
import { mustBe } from "../checks.ts";

export { duration, interval } from "../checks.ts";

/** What is wrong with a command line, and what would be right, in one sentence. */
export class UsageError extends Error {}

/** A row of the table. Its key is the option's long name, in camel case. */
export interface Option {
  /** What it does. */
  readonly help: string;
  /** Its one-letter name. */
  readonly short?: string;
  /** How its value is called, like `PORT`. An option without one is a flag. */
  readonly value?: string;
  /** Reads a value; throws a RangeError that says what it must be. */
  readonly read?: (text: string) => unknown;
  /** The value when it is not given, as it would be. */
  readonly fallback?: string;
  /** It may be given more than once. */
  readonly many?: true;
  /** Its value may be empty. */
  readonly empty?: true;
  /** Options that make no sense beside it, by key. */
  readonly not?: readonly string[];
  /** Options that it makes no sense without, by key. */
  readonly needs?: string | readonly string[];
  /** Options of which it needs one, by key. */
  readonly needsAny?: readonly string[];
}

/** A program's options. */
export type Table = Readonly<Record<string, Option>>;

/** What a command line comes to. */
export type Values<T extends Table> = {
  readonly [K in keyof T]: T[K] extends { read: (text: string) => infer V }
    ? T[K] extends { many: true } ? readonly V[]
    : T[K] extends { fallback: string } ? V
    : V | undefined
    : boolean;
};

const COMMON: Table = {
  help: { short: "h", help: "show this and exit" },
  version: { short: "V", help: "show the version and exit" },
};

/** How far a misspelt name may be from a right one, in letters. */
const NEAR = 2;

/** Any text. */
export const text = (text: string): string => text;

/** One of some words. */
export function oneOf<T extends string>(...words: readonly T[]): (text: string) => T {
  return (text) => words.find((word) => word === text) ?? mustBe(words.join(" or "));
}

/** A whole number in a range. */
export function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const good = /^\d+$/.test(text) && Number(text) >= least && Number(text) <= most;
    return good ? Number(text) : mustBe(`a whole number from ${least} to ${most}`);
  };
}

/**
 * Reads a command line.
 * @param operands the options that may also be given by their place, in order
 * @param cut makes several operands of one
 * @return the options, or `help` or `version` where that was asked for
 * @throws {UsageError}
 */
export function parse<T extends Table>(
  table: T,
  args: readonly string[],
  operands: readonly (keyof T & string)[] = [],
  cut: (operand: string) => string[] = (operand) => [operand],
): Values<T> | "help" | "version" {
  const given = split({ ...table, ...COMMON }, args);
  if (given["help"]) return "help";
  if (given["version"]) return "version";
  for (const [place, operand] of given._.flatMap(cut).entries()) {
    const key = operands[place];
    if (key === undefined) throw new UsageError(`stray argument ${quote(operand)}: ${SEE_HELP}`);
    if (given[dashed(key)] !== undefined) {
      throw new UsageError(`stray argument ${quote(operand)}: --${dashed(key)} says it already`);
    }
    given[dashed(key)] = operand;
  }
  for (const [key, option] of Object.entries(table)) checkCompany(key, option, given);
  const values = Object.entries(table)
    .map(([key, option]) => [key, valueOf(dashed(key), option, given[dashed(key)])]);
  return Object.fromEntries(values);
}

/** The table as text, an option a line. */
export function help(table: Table): string {
  const rows = Object.entries({ ...table, ...COMMON }).map(([key, option]) => ({
    left: `${option.short ? `-${option.short}, ` : "    "}--${dashed(key)} ${option.value ?? ""}`,
    right: option.help + (option.fallback ? ` (${option.fallback})` : ""),
  }));
  const width = Math.max(...rows.map(({ left }) => left.length));
  return rows.map(({ left, right }) => `  ${left.padEnd(width)}  ${right}\n`).join("");
}

const SEE_HELP = "--help lists what there is";

type Given = Record<string, unknown> & { _: string[] };

type Row = Option & { readonly name: string };

/** Command line to texts and flags by dashed name; an unknown name is an error. */
function split(table: Table, args: readonly string[]): Given {
  const rows: Row[] = Object.entries(table)
    .map(([key, option]) => ({ name: dashed(key), ...option }));
  const names = (rows: { name: string }[]) => rows.map(({ name }) => name);
  const flags = rows.filter(({ value }) => value === undefined);
  const valued = rows.filter(({ value }) => value !== undefined);
  const { _, ...named } = parseArgs(withValues(rows, args), {
    string: ["_", ...names(valued)],
    boolean: names(flags),
    collect: names(valued),
    alias: Object.fromEntries(rows.flatMap(({ name, short }) => short ? [[name, short]] : [])),
    unknown: (arg: string, name?: string) => name === undefined || unknown(arg, name, names(rows)),
  });
  const given: Given = { ...named, _: _.map(String) };
  for (const { name, many } of valued) {
    const texts = given[name] as string[];
    if (many) continue;
    if (texts.length > 1) throw new UsageError(`--${name} is given twice: give it once`);
    given[name] = texts[0];
  }
  for (const { name } of flags) {
    // The parser takes any text after a flag's "=" for true.
    const isValued = (arg: string) => arg.startsWith(`--${name}=`);
    if (typeof given[name] !== "boolean" || args.slice(0, endOf(args)).some(isValued)) {
      throw new UsageError(`--${name} takes no value: write --${name} alone`);
    }
  }
  return given;
}

/**
 * Writes each option and its value as one argument: the parser would take a value
 * that is empty for none, and one that begins with "-" for an option.
 */
function withValues(rows: readonly Row[], args: readonly string[]): string[] {
  const joined: string[] = [];
  const end = endOf(args);
  for (let at = 0; at < end; at++) {
    const [name = "", inline] = (args[at] as string).split(/=(.*)/s);
    // Flags may come before its letter: -qm TEXT.
    const letters = /^-(?!-)(.*)(.)$/.exec(name);
    const areFlags = [...letters?.[1] ?? ""]
      .every((letter) => rows.some(({ short, value }) => short === letter && value === undefined));
    const row = rows.find((row) =>
      row.value !== undefined &&
      (name === `--${row.name}` || (row.short === letters?.[2] && letters !== null && areFlags))
    );
    if (row === undefined) {
      joined.push(args[at] as string);
      continue;
    }
    const value = inline ?? (at + 1 < end ? args[++at] : undefined);
    const isOption = inline === undefined && /^-(?!\d|$)/.test(value ?? "");
    if (value === undefined || isOption || (value === "" && !row.empty)) {
      throw new UsageError(`--${row.name} needs a value: --${row.name}=${row.value}`);
    }
    if (letters?.[1]) joined.push(`-${letters[1]}`);
    joined.push(`--${row.name}=${value}`);
  }
  return [...joined, ...args.slice(end)];
}

/** Checks that an option that was given makes sense beside the others. */
function checkCompany(key: string, { not = [], needs, needsAny }: Option, given: Given): void {
  const isGiven = (key: string) => {
    const value = given[dashed(key)];
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  };
  if (!isGiven(key)) return;
  const name = `--${dashed(key)}`;
  const other = not.find(isGiven);
  if (other !== undefined) {
    throw new UsageError(`cannot combine ${name} and --${dashed(other)}: choose one of them`);
  }
  const missing = [needs ?? []].flat().find((key) => !isGiven(key));
  if (missing !== undefined) {
    throw new UsageError(
      `${name} makes sense only with --${dashed(missing)}: add that, or leave it out`,
    );
  }
  if (needsAny !== undefined && !needsAny.some(isGiven)) {
    const names = needsAny.map((key) => `--${dashed(key)}`).join(" or ");
    throw new UsageError(`${name} makes sense only with ${names}: add that, or leave it out`);
  }
}

function endOf(args: readonly string[]): number {
  const end = args.indexOf("--");
  return end < 0 ? args.length : end;
}

function unknown(arg: string, name: string, names: readonly string[]): never {
  const distance = (other: string) => levenshteinDistance(name, other);
  const [nearest = ""] = names.toSorted((a, b) => distance(a) - distance(b));
  const hint = name.length > NEAR && distance(nearest) <= NEAR
    ? `did you mean --${nearest}?`
    : SEE_HELP;
  throw new UsageError(`unknown option ${quote(arg)}: ${hint}`);
}

function valueOf(name: string, option: Option, given: unknown): unknown {
  const { read, fallback, many } = option;
  if (read === undefined) return given;
  if (many) return (given as string[]).map((text) => readOne(name, read, text));
  if (given !== undefined) return readOne(name, read, String(given));
  return fallback === undefined ? undefined : read(fallback);
}

function readOne(name: string, read: (text: string) => unknown, text: string): unknown {
  try {
    return read(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(`cannot use --${name} ${quote(text)}: ${error.message}`);
  }
}

/** `maxClients` to `max-clients`. */
function dashed(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
