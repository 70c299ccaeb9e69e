/** The words for faults: the table of all faults, and how a text is read. Pure. */

import type { Addr } from "../net/address.ts";
import { duration, mustBe, size } from "../checks.ts";
import { MAX_DATAGRAM } from "../net/udp.ts";
import { quote } from "../wire/quote.ts";
import type { Random } from "./random.ts";

/** A row of the table: a fault by its name. */
interface Row {
  /** The form of its value, after its name; what may be left out is in brackets. */
  readonly value?: string;
  /** The effect, as a client sees it. */
  readonly means: string;
  /** The thing it acts on: the bytes of a reply, a reply's time, the bytes sent, or a whole connection. */
  readonly on: "reply" | "time" | "bytes" | "connection";
  /** Reads its value; throws a RangeError that says what the value must be. */
  read(value: string): object;
}

/** The longest noise, in bytes: it is made at once. */
const MAX_NOISE = 1_000_000;

const atLeastOne = (text: string): number => size(text) || mustBe("1 byte or more");
const none = (): Record<never, never> => ({});
const words = (text: string): { text: string } => ({ text });
const pause = (text: string): { pause: number } => ({ pause: duration(text) });
const bytes = (text: string): { bytes: number } => ({ bytes: text === "" ? 0 : size(text) });
const some = (text: string): { bytes: number } => ({ bytes: atLeastOne(text || "1") });
const noise = (text: string): { bytes: number } =>
  size(text) <= MAX_NOISE ? bytes(text) : mustBe(`at most ${MAX_NOISE} bytes`);
const life = (text: string): { pause: number; reset: boolean } => {
  return { ...pause(text.replace(/\/reset$/, "")), reset: text.endsWith("/reset") };
};
const refusal = (text: string): { reset: boolean } =>
  /^(reset)?$/.test(text) ? { reset: text !== "" } : mustBe("reset, or be left out");
const slices = (text: string): { bytes: number; pause: number } => {
  const [bytes = "", time = "1ms"] = text.split(/\/([^]*)/);
  return { bytes: atLeastOne(bytes), ...pause(time) };
};
/** Two durations, or one: then both are that. */
const span = (text: string): { shortest: number; longest: number } => {
  const [shortest = 0, longest = shortest, ...more] = text.split("..").map(duration);
  if (more.length === 0 && longest >= shortest) return { shortest, longest };
  return mustBe("a duration like 100ms, or two like 1s..2s, the shorter first");
};

/** All faults. Those that change a reply's bytes come first, then those that change its time, then those that end it. */
// deno-fmt-ignore
export const FAULTS = {
  drop: { on: "reply", read: none, means: "no reply to this message; the conversation continues" },
  twice: { on: "reply", read: none, means: "the reply, twice" },
  corrupt: { value: "[=N]", on: "reply", read: some, means: "N (1) of the reply's bytes are changed, but no ending or LF" },
  noise: { value: "=BYTES", on: "reply", read: noise, means: "random bytes and the reply's ending, instead of the reply" },
  error: { value: "=TEXT", on: "reply", read: words, means: '"error: TEXT" instead; the conversation continues' },
  delay: { value: "=DUR[..DUR]", on: "time", read: span, means: "the reply is sent DUR later, or a time drawn from between" },
  slice: { value: "=BYTES[/DUR]", on: "bytes", read: slices, means: "the reply in segments of BYTES, DUR (1ms) apart" },
  rate: { value: "=BYTES", on: "bytes", read: some, means: "at most BYTES are sent per second, in a steady stream" },
  cut: { value: "=BYTES", on: "bytes", read: bytes, means: "the first BYTES of the reply, then end-of-file" },
  reset: { value: "[=BYTES]", on: "bytes", read: bytes, means: "the first BYTES (0) of the reply, then a reset" },
  stall: { value: "[=BYTES]", on: "bytes", read: bytes, means: "the first BYTES (0) of the reply, then nothing; it stays open" },
  deaf: { on: "bytes", read: none, means: "from this message on, the server reads nothing" },
  hold: { value: "=DUR", on: "connection", read: pause, means: "the server's end-of-file is sent DUR later" },
  life: { value: "=DUR[/reset]", on: "connection", read: life, means: "DUR after it began, the connection is ended (or reset)" },
  read: { value: "=BYTES", on: "connection", read: some, means: "the server reads at most BYTES per second" },
  refuse: { value: "[=reset]", on: "connection", read: refusal, means: "the connection is closed (or reset) at once" },
} as const satisfies Readonly<Record<string, Row>>;

