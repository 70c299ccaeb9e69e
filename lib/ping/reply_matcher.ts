/** Which message a reply answers, in constant time however many are pending. Pure: times are parameters. */

import { isErrorReply } from "../wire/error_reply.ts";
import { Queue } from "./queue.ts";

/**
 * `queued` until it is sent, `sent` while its reply is pending; then `answered`, `wrong` (something
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

/** What a line from the server is. Durations are in ms. */
export type Match =
  | { readonly kind: "reply" | "late"; readonly seq: number; readonly duration: number }
  | { readonly kind: "wrong" | "duplicate"; readonly seq: number }
  | { readonly kind: "unsolicited" };

/** What became of the messages, counted over all connections. */
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
}

/** How messages are recognized in replies: equal messages have equal keys. */
export interface Keys {
  /** The key of a message, by its number. */
  keyOf(seq: number): number;
  /** The keys of all messages that a line holds. */
  keysIn(line: Uint8Array): readonly number[];
}

/** Messages that are remembered once they are settled, over all connections. */
const MOST_ANSWERED = 1000;
const MOST_LOST = 100_000;

/** Decodes each byte to a character of its own: a search in the text is a search in bytes. */
const latin1 = new TextDecoder("latin1");
/** A character that is part of a word, or may be. */
const WORD = "[\\w\\u0080-\\uffff]";
const NUMBERED = new RegExp(`(?<!${WORD})ping ([1-9]\\d*)(?!${WORD})`, "g");

/** Keys of the messages `ping 1`, `ping 2` and so on. */
export const numbered: Keys = {
  keyOf: (seq) => seq,
  keysIn: (line) => [...latin1.decode(line).matchAll(NUMBERED)].map(([, seq]) => Number(seq)),
};

/** The single key of messages that any line answers. */
export const anyLine: Keys = { keyOf: () => 0, keysIn: () => [0] };

/** Keys of messages that are sent in turn, over and over. */
export function inTurn(messages: readonly Uint8Array[]): Keys {
  const texts = messages.map((message) => latin1.decode(message));
  const keys = texts.map((text) => texts.indexOf(text));
  const distinct = [...new Set(keys)].map((key) => ({ key, words: wordsOf(texts[key] as string) }));
  return {
    keyOf: (seq) => keys[(seq - 1) % keys.length] as number,
    keysIn: (line) => {
      const text = latin1.decode(line);
      return distinct.filter(({ words }) => words.test(text)).map(({ key }) => key);
    },
  };
}

/** Matches lines to the messages of one connection. */
export class ReplyMatcher {
  readonly #sent: Shelf;
  readonly #settled: readonly Shelf[];
  #last = 0; // the highest number that a line was matched to

