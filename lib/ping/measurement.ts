/**
 * Measures round trips. Messages are said when they are due, whether or not those before were
 * answered, and a round trip counts from then: a server that stalls is seen in every message it delayed.
 */

import { onAbort, pause } from "../wait.ts";
import { type Match, type Probe, ReplyMatcher } from "./reply_matcher.ts";
import type { Transport, TransportCallbacks } from "./transport.ts";
import type { ReportedEvent } from "./events.ts";

/** How many messages may be under way, and events untold; the next wait, and count from when they were due. */
const MOST_UNDER_WAY = 100_000;
const MOST_UNTOLD = 10_000;
/** A server that takes nothing for longer than this is said to hold messages up, in ms. */
const PATIENCE = 300;
/**
 * A timer of ours that rings late is no delay of the server's: a message counts from when it
 * rang, unless that was later than this, in ms.
 */
const LATE_TIMER = 20;
/** The pause before the next message where there is no interval, and no connection that lasts, in ms. */
const RETRY = 50;

const encoder = new TextEncoder();

/** How to measure. */
export interface MeasurementOptions {
  /** Said in turn, over and over; without any, `ping 1`, `ping 2` and so on. */
  readonly messages: readonly Uint8Array[];
  /** From one message to the next, in ms; 0 says each as soon as the one before is answered. */
  readonly interval: number;
  /** How many messages to say; without, until it is stopped. */
  readonly count?: number | undefined;
  /** How long a reply may take, in ms; 0 is for ever. */
  readonly timeout: number;
  /** Whether any line is a reply. */
  readonly any: boolean;
}

/** Who is told. */
export interface MeasurementCallbacks {
  /** Something happened; settles once that is written. */
  tell(event: ReportedEvent): Promise<void>;
  /** Something is wrong with more than one message. */
  complain(sentence: string): void;
}

/** A measurement. */
export class Measurement implements TransportCallbacks {
  /** What went wrong last, in words. */
  trouble: string | undefined;

  readonly #ledger: ReplyMatcher;
  readonly #failed = Promise.withResolvers<never>();
  #link: Transport | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined; // for the message that has waited longest
  #isFailing = false;
  #complaint: string | undefined; // the last, while it holds
  #untold = 0;
  #waiting: (() => void)[] = []; // until less is under way, or untold

  constructor(readonly options: MeasurementOptions, readonly listener: MeasurementCallbacks) {
    this.#ledger = new ReplyMatcher(options.any);
    this.#failed.promise.catch(() => {}); // it may fail before it is run
  }

  /** How many messages were sent, and what became of them. */
  get tally(): Readonly<ReplyMatcher> {
    return this.#ledger;
  }

  /** For how long the oldest reply that is due has been waited for, in ms. */
  get waiting(): number {
    const { oldest } = this.#ledger;
    return oldest === undefined ? 0 : performance.now() - oldest.since;
  }