/** The name of a fault. */
export type FaultName = keyof typeof FAULTS;

/** Returns true if a message or a connection is selected, by its number from 1. */
type Selection = (number: number, random: Random) => boolean;

/** A fault that was requested, with its value. */
export type Fault<Name extends FaultName = FaultName> = {
  [One in Name]: Readonly<ReturnType<typeof FAULTS[One]["read"]>> & {
    readonly name: One;
    /** The text of the request, without what selects messages and connections. */
    readonly request: string;
    /** The text that selects messages and connections. */
    readonly at: string;
    /** In a relay: on the way to the server. */
    readonly isUp: boolean;
    readonly messages: Selection;
    readonly connections: Selection;
  };
}[Name];

const NAMES = Object.keys(FAULTS) as FaultName[];
const ALL: Selection = () => true;

/** A value in quotes, which may hold commas and spaces. */
const QUOTED = String.raw`"(?:\\[^]|[^"\\])*"`;
/** The end of a fault: `@MESSAGES`, `@cCONNECTIONS` or both, in either order. */
const SELECTIONS = String.raw`(?:@[\d.%]+(?=@c)|@c[\d.%]+(?=@(?!c)))?(?:@[^@]*)?`;
const FAULT = new RegExp(`^(up:)?([^=]*?)(?:=(?:(${QUOTED})|([^]*?)))?(${SELECTIONS})$`);
const SELECTION = /^@c?(?:(\d+(?:\.\d+)?)%|(\d+)(?:\.\.(\d*))?)$/;
/** A fault, up to the next comma outside quotes. */
const ITEM = new RegExp(`([^=,]*(?:=${QUOTED})?[^,]*),`, "g");
/** Faults, up to the first space outside quotes; in raw framing, a line's end is in the message. */
const SPACE = String.raw`\t\n\r `;
const ORDERED = `[^=,${SPACE}]*(?:=${QUOTED})?[^,${SPACE}]*`;
const ORDER = new RegExp(`^!(${ORDERED}(?:,${ORDERED})*)`);

/** The faults for a help text: how each is written, and what it does. */
export function faultRows(): [string, string][] {
  return Object.entries<Row>(FAULTS).map(([name, { value = "", means }]) => [name + value, means]);
}

/**
 * Reads faults, separated by commas. Each is `NAME` or `NAME=VALUE`, then `@3`, `@3..`, `@3..5` or
 * `@10%` for some messages alone, and `@c3` and so on for some connections alone.
 *
 * @throws {RangeError} whose message says what is wrong, and what would be right
 */
export function readFaults(text: string): Fault[] {
  return Array.from(`${text},`.matchAll(ITEM), ([, item = ""]) => readFault(item.trim()));
}

