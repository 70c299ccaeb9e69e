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

/** The rule for an option: its description after "must be", and a test. */
export interface Rule {
  readonly right: string;
  fits(value: unknown): boolean;
}

/** A rule for each option. */
export type Rules<Options> = { readonly [Name in keyof Options]-?: Rule };

const number = (right: string, least: number, fits: (value: number) => boolean): Rule => ({
  right,
  fits: (value) => typeof value === "number" && value >= least && fits(value),
});
const wholeFrom = (least: number, most: number) =>
  number(
    `a whole number from ${least} to ${most}`,
    least,
    (value) => Number.isInteger(value) && value <= most,
  );
const isFraming = (value: unknown) => FRAMINGS.some((name) => name === value);
const has = (value: unknown, ...methods: string[]) =>
  methods.every((name) => typeof Object(value)[name] === "function");

export const functionRule: Rule = {
  right: "a function",
  fits: (value) => typeof value === "function",
};
export const booleanRule: Rule = {
  right: "true or false",
  fits: (value) => value === true || value === false,
};
export const textRule: Rule = {
  right: "a text that is not empty",
  fits: (text) => typeof text === "string" && text !== "",
};
export const countRule: Rule = number(
  "a whole number, 1 or more",
  1,
  (value) => Number.isInteger(value) || value === Infinity,
);
/** A time that a timer can wait. */
export const timeRule: Rule = number(
  `a time in ms, 0 to ${MAX_TIMER}`,
  0,
  (value) => value <= MAX_TIMER,
);
/** A port to listen on; 0 chooses a free one. */
export const portRule: Rule = wholeFrom(0, 65535);
export const connectPortRule: Rule = wholeFrom(1, 65535);
export const seedRule: Rule = wholeFrom(0, 2 ** 32 - 1);
export const signalRule: Rule = {
  right: "an AbortSignal",
  fits: (signal) => signal instanceof AbortSignal,
};
export const tlsRule: Rule = {
  right: "an object, whose ca is a text in PEM form",
  fits: (tls) => Object(tls) === tls && typeof (tls as { ca?: unknown }).ca !== "number",
};
export const framingNameRule: Rule = { right: "auto, line or raw", fits: isFraming };
export const framingRule: Rule = {
  right: "auto, line, raw or an object with read and write",
  fits: (framing) => isFraming(framing) || has(framing, "read", "write"),
};
export const listenersRule: Rule = {
  right: "a list of listeners, each with addr, accept and close",
  fits: (list) =>
    Array.isArray(list) && list.length > 0 &&
    list.every((one) =>
      Object(Object(one).addr) === Object(one).addr && has(one, "accept", "close")
    ),
};

/** The names of options that were renamed. */
const RENAMED: Readonly<Record<string, string>> = {
  ...{ open: "onOpen", close: "onClose", prepare: "onAccept", messageTimeout: "handlerTimeout" },
};

/**
 * Checks options; one that is undefined counts as not given.
 * @throws {TypeError} that names the first option that is unknown
 * @throws {TypeError | RangeError} that names the first option that is wrong, the latter for text and
 *   numbers
 */
export function checkOptions<Options extends object>(
  options: Options,
  rules: Rules<Options>,
): void {
  for (const name in options) {
    if (options[name] === undefined) continue;
    if (!Object.hasOwn(rules, name)) throw new TypeError(unknownOption(name, rules));
    checkOne(name, options[name], rules[name]);
  }
}

function unknownOption(name: string, rules: object): string {
  const renamed = RENAMED[name];
  const isKnown = renamed !== undefined && renamed in rules;
  const right = isKnown ? `use ${renamed}` : `choose among ${Object.keys(rules).join(", ")}`;
  return `there is no option ${name}: ${right}`;
}

/**
 * Checks a value that must be given.
 * @throws {TypeError | RangeError} as {@linkcode checkOptions}
 */
export function checkOne(name: string, value: unknown, { right, fits }: Rule): void {
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

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Parses a duration; returns milliseconds: `500ms`, `2s`, `1m`, `1h`; a plain number is seconds. */
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
