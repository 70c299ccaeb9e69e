/** Which faults happen to a connection, to a message of it, and to its bytes; and what they make of a reply. Pure. */

import { describeUnsupported, isReset, readFaults, readOrder } from "./grammar.ts";
import { type Fault, type FaultName, FAULTS, type FaultSupport } from "./grammar.ts";
import { CR, LF } from "../wire/framing.ts";
import { errorReply } from "../wire/message.ts";
import { quote } from "../wire/quote.ts";
import { type Random, randomOf } from "./random.ts";

/** The faults of a message's reply, or of all bytes of one direction. */
export interface FaultPlan {
  /** The number of the message in its conversation, from 1. */
  readonly message?: number;
  /** Of several with one name, the first counts; those of a reply are once each. */
  readonly faults: readonly Fault[];
  /** The answer to an order that can't be read. */
  readonly error?: string;
  /** The source of all that is random in them. */
  readonly random: Random;
}

/** The options of a server that request faults. */
export interface FaultOptions {
  readonly faults?: string | Faults | undefined;
  readonly orders?: boolean | undefined;
  readonly seed?: number | undefined;
}

/**
 * Faults that were read, for several servers, or to know the seed of what is random in them.
 *
 * ```ts
 * import { Faults, serve } from "@readback/readback";
 *
 * const faults = Faults.read("drop@10%"); // with { seed } the same messages again
 * await using _server = serve((message, reply) => reply.write(message), { faults });
 * console.log(`faults: ${faults}; seed ${faults.seed}`);
 * ```
 */
export class Faults {
  /** @internal */
  constructor(
    /**
     * In the order of the request.
     *
     * @internal
     */
    readonly list: readonly Fault[],
    /** True if messages may request more. */
    readonly orders: boolean = false,
    /** Determines everything random. */
    readonly seed: number = crypto.getRandomValues(new Uint32Array(1))[0] as number,
  ) {}

  /**
   * Reads faults, separated by commas, as `--fault` takes them.
   *
   * @param options allow messages to request more, and set the seed: without one, it is drawn
   * @throws {RangeError} whose message says what is wrong, and what would be right
   */
  static read(text: string, options: { orders?: boolean; seed?: number } = {}): Faults {
    return new Faults(readFaults(text), options.orders, options.seed);
  }

  /**
   * Reads the faults that options request, if any.
   *
   * @throws {RangeError} if it can't be read, or can't happen there
   * @internal
   */
  static from(options: FaultOptions, support: FaultSupport): ChooseFaults | undefined {
    const { faults, orders, seed } = options;
    if (faults === undefined && !orders) return undefined;
    const list = typeof faults === "string" ? readFaults(faults) : [];
    const read = faults instanceof Faults ? faults : new Faults(list, orders, seed);
    const why = read.describeUnsupported(support);
    if (why !== undefined) throw new RangeError(why);
    return (connection) => new ConnectionFaults(read, support, connection);
  }

  /** Returns the request: `delay=100ms, reset@3`. */
  toString(): string {
    return this.list.map(textOf).join(", ");
  }

  /**
   * Names the first that can't happen there, and says why, if there is one.
   *
   * @internal
   */
  describeUnsupported(support: FaultSupport): string | undefined {
    const wrong = this.list.find((fault) => describeUnsupported(fault, support));
    return wrong && `cannot use ${quote(textOf(wrong))}: ${describeUnsupported(wrong, support)}`;
  }

  /**
   * True if connections must be ones that can be reset.
   *
   * @internal
   */
  get resets(): boolean {
    return this.orders || this.list.some(isReset);
  }
}

/** Chooses the faults of a connection, by its number from 1. */
export type ChooseFaults = (connection: number) => ConnectionFaults;

/** The faults of one connection. */
export class ConnectionFaults {
  /** In the order of the request. */
  readonly list: readonly Fault[];

  constructor(readonly faults: Faults, readonly support: FaultSupport, readonly number: number) {
    const random = randomOf(faults.seed, number, 0);
    // In a relay, which has no messages, both select connections.
    this.list = faults.list.filter(({ messages, connections }) =>
      connections(number, random) && (!support.up || messages(number, random))
    );
  }

  /**
   * Plans what happens to a message.
   * @param message its number in the conversation, from 1
   * @param bytes the message, which may be an order
   */
  plan(message: number, bytes: Uint8Array): FaultPlan {
    const random = randomOf(this.faults.seed, this.number, message);
    const order = this.faults.orders ? readOrder(bytes, this.support) : undefined;
    const faults = order?.faults ?? this.list.filter(({ messages }) => messages(message, random));
    const once = faults.filter((fault) => fault === find(faults, fault.name));
    return { message, random, ...order, faults: once };
  }

  /** Plans what happens to all bytes of one direction: where there are messages, nothing of theirs. */
  planStream(isUp = false): FaultPlan {
    const random = randomOf(this.faults.seed, this.number, isUp ? 1 : 2);
    const isAll = (name: FaultName) => this.support.up || FAULTS[name].on === "connection";
    return { random, faults: this.list.filter(({ name, isUp: up }) => up === isUp && isAll(name)) };
  }
}

/** Draws the delay of a reply, in whole ms. */
export function drawDelay({ shortest, longest }: Fault<"delay">, { random }: FaultPlan): number {
  return Math.round(shortest + random() * (longest - shortest));
}

/** The first fault of this name, if there is one. */
export function find<N extends FaultName>(faults: readonly Fault[], name: N) {
  return faults.find((fault): fault is Fault & Fault<N> => fault.name === name);
}

const textOf = ({ request, at }: Fault): string => request + at;

/**
 * Makes what is sent instead of a reply, each without its ending: nothing, one reply or two.
 *
 * @param reply undefined if there is none
 * @param report is called with each fault that happens
 */
export function applyReplyFaults(
  reply: Uint8Array | undefined,
  { faults, error, random }: FaultPlan,
  report: (fault: Fault) => void,
): Uint8Array[] {
  if (error !== undefined) return [errorReply(error)];
  if (reply === undefined) return [];
  let bytes = reply;
  for (const fault of faults) {
    if (FAULTS[fault.name].on !== "reply") continue;
    report(fault);
    if (fault.name === "drop") return [];
    if (fault.name === "error") bytes = errorReply(fault.text);
    if (fault.name === "corrupt") bytes = corrupted(bytes, fault.bytes, random);
    if (fault.name === "noise") bytes = new Uint8Array(fault.bytes).map(() => random() * 256);
  }
  return find(faults, "twice") ? [bytes, bytes] : [bytes];
}

/** Copies bytes and changes some of them. An LF stays, and none comes: there are as many lines. */
function corrupted(bytes: Uint8Array, count: number, random: Random): Uint8Array {
  let left = bytes.filter((byte) => byte !== LF).length;
  return bytes.map((byte) => {
    if (byte === LF || random() * left-- >= count) return byte;
    count--;
    let other = byte; // no CR either: it would be taken for a part of the ending
    while ([byte, LF, CR].includes(other)) other = (byte + 1 + Math.floor(random() * 255)) % 256;
    return other;
  });
}
