/** What a server does wrong because it was asked to: how that is said, and when it happens. Pure. */

import type { Addr } from "../net/addr.ts";
import { duration, mustBe, size } from "../checks.ts";
import { MOST_DATAGRAM } from "../net/udp.ts";
import { quote } from "../wire/quote.ts";
import { Random } from "./random.ts";

/** A row of the table: a fault by its name. */
interface Row {
  /** How its value is written, after its name; what may be left out in brackets. */
  readonly value?: string;
  /** What the client meets. */
  readonly means: string;
  /** It can happen to a datagram. */
  readonly udp?: true;
  /** Reads its value; throws a RangeError that says what it must be. */
  read(value: string): unknown;
}

interface Bytes {
  readonly bytes: number;
}

/** The longest noise, in bytes: it is made at once. */
const MOST_NOISE = 1_000_000;

const none = (): Record<never, never> => ({});
const bytes = (text: string): Bytes => ({ bytes: text === "" ? 0 : size(text) });
const some = (text: string): Bytes => ({ bytes: atLeastOne(text === "" ? "1" : text) });
const words = (text: string): { text: string } => ({ text });
const pause = (text: string): { pause: number } => ({ pause: duration(text) });

/** All faults. Those that change a reply's bytes come first, then those that change its time, then those that end it. */
// deno-fmt-ignore
export const FAULTS = {
  drop: { udp: true, read: none, means: "no reply to this message; the conversation goes on" },
  twice: { udp: true, read: none, means: "the reply, twice" },
  corrupt: { value: "[=N]", udp: true, read: some, means: "N (1) of the reply's bytes are others; never its ending, never LF" },
  noise: { value: "=BYTES", udp: true, read: noise, means: "random bytes and the reply's ending, instead of the reply" },
  error: { value: "=TEXT", udp: true, read: words, means: '"error: TEXT" instead of the reply; the conversation goes on' },
  delay: { value: "=DUR[..DUR]", udp: true, read: span, means: "the reply comes this much later, or a time drawn from between" },
  slice: { value: "=BYTES[/DUR]", read: slices, means: "the reply in pieces, each a segment of its own, DUR (1ms) apart" },
  rate: { value: "=BYTES", read: some, means: "no more than this many bytes a second" },
  cut: { value: "=BYTES", read: bytes, means: "this many bytes of the reply, then end-of-file" },
  reset: { value: "[=BYTES]", read: bytes, means: "this many bytes (0) of the reply, then a reset" },
  stall: { value: "[=BYTES]", read: bytes, means: "this many bytes (0) of the reply, then nothing more; it stays open" },
  deaf: { read: none, means: "from this message on the server reads no more" },
  hold: { value: "=DUR", read: pause, means: "the server's end-of-file comes this much later; takes no @" },
  refuse: { value: "[=reset]", read: refusal, means: "the connection is closed (reset) at once; @ counts connections" },
} as const satisfies Readonly<Record<string, Row>>;

/** What a fault is called. */
export type FaultName = keyof typeof FAULTS;

/** To which messages a fault happens, or to how many of a hundred. */
type When = { readonly first: number; readonly last: number } | { readonly percent: number };

/** A fault that was asked for, and how it was written. */
export type Fault = {
  [Name in FaultName]:
    & { readonly name: Name; readonly asked: string; readonly at: string; readonly when: When }
    & Readonly<ReturnType<typeof FAULTS[Name]["read"]>>;
}[FaultName];

/** Any of them ends an order: in raw framing, a line's end is in the message. */
const SPACES: readonly number[] = [9, 10, 13, 32];
const NAMES = Object.keys(FAULTS) as FaultName[];
const CHOICE = `choose among ${NAMES.join(", ")}`;
const decoder = new TextDecoder();

/** What a message meets. */
export interface FaultPlan {
  /** The message's number. */
  readonly number: number;
  /** At most one of each name. */
  readonly faults: readonly Fault[];
  /** What the order that can't be read is answered with. */
  readonly error?: string;
  /** The chance that is this message's own. */
  readonly random: Random;
}

/** The faults for a help text: how each is written, and what it does. */
export function faultRows(): [string, string][] {
  return Object.entries<Row>(FAULTS).map(([name, { value = "", means }]) => [name + value, means]);
}

/** What is met by what is no message. */
export const NO_FAULTS: FaultPlan = { number: 0, faults: [], random: new Random() };

/** By what faults can be done: datagrams have no connection, and not all connections can be reset. */
export interface FaultSupport {
  readonly transport: Addr["transport"];
  readonly resets: boolean;
}

/** How a server is told what to do wrong. */
export interface FaultOptions {
  readonly faults?: string | undefined;
  readonly orders?: boolean | undefined;
  readonly seed?: number | undefined;
}

