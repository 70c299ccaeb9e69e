/** Which message a reply answers, in constant time however many are pending. Pure: times are parameters. */

import { isErrorReply } from "../wire/message.ts";
import { anyLine, type MessageKeys } from "../wire/message_keys.ts";
import { Queue } from "../wire/replies.ts";

/**
 * `queued` until it is sent, `sent` while its reply is pending. Then `answered`, `wrong` (something
 * else came instead), `lost` (no reply in time) or `cut` (its connection was lost). A lost message
 * whose reply comes after all is `late`.
 */
export type ProbeState = "queued" | "sent" | "answered" | "wrong" | "lost" | "cut" | "late";

/** A message of a measurement. */
export interface Probe {
  /** Its number, from 1. */
  readonly seq: number;
  readonly message: Uint8Array;
  /** The time from which its round trip counts, by `performance.now()`. */
  readonly since: number;
  state: ProbeState;
}

/** The meaning of a line from the server. Durations are in ms. */
export type Match =
  | { readonly event: "reply" | "late"; readonly seq: number; readonly duration: number }
  | { readonly event: "wrong" | "duplicate"; readonly seq: number }
  | { readonly event: "unsolicited" };

/** The fates of the messages, counted over all connections. */
export class Tally {
  sent = 0;
  /** Messages that are neither answered nor given up. */
  pending = 0;
  /** Messages whose reply came in time. */
  answered = 0;
  /** Messages for which something else came. */
  wrong = 0;
  /** Replies that came after their message had been given up. */
  late = 0;
  /** Replies to messages that had been answered. */
  duplicate = 0;
  /** Connections made. */
  connects = 0;
  /** Messages that the client itself sent too late, and by how much at most, in ms. */
  delayed = 0;
  behind = 0;
}

/** Messages that are remembered once they are settled, over all connections. */
const MAX_ANSWERED = 1000, MAX_LOST = 100_000;

/**
 * The meaning of a line that holds a message, by the message's state. Of several messages, the line
 * answers one in the state that comes first.
 */
const MEANINGS: Partial<Record<ProbeState, "reply" | "late" | "duplicate">> = {
  sent: "reply",
  wrong: "reply",
  lost: "late",
  answered: "duplicate",
  late: "duplicate",
};
const RANK = Object.keys(MEANINGS);

/** Matches lines to the messages of one connection. */
export class ReplyMatcher {
  readonly #byKey = new Map<number, Queue<Probe>>();
  readonly #sent = new Queue<Probe>(isSettled);
  readonly #next = new Queue<Probe>((probe) => isSettled(probe) || probe.seq <= this.#last);
  readonly #answered = new Queue<Probe>();
  readonly #lost = new Queue<Probe>(({ state }) => state === "late");
  #last = 0; // the highest number that a line was matched to

  /**
   * @param tally counts for several matchers
   * @param matchers that share the memory for settled messages
   */
  constructor(readonly keys: MessageKeys, readonly tally: Tally, readonly matchers = 1) {}

  /**
   * Adds a message that is due.
   * @param since the time from which its round trip counts
   */
  add(message: Uint8Array, since: number): Probe {
    this.tally.pending++;
    return { seq: ++this.tally.sent, message, since, state: "queued" };
  }

  /** Records that a message is sent: from now on a line can answer it. */
  sent(probe: Probe): void {
    probe.state = "sent";
    const key = this.keys.keyOf(probe.seq);
    const equal = this.#byKey.get(key) ?? new Queue(this.keys.areUnique ? undefined : isSettled);
    this.#byKey.set(key, equal);
    for (const queue of [this.#sent, this.#next, equal]) queue.push(probe);
  }

  /** Finds the message that a line answers. */
  match(line: Uint8Array, now: number): Match {
    const found = this.#find(line);
    // Servers answer in order, or leave a message out.
    const probe = found ?? this.#next.first ?? this.#sent.first;
    if (probe === undefined) return { event: "unsolicited" };
    const { seq, since } = probe;
    const event = found && MEANINGS[found.state] || "wrong";
    if (event === "duplicate") this.tally.duplicate++;
    else this.settle(probe, event === "reply" ? "answered" : event);
    if (event === "duplicate" || event === "wrong") return { event, seq };
    return { event, seq, duration: now - since };
  }

  /** Records the fate of a message, remembers it, and forgets the oldest of too many. */
  settle(probe: Probe, state: "answered" | "wrong" | "late" | "lost" | "cut"): void {
    if (!isSettled(probe)) this.tally.pending--;
    if (probe.state === "wrong") this.tally.wrong--; // that line was unsolicited
    probe.state = state;
    const isLost = state === "lost" || state === "cut";
    if (!isLost) {
      this.tally[state]++;
      this.#last = Math.max(this.#last, probe.seq);
    }
    if (!this.keys.areUnique) return;
    const settled = isLost ? this.#lost : this.#answered;
    settled.push(probe);
    const isFull = settled.length > (isLost ? MAX_LOST : MAX_ANSWERED) / this.matchers;
    const oldest = isFull ? settled.shift() : undefined;
    if (oldest !== undefined) this.#byKey.delete(this.keys.keyOf(oldest.seq));
  }

  /**
   * Forgets what was sent, since the connection is lost: no reply can come any more.
   * @returns the messages that are pending, oldest first
   */
  *disconnect(): Generator<Probe> {
    this.#byKey.clear();
    for (let probe; (probe = this.#sent.shift()) !== undefined;) yield probe;
  }

  /** The oldest message in a line that is pending, or else one that is settled; none in a refusal. */
  #find(line: Uint8Array): Probe | undefined {
    if (this.keys !== anyLine && isErrorReply(line)) return undefined;
    return this.keys.keysIn(line).flatMap((key) => this.#byKey.get(key)?.first ?? [])
      .sort((a, b) => RANK.indexOf(a.state) - RANK.indexOf(b.state) || a.seq - b.seq)[0];
  }
}

/** Returns whether a message is answered or given up. */
export function isSettled({ state }: Probe): boolean {
  return state !== "queued" && state !== "sent";
}
