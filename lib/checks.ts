/** Checks of options before anything is opened: a wrong one might freeze or crash a server. */

import { FRAMINGS } from "./wire/framing.ts";

/** The longest time of a timer, in ms, about 24.8 days: a longer one fires at once. */
export const MAX_TIMER: number = 2 ** 31 - 1;

/** Returns the message of a thrown value. Nothing else is read: without free descriptors, a stack can't be. */
export function errorMessage(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return "the thrown value has no message";
  }
}

/** Compares versions such as `2.9.6`, part by part. `localeCompare` can, but first loads for 8 ms. */
export function isOlder(version: string, than: string): boolean {
  const comparable = (text: string) => text.split(/[.-]/, 3).map((part) => part.padStart(5, "0"));
  return comparable(version).join() < comparable(than).join();
}

/** The rule for an option: its description after "must be", and a test. */
export type Rule = readonly [right: string, fits: (value: unknown) => boolean];

/** A rule for each option. */
export type Rules<Options> = { readonly [Name in keyof Options]-?: Rule };

const isFrom = (least: number, most: number) => (value: unknown): value is number =>
  typeof value === "number" && value >= least && value <= most;
const isCount = (value: unknown) => isFrom(1, Infinity)(value) && value === Math.floor(value);
const wholeFrom = (least: number, most: number): Rule => [
  `a whole number from ${least} to ${most}`,
  (value) => isFrom(least, most)(value) && Number.isInteger(value),
];
const isObject = (value: unknown) => Object(value) === value;
const has = (value: unknown, ...methods: string[]) =>
  methods.every((name) => typeof Object(value)[name] === "function");
const isText = (value: unknown) => typeof value === "string" && value !== "";
const isTls = (value: unknown) => isObject(value) && typeof Object(value).ca !== "number";
const isFramingName = (value: unknown) => FRAMINGS.some((name) => name === value);
const canFrame = (value: unknown) => isFramingName(value) || has(value, "read", "write");
const isListener = (value: unknown) =>
  isObject(Object(value).addr) && has(value, "accept", "close");
const canListen = (list: unknown) =>
  Array.isArray(list) && list.length > 0 && list.every(isListener);

export const functionRule: Rule = ["a function", (value) => typeof value === "function"];
export const booleanRule: Rule = ["true or false", (value) => typeof value === "boolean"];
export const textRule: Rule = ["a text that is not empty", isText];
export const countRule: Rule = ["a whole number, 1 or more", isCount];
/** A time that a timer can wait. */
export const timeRule: Rule = [`a time in ms, 0 to ${MAX_TIMER}`, isFrom(0, MAX_TIMER)];
/** A port to listen on; 0 chooses a free one. */
export const portRule: Rule = wholeFrom(0, 65535);
export const connectPortRule: Rule = wholeFrom(1, 65535);
export const seedRule: Rule = wholeFrom(0, 2 ** 32 - 1);
export const signalRule: Rule = ["an AbortSignal", (signal) => signal instanceof AbortSignal];
export const tlsRule: Rule = ["an object, whose ca is a text in PEM form", isTls];
export const framingNameRule: Rule = ["auto, line or raw", isFramingName];
export const framingRule: Rule = ["auto, line, raw or an object with read and write", canFrame];
export const listenersRule: Rule = [
  "a list of listeners, each with addr, accept and close",
  canListen,
];

/** The names of options that were renamed. */
const RENAMED: Readonly<Record<string, string>> = {
  open: "onOpen",
  close: "onClose",
  prepare: "onAccept",
  messageTimeout: "handlerTimeout",
};

/**
 * Checks options; one that is undefined counts as not given.
 * @throws {TypeError} that names the first option that is unknown
 * @throws {TypeError | RangeError} that names the first option that is wrong, the latter for text and
 *   numbers
 */
export function checkOptions<Given extends object>(options: Given, rules: Rules<Given>): void {
  for (const name in options) {
    if (options[name] === undefined) continue;
    if (!Object.hasOwn(rules, name)) throw new TypeError(unknownOption(name, rules));
    checkOne(name, options[name], rules[name]);
  }
}

function unknownOption(name: string, rules: object): string {
  const renamed = RENAMED[name] ?? "";
  const right = renamed in rules
    ? `use ${renamed}`
    : `choose among ${Object.keys(rules).join(", ")}`;
  return `there is no option ${name}: ${right}`;
}

/**
 * Checks a value that must be given.
 * @throws {TypeError | RangeError} as {@linkcode checkOptions}
 */
export function checkOne(name: string, value: unknown, [right, fits]: Rule): void {
  if (fits(value)) return;
  const Wrong = ["number", "string"].includes(typeof value) ? RangeError : TypeError;
  throw new Wrong(`${name} must be ${right}, not ${describe(value)}`);
}

/** Describes a value; one that could run code is described by its type. */
function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value === null || typeof value === "number" || typeof value === "boolean") return `${value}`;
  return Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : typeof value;
}

/** Multiplies the number in a text by its unit; NaN if the text does not match. */
function scaled(text: string, form: RegExp, units: Readonly<Record<string, number>>): number {
  const [, number, unit = ""] = form.exec(text) ?? [];
  return Number(number) * (units[unit] ?? 1);
}

/** Parses a duration; returns milliseconds: `500ms`, `2s`, `1m`, `1h`; a plain number is seconds. */
export function duration(text: string): number {
  const units = { ms: 1, "": 1000, s: 1000, m: 60_000, h: 3_600_000 };
  const milliseconds = scaled(text, /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/, units);
  return milliseconds <= MAX_TIMER ? milliseconds : mustBe("a duration like 500ms, 2s or 1m");
}

/** A duration in milliseconds that may be shorter than one: `100us`, or as {@linkcode duration}. */
export function interval(text: string): number {
  return /^\d{1,9}us$/.test(text) ? parseInt(text) / 1000 : duration(text);
}

/** A number of bytes: `500`, `10k` (10,000), `1M`. */
export function size(text: string): number {
  const bytes = scaled(text, /^(\d{1,12})(k|M)?$/, { k: 1000, M: 1_000_000 });
  return Number.isNaN(bytes) ? mustBe("a number of bytes like 500, 10k or 1M") : bytes;
}

/** @throws {RangeError} */
export function mustBe(what: string): never {
  throw new RangeError(`must be ${what}`);
}
