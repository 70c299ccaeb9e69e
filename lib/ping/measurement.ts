/**
 * Measures round trips. Messages are sent when they are due, whether or not those before were
 * answered, and a round trip counts from the due time. So a stall shows in every message that it
 * delayed: there is no coordinated omission.
 */

import { onAbort, pause, sleep } from "../wait.ts";
import type { Framing } from "../wire/framing.ts";
import { anyLine, inTurn, type MessageKeys, numbered } from "../wire/message_keys.ts";
import { Queue } from "../wire/replies.ts";
import type { ReportedEvent } from "./events.ts";
import { type Outage, Outages } from "./outages.ts";
import { isSettled, type Probe, ReplyMatcher, Tally } from "./reply_matcher.ts";
import { Timeline } from "./timeline.ts";
import type { Transport, TransportCallbacks } from "./transport.ts";

/**
 * Limits of pending messages and of unwritten events. At a limit, sending pauses; delayed messages
 * still count from their due time.
 */
const MAX_PENDING = 100_000, MAX_UNWRITTEN = 10_000;
/**
 * Milliseconds by which timers fire early or late. A message that is late by at most LATE counts
 * from when it is sent. A later one counts from its due time, and the client is reported as late.
 */
const EARLY = 0.5, LATE = 5;
/** Messages sent per turn: the runtime does 128 operations a turn, and more would delay the replies. */
const BURST = 64;
/** How many connections are certain to be read during one `pause(0)`. */
const READ_PER_PAUSE = 100;
/** The pause before a message with no interval, while messages fail, in ms. */
const RETRY = 50;
/** With several connections, a problem is not reported within this time after another, in ms. */
const MIN_COMPLAINT_INTERVAL = 1000;

const BLOCKED =
  "the server has stopped reading: messages are queued, and count from when they were due";
const encoder = new TextEncoder();

/** How to measure. Times are at most MAX_TIMER of `checks.ts`. */
export interface MeasurementOptions {
  /** Sent in turn, over and over; if there are none, `ping 1`, `ping 2` and so on. */
  readonly messages: readonly Uint8Array[];
  /** From one message of a connection to its next, in ms; 0 sends each once the one before is settled. */
  readonly interval: number;
  /** Messages to send, over all connections; undefined: until aborted. */
  readonly count?: number | undefined;
  /** How long to keep sending, in ms; undefined: until aborted. */
  readonly duration?: number | undefined;
  /** How long a reply may take, in ms; 0 is no limit. */
  readonly timeout: number;
  /** Any line is a reply. */
  readonly any: boolean;
  /** Connections at once. */
  readonly connections: number;
  readonly framing: Framing;
  /** The server sends first: no message is sent before its greeting has come. */
  readonly greeting: boolean;
}

/** The callbacks of a measurement. */
export interface MeasurementCallbacks {
  /** Reports an event; settles once that is written. */
  report(event: ReportedEvent): Promise<void>;
  /** Reports what concerns more than one message, in a sentence. */
  complain(sentence: string): void;
}

/**
 * The messages of one transport: over a connection and those that replace it, over a UDP socket,
 * or attempts to connect.
 */
interface Lane {
  readonly number: number;
  readonly matcher: ReplyMatcher;
  readonly transport: Transport;
  /** The message sent last, while it is not known to be answered or lost. */
  last?: Probe | undefined;
}

/** A measurement over one or more connections. */
export class Measurement {
  /** The present problem, as a sentence. */
  trouble: string | undefined;

  readonly tally = new Tally();
  readonly timeline = new Timeline();
  readonly #keys: MessageKeys;
  readonly #outages = new Outages();
  readonly #lanes: Lane[] = [];
  readonly #idle: Lane[] = []; // without an interval: those whose message is answered
  readonly #over = new AbortController();
  readonly #inFlight = new Queue<{ probe: Probe; lane: Lane; at: number }>(); // in the order of sending
  readonly #done = Promise.withResolvers<void>();
  #begun = Infinity;
  #ended: number | undefined;
  #isComplete = false; // no more messages are due
  #timer: ReturnType<typeof setTimeout> | undefined; // for the next message that is due
  #unwritten = 0; // events
  #written: Promise<void> | undefined; // the last event, and so those before it
  #resumedAt = 0; // when sending last resumed after a limit, or after a reply
  #complaint = { sentence: "", at: -Infinity, lane: undefined as Lane | undefined };

