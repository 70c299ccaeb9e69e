/** Checks of options before anything is opened: a wrong one might freeze or crash a server. */

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

/** The rule for a value: its description after "must be", and a test. */
type Rule = readonly [right: string, fits: (value: unknown) => boolean];

const isFrom = (least: number, most: number) => (value: unknown): value is number =>
  typeof value === "number" && value >= least && value <= most;
const isCount = (value: unknown) => isFrom(1, Infinity)(value) && value === Math.floor(value);
const wholeFrom = (least: number, most: number): Rule => [
  `a whole number from ${least} to ${most}`,
  (value) => isFrom(least, most)(value) && Number.isInteger(value),
];
const text: Rule = ["a text that is not empty", (value) => value !== ""];
const count: Rule = ["a whole number, 1 or more", isCount];
const listeners: Rule = ["at least one listener", (list) => Object(list).length > 0];
/** A time that a timer can wait. */
export const timeRule: Rule = [`a time in ms, 0 to ${MAX_TIMER}`, isFrom(0, MAX_TIMER)];

type Rules = Readonly<Record<string, Rule>>;
/** The rules for options whose values TypeScript does not check. Nearly all mean the same everywhere. */
// deno-fmt-ignore
const RULES: Rules = {
  hostname: text, path: text, cert: text, key: text, ending: text,
  maxMessage: count, concurrency: count, maxClients: count,
  timeout: timeRule, wait: timeRule, grace: timeRule, drain: timeRule, idleTimeout: timeRule,
  handlerTimeout: timeRule, port: wholeFrom(0, 65535), listeners, seed: wholeFrom(0, 2 ** 32 - 1),
};
/** The rules for options of a connection to a server, whose port can't be 0. */
export const CONNECTING: Rules = { ...RULES, port: wholeFrom(1, 65535) };

/** The names of options that were renamed. */
const RENAMED: Readonly<Record<string, string>> = {
  open: "onOpen",
  close: "onClose",
  prepare: "onAccept",
  messageTimeout: "handlerTimeout",
};

/**
 * Checks options; one that is undefined counts as not given, and one without a rule fits.
 * @throws {TypeError} that tells the new name of an option that was renamed
 * @throws {TypeError | RangeError} that names the first option that is wrong, the latter for text and
 *   numbers
 */
export function checkOptions(options: object, rules: Rules = RULES): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const renamed = RENAMED[name];
    if (renamed) throw new TypeError(`there is no option ${name}: use ${renamed}`);
    const rule = rules[name];
    if (rule) checkOne(name, value, rule);
  }
}

/**
 * Checks a value that must be given.
 * @throws {TypeError | RangeError} as {@linkcode checkOptions}
 */
export function checkOne(name: string, value: unknown, [right, fits]: Rule): void {
  if (fits(value)) return;
  const Wrong = ["number", "string"].includes(typeof value) ? RangeError : TypeError;
  const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
  throw new Wrong(`${name} must be ${right}, not ${shown}`);
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
