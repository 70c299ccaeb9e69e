/** Errors in words, and options checked before anything is opened: a wrong one would freeze a server, or end it at once. */

import { FRAMINGS } from "./wire/framing.ts";

/** The longest that a timer waits, in ms: about 24.8 days. A longer one is over at once. */
export const MAX_TIMER: number = 2 ** 31 - 1;

/**
 * What was thrown, in words; whatever it is. Of an error nothing but its message is read: without
 * free descriptors, even to make its stack may fail.
 */
export function errorMessage(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return "what was thrown can't be told in words";
  }
}

/** What an option may be. */
export interface Rule {
  /** In words, after "must be". */
  readonly right: string;
  /** What `typeof` says of a right one, if it is always the same. */
  readonly type?: string;
  /** Whether one of that type is right. */
  readonly fits: (value: never) => boolean;
}

/** A rule for each option. */
export type Rules<Options> = { readonly [Name in keyof Options]-?: Rule };

const always = () => true;

/** Any function. */
export const functionRule: Rule = { right: "a function", type: "function", fits: always };
/** True or false. */
export const booleanRule: Rule = { right: "true or false", type: "boolean", fits: always };
/** A text that says something. */
export const textRule: Rule = {
  right: "a text that is not empty",
  type: "string",
  fits: (text: string) => text !== "",
};
/** A number of things, of which one must be allowed. */
export const countRule: Rule = {
  right: "a whole number, 1 or more",
  type: "number",
  fits: (count: number) => count >= 1 && (Number.isInteger(count) || count === Infinity),
};
/** A time that a timer can wait. */
export const timeRule: Rule = {
  right: `a time in ms, 0 to ${MAX_TIMER}`,
  type: "number",
  fits: (time: number) => time >= 0 && time <= MAX_TIMER,
};
/** A port to listen on, of which 0 takes a free one. */
export const portRule: Rule = portFrom(0);
/** A port to connect to. */
export const connectPortRule: Rule = portFrom(1);
/** What chance comes from. */
export const seedRule: Rule = {
  right: "a whole number from 0 to 4294967295",
  type: "number",
  fits: (seed: number) => seed >>> 0 === seed,
};
/** A signal to stop. */
export const signalRule: Rule = {
  right: "an AbortSignal",
  type: "object",
  fits: (signal: unknown) => signal instanceof AbortSignal,
};
/** How a client speaks TLS. */
export const tlsRule: Rule = {
  right: "an object, whose ca is a text in PEM form",
  type: "object",
  fits: (tls: { ca?: unknown } | null) =>
    tls !== null && (tls.ca === undefined || typeof tls.ca === "string"),
};

/** One of some words. */
export function oneOf(...words: readonly string[]): Rule {
  const right = `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  return { right, type: "string", fits: (word: string) => words.includes(word) };
}

/** How a message's end is told, by name. */
export const framingNameRule: Rule = oneOf(...FRAMINGS);
/** How a message's end is told. */
export const framingRule: Rule = {
  right: "auto, line, raw or an object with read and write",
  fits: (framing: unknown) => FRAMINGS.some((name) => name === framing) || isCustom(framing),
};

function isCustom(framing: unknown): boolean {
  const { read, write } = Object(framing);
  return typeof read === "function" && typeof write === "function";
}

function portFrom(least: number): Rule {
  return {
    right: `a whole number from ${least} to 65535`,
    type: "number",
    fits: (port: number) => Number.isInteger(port) && port >= least && port <= 65535,
  };
}

/**
 * Checks options; one that is undefined is not given.
 * @throws {TypeError} which names the first that is of the wrong type
 * @throws {RangeError} which names the first that is right in type alone
 */
export function checkOptions<Options extends object>(
  options: Options,
  rules: Rules<Options>,
): void {
  for (const name in rules) {
    if (options[name] !== undefined) checkOne(name, options[name], rules[name]);
  }
}

/**
 * Checks a value that must be given.
 * @throws {TypeError | RangeError} as {@linkcode checkOptions}
 */
export function checkOne(name: string, value: unknown, { right, type, fits }: Rule): void {
  const found: string = typeof value;
  const isOfType = type === undefined || found === type;
  if (isOfType && fits(value as never)) return;
  const Wrong = isOfType && found !== "object" ? RangeError : TypeError;
  throw new Wrong(`${name} must be ${right}, not ${shown(value)}`);
}

/** A value in words: one that could run code of its own is told by its type. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value === null || typeof value === "number" || typeof value === "boolean") return `${value}`;
  return Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : typeof value;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration in milliseconds: `500ms`, `2s`, `1m`, `1h`; a plain number is seconds. */
export function duration(text: string): number {
  const [, number, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  const milliseconds = Number(number) * (UNITS[unit] as number);
  return milliseconds <= MAX_TIMER ? milliseconds : mustBe("a duration like 500ms, 2s or 1m");
}

/** A duration in milliseconds that may be shorter than one: `100us`, or as {@linkcode duration}. */
export function interval(text: string): number {
  const [, microseconds] = /^(\d{1,9})us$/.exec(text) ?? [];
  return microseconds === undefined ? duration(text) : Number(microseconds) / 1000;
}

/** A number of bytes: `500`, `10k` (10,000), `1M`. */
export function size(text: string): number {
  const [, number, unit] = /^(\d{1,12})(k|M)?$/.exec(text) ?? [];
  if (number === undefined) mustBe("a number of bytes like 500, 10k or 1M");
  return Number(number) * (unit === "k" ? 1000 : unit === "M" ? 1_000_000 : 1);
}

/** @throws {RangeError} */
export function mustBe(what: string): never {
  throw new RangeError(`must be ${what}`);
}