  constructor(readonly options: MeasurementOptions, readonly callbacks: MeasurementCallbacks) {
    const { any, messages } = options;
    this.#keys = any ? anyLine : messages.length > 0 ? inTurn(messages) : numbered;
    this.#done.promise.catch(() => {}); // it may fail before it runs
  }

  /** The time since the first message was due, in ms. */
  get elapsed(): number {
    return Math.max(0, (this.#ended ?? performance.now()) - this.#begun);
  }

  /** The outages so far. */
  get outages(): Outage[] {
    return this.#outages.until(this.#ended ?? performance.now());
  }

  /** How long the oldest pending reply has been awaited, in ms. */
  get waiting(): number {
    const now = performance.now();
    return now - (this.#inFlight.first?.probe.since ?? now);
  }

  /**
   * Adds a connection.
   * @param make makes its transport, which is closed with the measurement
   */
  add<T extends Transport>(make: (callbacks: TransportCallbacks) => T): T {
    const matcher = new ReplyMatcher(this.#keys, this.tally, this.options.connections);
    const transport = make({
      opened: () => void this.tally.connects++,
      sent: (probe) => matcher.sent(probe),
      received: (line) => {
        const match = matcher.match(line, performance.now());
        if (match.event === "reply") this.#answered(lane, match.duration);
        this.#report(lane, { ...match, bytes: line.length, data: line.slice() });
        this.#settled(lane);
        return this.#unwritten < MAX_UNWRITTEN ? undefined : this.#written;
      },
      connected: (probe, steps) => {
        const duration = performance.now() - probe.since;
        matcher.settle(probe, "answered");
        this.tally.connects++;
        this.#answered(lane, duration);
        this.#report(lane, { event: "connection", seq: probe.seq, duration, ...steps });
        this.#settled(lane);
      },
      disconnected: (failure, silence) => {
        if (failure !== undefined) {
          this.trouble = failure;
          this.#complain(lane, failure);
          this.#report(lane, { event: "disconnected", reason: failure, silence });
        }
        for (const probe of matcher.disconnect()) this.#lost(lane, probe, "cut", failure);
        this.#settled(lane);
      },
      unreachable: (probe, failure) => {
        this.#complain(lane, failure);
        this.#lost(lane, probe, probe.state === "sent" ? "lost" : "cut", failure);
        this.#settled(lane);
      },
      blocked: () => this.#complain(lane, BLOCKED),
      failed: (failure) => this.#done.reject(failure),
    });
    const lane: Lane = { number: this.#lanes.length + 1, matcher, transport };
    this.#lanes.push(lane);
    return transport;
  }

  /**
   * Measures until all messages are sent, and answered or lost; or until the signal.
   * @throws {Error} when it can't continue
   */
  async run(signal: AbortSignal): Promise<void> {
    this.#begun = performance.now();
    for (const lane of this.#lanes) this.#idle.push(lane);
    onAbort(signal, this.#done.resolve);
    if (this.options.timeout > 0) this.#watch(this.options.timeout);
    try {
      this.#sendDue();
      await this.#done.promise;
    } finally {
      this.#ended = performance.now();
      clearTimeout(this.#timer);
      this.#over.abort();
      this.#findOutages();
      for (const { transport } of this.#lanes) transport[Symbol.dispose]();
    }
  }

  /** When the next message is due, or none any more; Infinity while a limit or a reply has a say in it. */
  get #nextDue(): number {
    const { interval, duration = Infinity } = this.options;
    const { sent, pending } = this.tally;
    if (pending >= MAX_PENDING || this.#unwritten >= MAX_UNWRITTEN) return Infinity;
    const now = this.#idle.length === 0 ? Infinity : performance.now();
    const due = interval > 0 ? this.#begun + sent * interval / this.#lanes.length : now;
    return Math.min(due, this.#begun + duration);
  }

  /** Sends what is due, and looks again when more is. */
  #sendDue(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { count = Infinity, duration = Infinity } = this.options;
    const end = this.#begun + duration;
    let room = BURST;
    while (!(this.#isComplete ||= this.tally.sent >= count)) {
      const due = this.#nextDue;
      const wait = due - performance.now();
      if (wait > EARLY || room-- === 0) {
        // A timer, since setImmediate would keep the runtime from polling for input.
        if (due < Infinity) this.#timer = setTimeout(() => this.#sendDue(), Math.max(0, wait));
        return;
      }
      if (due < end) this.#send(due);
      else this.#isComplete = true;
    }
    if (this.tally.pending === 0) this.#done.resolve();
  }

  #send(due: number): void {
    const { messages, interval } = this.options;
    const number = this.tally.sent;
    const paced = this.#lanes[number % this.#lanes.length];
    const lane = (interval > 0 ? paced : this.#idle.shift()) as Lane;
    const message = messages[number % messages.length] ?? encoder.encode(`ping ${number + 1}`);
    const now = performance.now();
    const delay = now - Math.max(due, this.#resumedAt);
    if (delay > LATE) {
      this.tally.behind = Math.max(this.tally.behind, delay);
      this.tally.delayed++;
    }
    const probe = lane.matcher.add(message, now - due > LATE ? due : now);
    lane.last = probe;
    this.#inFlight.push({ probe, lane, at: now });
    lane.transport.send(probe);
  }

  /** Gives up messages that have been pending for too long; one timer serves all. */
  async #watch(timeout: number): Promise<void> {
    for (;;) {
      const { at = performance.now() } = this.#inFlight.first ?? {};
      await sleep(Math.max(0, at + timeout - performance.now()), this.#over.signal);
      // Replies may have arrived unread: the runtime reads only some connections per turn.
      for (let rest = this.#lanes.length; rest > 0 && !this.#ended; rest -= READ_PER_PAUSE) {
        await pause(0);
      }
      if (this.#ended !== undefined) return;
      const latest = performance.now() - timeout;
      const lanes = new Set<Lane>();
      for (let first; (first = this.#inFlight.first) !== undefined && first.at <= latest;) {
        this.#lost(first.lane, first.probe, "lost", `no reply within ${timeout / 1000}s`);
        this.#findOutages();
        lanes.add(first.lane);
      }
      for (const lane of lanes) this.#settled(lane, timeout);
    }
  }

  #answered(lane: Lane, duration: number): void {
    this.timeline.record(this.elapsed - duration, duration);
    this.trouble = undefined;
    if (lane === this.#complaint.lane) this.#complaint.sentence = "";
  }

  #lost(lane: Lane, probe: Probe, state: "lost" | "cut", reason?: string): void {
    lane.matcher.settle(probe, state);
    this.trouble = reason ?? this.trouble;
    this.timeline.record(probe.since - this.#begun, Infinity);
    this.#report(lane, { event: "lost", seq: probe.seq, reason });
  }

  /**
   * Called when messages were answered or lost: sends what waited for that.
   * @param timeout in ms, if no reply came in time
   */
  async #settled(lane: Lane, timeout?: number): Promise<void> {
    this.#findOutages();
    lane.transport.settled?.(timeout);
    if (this.options.interval === 0 && lane.last !== undefined && isSettled(lane.last)) {
      lane.last = undefined;
      if (this.trouble !== undefined && !this.#isComplete) await sleep(RETRY, this.#over.signal);
      this.#idle.push(lane);
    }
    this.#resume();
  }

  /** Sends what is due, unless a timer or a caller is going to. */
  #resume(): void {
    const isTimed = this.options.interval > 0 && this.#timer !== undefined;
    if (isTimed || this.#ended !== undefined) return;
    this.#resumedAt = performance.now();
    this.#sendDue();
  }

  /** Removes the messages before the oldest pending one, and reports the outages that they end. */
  #findOutages(): void {
    const isOver = this.#ended !== undefined;
    for (let probe; (probe = this.#inFlight.first?.probe) && (isOver || isSettled(probe));) {
      this.#inFlight.shift();
      const outage = this.#outages.record(probe);
      if (outage !== undefined) this.#report(undefined, { event: "outage", ...outage });
    }
  }

  #report(lane: Lane | undefined, event: ReportedEvent): void {
    this.#unwritten++;
    if (lane && this.#lanes.length > 1) Object.assign(event, { connection: lane.number });
    this.#written = this.callbacks.report(event).then(() => {
      if (this.#unwritten-- === MAX_UNWRITTEN) this.#resume();
    }, (error) => this.#done.reject(error));
  }

  /** Reports a problem, unless it was just reported, and the connection has had no reply since. */
  #complain(lane: Lane, sentence: string): void {
    const { sentence: last, at } = this.#complaint;
    const isTooSoon = this.#lanes.length > 1 && performance.now() - at < MIN_COMPLAINT_INTERVAL;
    if (sentence === last || isTooSoon) return;
    this.#complaint = { lane, sentence, at: performance.now() };
    this.callbacks.complain(sentence);
  }
}