  /**
   * @param tally counts for several matchers
   * @param matchers that share the memory for settled messages
   */
  constructor(readonly keys: Keys, readonly tally: Tally, matchers = 1) {
    const limit = (most: number) => keys === anyLine ? 0 : Math.ceil(most / matchers);
    this.#sent = new Shelf(keys, ["sent"], Infinity);
    this.#settled = [
      new Shelf(keys, ["wrong"], limit(MOST_ANSWERED)),
      new Shelf(keys, ["lost"], limit(MOST_LOST)),
      new Shelf(keys, ["answered", "late"], limit(MOST_ANSWERED)),
    ];
  }

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
    this.#sent.push(probe);
  }

  /** Finds the message that a line answers. */
  match(line: Uint8Array, now: number): Match {
    const isRefusal = this.keys !== anyLine && isErrorReply(line);
    const keys = isRefusal ? [] : this.keys.keysIn(line);
    for (const shelf of [this.#sent, ...this.#settled]) {
      const probe = shelf.find(keys);
      if (probe !== undefined) return this.#matched(probe, now);
    }
    const next = this.#next;
    if (next === undefined) return { kind: "unsolicited" };
    this.tally.wrong++;
    this.#settle(next, "wrong");
    return { kind: "wrong", seq: next.seq };
  }

  /**
   * Records that a message is answered.
   * @returns how long that took, in ms
   */
  answer(probe: Probe, now: number): number {
    this.tally.answered++;
    this.#settle(probe, "answered");
    return now - probe.since;
  }

  /** Gives up a message. */
  lose(probe: Probe, state: "lost" | "cut"): void {
    this.#settle(probe, state);
  }

  /**
   * Gives up what was sent, since the connection is lost: no reply can come any more.
   * @returns the messages given up
   */
  disconnect(): Probe[] {
    const cut = this.#sent.drain();
    for (const probe of cut) this.lose(probe, "cut");
    for (const shelf of this.#settled) shelf.drain();
    return cut;
  }

  #matched(probe: Probe, now: number): Match {
    const { seq, since, state } = probe;
    if (state === "lost") {
      this.tally.late++;
      this.#settle(probe, "late");
      return { kind: "late", seq, duration: now - since };
    }
    if (state === "answered" || state === "late") {
      this.tally.duplicate++;
      return { kind: "duplicate", seq };
    }
    if (state === "wrong") this.tally.wrong--; // that line was unsolicited
    return { kind: "reply", seq, duration: this.answer(probe, now) };
  }

  #settle(probe: Probe, state: ProbeState): void {
    if (probe.state === "queued" || probe.state === "sent") this.tally.pending--;
    if (state === "answered" || state === "wrong") this.#last = Math.max(this.#last, probe.seq);
    probe.state = state;
    for (const shelf of this.#settled) if (shelf.states.includes(state)) shelf.push(probe);
  }

  /** The message whose turn it is to be answered: servers answer in order, or leave one out. */
  get #next(): Probe | undefined {
    return this.#sent.after(this.#last) ?? this.#sent.after(0);
  }
}

/** Messages in some states, in the order in which they got there. Those that leave are removed later. */
class Shelf {
  readonly #all = new Queue<Probe>();
  readonly #byKey = new Map<number, Queue<Probe>>();

  /** @param most older messages are forgotten */
  constructor(
    readonly keys: Keys,
    readonly states: readonly ProbeState[],
    readonly most: number,
  ) {}

  push(probe: Probe): void {
    const key = this.keys.keyOf(probe.seq);
    const equal = this.#byKey.get(key) ?? new Queue();
    equal.push(probe);
    this.#byKey.set(key, equal);
    this.#all.push(probe);
    this.#trim();
  }

  /** The oldest message with one of these keys. */
  find(keys: readonly number[]): Probe | undefined {
    let found: Probe | undefined;
    for (const key of keys) {
      const equal = this.#byKey.get(key);
      while (equal?.first !== undefined && !this.#has(equal.first)) equal.shift();
      const first = equal?.first;
      if (first !== undefined && !(found !== undefined && found.seq < first.seq)) found = first;
    }
    return found;
  }

  /** The first message after this number; only where they came in the order of their numbers. */
  after(seq: number): Probe | undefined {
    this.#trim();
    let [from, to] = [0, this.#all.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.#all.at(middle)?.seq ?? 0) > seq) to = middle;
      else from = middle + 1;
    }
    for (; from < this.#all.length; from++) {
      const probe = this.#all.at(from);
      if (probe !== undefined && this.#has(probe)) return probe;
    }
    return undefined;
  }

  /** Removes all messages, and returns those that had not left. */
  drain(): Probe[] {
    this.#byKey.clear();
    return this.#all.drain().filter((probe) => this.#has(probe));
  }

  #has({ state }: Probe): boolean {
    return this.states.includes(state);
  }

  #trim(): void {
    for (let first; (first = this.#all.first) !== undefined;) {
      if (this.#has(first) && this.#all.length <= this.most) return;
      this.#all.shift();
      const key = this.keys.keyOf(first.seq);
      const equal = this.#byKey.get(key);
      if (equal?.first === first) equal.shift();
      if (equal?.length === 0) this.#byKey.delete(key);
    }
  }
}

/** Finds a message in a line, as words of their own: `ping 12` does not hold `ping 1`. */
function wordsOf(message: string): RegExp {
  const literal = message.replace(
    /\W/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  const isWord = (character = "") => new RegExp(WORD).test(character);
  const before = isWord(message[0]) ? `(?<!${WORD})` : "";
  const after = isWord(message.at(-1)) ? `(?!${WORD})` : "";
  return new RegExp(before + literal + after);
}