/** What a server is to do wrong. See {@linkcode parseFaults}. */
export class Faults {
  constructor(
    /** In the order in which they were asked for. */
    readonly list: readonly Fault[],
    /** Whether messages may ask for more. */
    readonly orders: boolean = false,
    /** For what is chosen at random. */
    readonly seed: number = crypto.getRandomValues(new Uint32Array(1))[0] as number,
  ) {}

  /** As they were asked for: `delay=100ms, reset@3`. */
  toString(): string {
    return this.list.map(({ asked, at }) => asked + at).join(", ");
  }

  /** It as options, of which a server makes it again. */
  get options(): FaultOptions {
    const faults = this.list.length === 0 ? undefined : `${this}`;
    return { faults, orders: this.orders, seed: this.seed };
  }

  /** What of it can't be done, and what can, in words. */
  whyNot(ways: FaultSupport): string | undefined {
    for (const fault of this.list) {
      const why = whyNot(fault, ways);
      if (why !== undefined) return `cannot use ${quote(fault.asked + fault.at)}: ${why}`;
    }
    return undefined;
  }

  /** Whether connections must be ones that can be reset. */
  get resets(): boolean {
    return this.orders || this.list.some(isReset);
  }

  /** How a connection is refused, by its number, from 1; undefined if it is not. */
  refusal(connection: number): (Fault & { name: "refuse" }) | undefined {
    const random = new Random(this.seed, connection, 0);
    return this.list.filter((fault) => fault.name === "refuse")
      .find(({ when }) => happens(when, connection, random));
  }

  /**
   * What a message meets.
   * @param conversation its number, from 1
   * @param number the message's in its conversation, from 1
   * @param message which may be an order
   */
  lot(conversation: number, number: number, message: Uint8Array, ways: FaultSupport): FaultPlan {
    const random = new Random(this.seed, conversation, number);
    try {
      const order = this.orders ? orderIn(message) : undefined;
      if (order !== undefined) return { number, random, faults: onceEach(readOrder(order, ways)) };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return { number, random, faults: [], error: error.message };
    }
    const faults = this.list.filter(({ name, when }) =>
      name !== "refuse" && name !== "hold" && happens(when, number, random)
    );
    return { number, random, faults: onceEach(faults) };
  }
}

/**
 * Reads what a server is to do wrong: faults with commas between, each `NAME` or `NAME=VALUE`, and
 * `@WHEN` if it is not for every message: `@3`, `@3..`, `@3..5` or, at random, `@10%`.
 * @throws {RangeError} which says what is wrong, and what would be right
 */
export function parseFaults(
  text: string,
  { seed, orders }: Omit<FaultOptions, "faults"> = {},
): Faults {
  return new Faults(readFaults(text), orders, seed);
}

/**
 * The faults of a server, if it has any.
 * @throws {RangeError} if they can't be read, or done in these ways
 */
export function faultsFor(options: FaultOptions, ways: FaultSupport): Faults | undefined {
  const { faults, orders = false, seed } = options;
  if (faults === undefined && !orders) return undefined;
  const read = new Faults(faults === undefined ? [] : readFaults(faults), orders, seed);
  const why = read.whyNot(ways);
  if (why !== undefined) throw new RangeError(why);
  return read;
}

/** How long a reply is delayed, in ms. */
export function durationOf(
  { shortest, longest }: Fault & { name: "delay" },
  { random }: FaultPlan,
): number {
  return shortest + random.next() * (longest - shortest);
}

/** What a command line asks for; undefined if nothing. */
export function faultsAsked(
  options: { fault: readonly Fault[][]; orders: boolean; seed: number | undefined },
): Faults | undefined {
  const { fault, orders, seed } = options;
  return fault.length > 0 || orders ? new Faults(fault.flat(), orders, seed) : undefined;
}

/** By what a command line lets faults be done. */
export function faultSupport(
  { udp, unix }: { udp: boolean; unix: string | undefined },
): FaultSupport {
  return { transport: udp ? "udp" : unix === undefined ? "tcp" : "unix", resets: true };
}

/** Reads faults with commas between. @throws {RangeError} as above */
export function readFaults(text: string): Fault[] {
  return text.split(",").map((item) => readFault(item.trim()));
}

function readFault(text: string): Fault {
  const [, asked = "", at = ""] = /^(.*?)(@[^@]*)?$/s.exec(text) ?? [];
  const [, name = "", value] = /^([^=]*)(?:=(.*))?$/s.exec(asked) ?? [];
  if (!isName(name)) {
    throw new RangeError(
      `${name === "" ? "a fault is missing" : `there is no fault ${quote(name)}`}: ${CHOICE}`,
    );
  }
  const row: Row = FAULTS[name];
  if (row.value === undefined && value !== undefined) {
    throw new RangeError(`${name} takes no value: write ${name} alone`);
  }
  if (value === "" || (value === undefined && row.value?.startsWith("="))) {
    const orNone = row.value?.startsWith("[") ? ", or none" : "";
    throw new RangeError(`${name} needs a value${orNone}: ${name}${row.value}`);
  }
  if (name === "hold" && at !== "") throw new RangeError("hold takes no @: leave it out");
  const when = readWhen(at);
  try {
    return { name, asked, at, when, ...row.read(value ?? "") as object } as Fault;
  } catch (error) {
    throw error instanceof RangeError
      ? new RangeError(`the value of ${name} ${error.message}`)
      : error;
  }
}