function readFault(item: string): Fault {
  const [, up, name = "", quoted, plain, at = ""] = FAULT.exec(item) ?? [];
  const messages = readSelection(/@(?!c)[^@]*/.exec(at)?.[0]);
  const connections = readSelection(/@c[^@]*/.exec(at)?.[0]);
  const value = quoted?.slice(1, -1).replace(/\\(["\\])/g, "$1") ?? plain;
  const row = Object.hasOwn(FAULTS, name) ? FAULTS[name as FaultName] as Row : undefined;
  const form = row?.value ?? "";
  // Faults of whole connections select only those; `refuse@3` has always meant `refuse@c3`.
  const isMoved = row?.on === "connection" && messages !== ALL;
  // deno-fmt-ignore
  const why = firstOf([
    [name === "", `a fault is missing: choose among ${NAMES.join(", ")}`],
    [!row, `there is no fault ${quote(name)}: choose among ${NAMES.join(", ")}`],
    [plain?.startsWith('"'), `the value of ${name} must end at its second quote`],
    [!form && value !== undefined, `${name} takes no value: write ${name} alone`],
    [form.startsWith("=") && !value, `${name} needs a value: ${name}${form}`],
    [value === "", `${name} needs a value, or none: ${name}${form}`],
    [isMoved && (name !== "refuse" || connections !== ALL), `${name} can't choose messages: leave out ${quote(at)}, or write it as @c`],
  ]);
  if (why !== undefined) throw new RangeError(why);
  const when = isMoved ? { messages: ALL, connections: messages } : { messages, connections };
  const request = item.slice(0, item.length - at.length);
  const common = { name, request, at, isUp: up !== undefined, ...when };
  try {
    return { ...common, ...row?.read(value ?? "") } as Fault;
  } catch (error) {
    throw new RangeError(`the value of ${name} ${(error as Error).message}`);
  }
}

/** The first sentence that is true. */
function firstOf(rows: readonly (readonly [is: unknown, why: string])[]): string | undefined {
  return rows.find(([is]) => is)?.[1];
}

function readSelection(at = ""): Selection {
  if (at === "") return ALL;
  const [, share, from, end = from] = SELECTION.exec(at) ?? [];
  const percent = Number(share);
  if (percent > 0 && percent <= 100) return (_, random) => random() * 100 < percent;
  const [first, last] = [Number(from), Number(end || Infinity)];
  if (first >= 1 && last >= first) return (number) => number >= first && number <= last;
  const c = at.startsWith("@c") ? "c" : "";
  throw new RangeError(`${quote(at)} must be like @${c}3, @${c}3.., @${c}3..5 or @${c}10%`);
}

/**
 * Reads the faults that a message asks for, if it is an order: what is between `!` and the first space.
 *
 * @returns the faults, or none and what is wrong with them
 */
export function readOrder(message: Uint8Array, support: FaultSupport) {
  if (message[0] !== "!".charCodeAt(0)) return undefined;
  const [, order = ""] = ORDER.exec(new TextDecoder().decode(message)) ?? [];
  try {
    const faults = readFaults(order);
    const why = faults.map((fault) => describeUnsupported(fault, support, true)).find(Boolean);
    if (why === undefined) return { faults };
    throw new RangeError(why);
  } catch (error) {
    return { faults: [], error: `cannot use ${quote(order)}: ${(error as Error).message}` };
  }
}

/** The place where faults are to happen: datagrams have no connection, and not all connections can be reset. */
export interface FaultSupport {
  readonly transport: Addr["transport"];
  readonly resets: boolean;
  /** Of a relay: the transport to the server. */
  readonly up?: Addr["transport"];
}

/** Explains why a fault can't happen there, and which can; returns undefined if it can. */
export function describeUnsupported(fault: Fault, support: FaultSupport, isOrder = false) {
  const { name, at, isUp, request, connections } = fault;
  const { on } = FAULTS[name];
  const { up, transport, resets } = support;
  const among = (...kinds: Row["on"][]) =>
    `choose among ${NAMES.filter((name) => kinds.includes(FAULTS[name].on)).join(", ")}`;
  const isUdp = transport === "udp";
  const isUnix = (isUp ? up : transport) === "unix";
  const alone = name === "life" ? request.replace("/reset", "") : "refuse";
  // deno-fmt-ignore
  return firstOf([
    [isOrder && /^(refuse|life|read)$/.test(name), `${name} is no order: its client is here already`],
    [isOrder && at !== "", `an order is for its own message: leave out ${quote(at)}`],
    [isUp && !up, "only a relay has a way up: leave out up:"],
    [isUp && /^(refuse|life|deaf)$/.test(name), `${name} takes no up: leave it out`],
    [up && on === "reply", `a relay has no messages: ${among("time", "bytes", "connection")}`],
    [isUdp && (on === "bytes" || on === "connection"), `a datagram knows no ${name}: ${among("reply", "time")}`],
    [isUdp && connections !== ALL, "datagrams have no connections: leave out @c"],
    [isUdp && name === "noise" && fault.bytes > MAX_DATAGRAM, `a datagram has no room for that: at most ${MAX_DATAGRAM} bytes`],
    [isReset(fault) && isUnix, `a Unix socket knows no reset: choose cut, or ${alone} alone`],
    [isReset(fault) && !resets, "for a reset, pass listeners that `listen` opens with `resets: true`"],
  ]);
}

/** Returns true if a fault resets a connection. */
export function isReset(fault: Fault): boolean {
  return fault.name === "reset" || ("reset" in fault && fault.reset);
}