  /**
   * Measures until all messages are said, and answered or lost; or until the signal.
   * @param link owned from here on
   * @throws {Error} when it can't go on
   */
  async run(link: Transport, signal: AbortSignal): Promise<void> {
    this.#link = link;
    const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
    const letGo = onAbort(signal, stop);
    try {
      await Promise.race([this.#sayAll(link, signal), stopped, this.#failed.promise]);
    } finally {
      letGo();
      clearTimeout(this.#timer);
      link[Symbol.dispose](); // what comes from now on does not count
    }
  }

  heard(line: Uint8Array): Promise<void> | undefined {
    const found = this.#ledger.heard(line, performance.now());
    this.#tell(eventOf(found, line.slice()));
    if (found.kind === "wrong") {
      this.trouble = "a reply does not hold its message (--any takes any line for one)";
    }
    if (found.kind === "reply") this.#goesWell();
    if (found.kind === "reply" || found.kind === "wrong") this.#settled();
    return this.#isBehind ? this.#until(() => !this.#isBehind) : undefined;
  }

  connected(said: Probe, connect: number, handshake?: number): void {
    const { seq } = said;
    const duration = this.#ledger.answer(said, performance.now());
    const shaken = handshake === undefined ? {} : { handshake };
    this.#tell({ event: "connection", seq, duration, connect, ...shaken });
    this.#goesWell();
    this.#settled();
  }

  disconnected(failure: string | undefined, silence: number): void {
    if (failure !== undefined) {
      this.trouble = failure;
      this.#isFailing = true;
      this.#complainOnce(failure);
      this.#tell({ event: "disconnected", reason: failure, silence });
    }
    this.#tellLost(this.#ledger.disconnect(), failure);
    this.#settled();
  }

  unreachable(messages: readonly Probe[], failure: string): void {
    this.trouble = failure;
    this.#isFailing = true;
    this.#complainOnce(failure);
    for (const said of messages) this.#ledger.lose(said);
    this.#tellLost(messages, failure);
    this.#settled();
  }

  failed(failure: unknown): void {
    this.#failed.reject(failure);
  }

  /** What happens is told more slowly than it happens. */
  get #isBehind(): boolean {
    return this.#untold >= MOST_UNTOLD;
  }

  async #sayAll(link: Transport, signal: AbortSignal): Promise<void> {
    const { interval, count = Infinity } = this.options;
    const begun = performance.now();
    for (let number = 0; number < count; number++) {
      const isPaced = interval > 0;
      const due = isPaced ? begun + number * interval : await this.#whenAnswered();
      const rang = await this.#whenDue(due, signal);
      await this.#until(() => this.#ledger.underWay < MOST_UNDER_WAY && !this.#isBehind);
      if (signal.aborted) return;
      this.#say(link, number, rang);
    }
    await this.#until(() => this.#ledger.underWay === 0);
  }

  /** Without an interval: a message is due once the one before is answered. */
  async #whenAnswered(): Promise<number> {
    await this.#until(() => this.#ledger.underWay === 0);
    return performance.now() + (this.#isFailing ? RETRY : 0);
  }

  /** Waits until a message is due; the time from which its reply's counts. */
  async #whenDue(due: number, signal: AbortSignal): Promise<number> {
    if (due > performance.now()) await sleepUntil(due, signal);
    const rang = performance.now();
    return rang - due <= LATE_TIMER ? rang : due;
  }

  #say(link: Transport, number: number, since: number): void {
    const { messages } = this.options;
    const message = messages[number % messages.length] ?? encoder.encode(`ping ${number + 1}`);
    const { blockedSince } = link;
    if (blockedSince !== undefined && since - blockedSince > PATIENCE) {
      this.#complainOnce(
        "the server takes no more messages for now: they wait, and count from when they were due",
      );
    }
    link.say(this.#ledger.add(message, since));
    if (this.#timer === undefined) this.#watch();
  }

  /** Sees to it that no message is waited for longer than it may be; one timer does for all. */
  #watch(): void {
    const { timeout } = this.options;
    const { oldest } = this.#ledger;
    if (timeout === 0 || oldest === undefined) return;
    this.#timer = setTimeout(async () => {
      await pause(0); // a reply may be here, and not read yet
      this.#expire(timeout);
      this.#timer = undefined;
      this.#watch();
    }, Math.max(0, oldest.since + timeout - performance.now()));
  }

  #expire(timeout: number): void {
    const now = performance.now();
    const lost = this.#ledger.expire(now - timeout);
    if (lost.length === 0) return;
    const { blockedSince = now } = this.#link ?? {};
    this.trouble = `no reply within ${timeout / 1000}s`;
    this.#tellLost(lost, this.trouble);
    if (now - blockedSince >= timeout) {
      this.#link?.drop(`the server has taken nothing for ${timeout / 1000}s`);
    } else this.#link?.lost();
    this.#settled();
  }

  #settled(): void {
    this.#wake();
    this.#link?.settled();
  }

  /** Waits until something is so; it is looked at whenever a message is settled, or an event told. */
  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #tellLost(messages: readonly Probe[], reason: string | undefined): void {
    const why = reason === undefined ? {} : { reason };
    for (const { seq } of messages) this.#tell({ event: "lost", seq, ...why });
  }

  #tell(event: ReportedEvent): void {
    this.#untold++;
    this.listener.tell(event).then(() => {
      const wasBehind = this.#isBehind;
      this.#untold--;
      if (wasBehind) this.#wake();
    }, (error) => this.#failed.reject(error));
  }

  #goesWell(): void {
    this.#isFailing = false;
    this.#complaint = undefined;
  }

  /** What holds for many messages is said once. */
  #complainOnce(sentence: string): void {
    if (sentence !== this.#complaint) this.listener.complain(sentence);
    this.#complaint = sentence;
  }
}

function eventOf(found: Match, data: Uint8Array): ReportedEvent {
  const { kind, ...fields } = found;
  return { event: kind, ...fields, bytes: data.length, data } as ReportedEvent;
}

function sleepUntil(due: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, Math.max(0, due - performance.now()));
  const letGo = onAbort(signal, resolve);
  return promise.finally(() => {
    clearTimeout(timer);
    letGo();
  });
}