function readWhen(at: string): When {
  if (at === "") return { first: 1, last: Infinity };
  const [, percent] = /^@(\d+(?:\.\d+)?)%$/.exec(at) ?? [];
  if (Number(percent) > 0 && Number(percent) <= 100) return { percent: Number(percent) };
  const [, first, to, last] = /^@(\d+)(\.\.)?(\d+)?$/.exec(at) ?? [];
  const when = { first: Number(first), last: Number(last ?? (to ? Infinity : first)) };
  if (when.first >= 1 && when.last >= when.first && (to || last === undefined)) return when;
  throw new RangeError(`${quote(at)} must be like @3, @3.., @3..5 or @10%`);
}

/** What a message asks for, if it is an order: what is between `!` and the first space. */
function orderIn(message: Uint8Array): string | undefined {
  if (message[0] !== "!".charCodeAt(0)) return undefined;
  const end = message.findIndex((byte) => SPACES.includes(byte));
  return decoder.decode(message.subarray(1, end < 0 ? message.length : end));
}

/** Reads an order. @throws {RangeError} a sentence that says what is wrong */
function readOrder(order: string, ways: FaultSupport): Fault[] {
  try {
    const faults = readFaults(order);
    for (const fault of faults) {
      if (fault.name === "refuse") {
        throw new RangeError("refuse is no order: its client is here already");
      }
      if (fault.at !== "") {
        throw new RangeError(`an order is for its own message: leave out ${quote(fault.at)}`);
      }
      const why = whyNot(fault, ways);
      if (why !== undefined) throw new RangeError(why);
    }
    return faults;
  } catch (error) {
    throw error instanceof RangeError
      ? new RangeError(`cannot use ${quote(order)}: ${error.message}`)
      : error;
  }
}

function whyNot(fault: Fault, { transport, resets }: FaultSupport): string | undefined {
  const { name } = fault;
  const row: Row = FAULTS[name];
  if (transport === "udp") {
    const choice = NAMES.filter((name) => "udp" in FAULTS[name]).join(", ");
    if (!row.udp) return `a datagram knows no ${name}: choose among ${choice}`;
    const isShort = name !== "noise" || fault.bytes <= MOST_DATAGRAM;
    return isShort ? undefined : `a datagram has no room for that: at most ${MOST_DATAGRAM} bytes`;
  }
  if (!isReset(fault)) return undefined;
  if (transport === "unix") return "a Unix socket knows no reset: choose cut, or refuse alone";
  return resets ? undefined : "for a reset, pass listeners that `listen` opens with `resets: true`";
}

function isReset(fault: Fault): boolean {
  return fault.name === "reset" || (fault.name === "refuse" && fault.reset);
}

/** The fault of this name, if there is one. */
export function find<Name extends FaultName>(
  faults: readonly Fault[],
  name: Name,
): (Fault & { name: Name }) | undefined {
  return faults.find((fault): fault is Fault & { name: Name } => fault.name === name);
}

/** Of several faults of one name, the first. */
function onceEach(faults: readonly Fault[]): Fault[] {
  return faults.filter(({ name }, at) => faults.findIndex((other) => other.name === name) === at);
}

function happens(when: When, number: number, random: Random): boolean {
  if ("percent" in when) return random.next() * 100 < when.percent;
  return number >= when.first && number <= when.last;
}

function isName(name: string): name is FaultName {
  return Object.hasOwn(FAULTS, name);
}

function atLeastOne(text: string): number {
  return size(text) || mustBe("1 byte or more");
}

function noise(text: string): Bytes {
  return size(text) <= MOST_NOISE ? { bytes: size(text) } : mustBe(`at most ${MOST_NOISE} bytes`);
}

/** Two durations, or one: then both are that. */
function span(text: string): { shortest: number; longest: number } {
  const [shortest = 0, longest = shortest, ...more] = text.split("..").map(duration);
  if (more.length === 0 && longest >= shortest) return { shortest, longest };
  return mustBe("a duration like 100ms, or two like 1s..2s, the shorter first");
}

function slices(text: string): { bytes: number; pause: number } {
  const [, bytes = "", pause = "1ms"] = /^([^/]*)(?:\/(.*))?$/s.exec(text) ?? [];
  return { bytes: atLeastOne(bytes), pause: duration(pause) };
}

function refusal(text: string): { reset: boolean } {
  return { reset: text !== "" && (text === "reset" || mustBe("reset, or be left out")) };
}
