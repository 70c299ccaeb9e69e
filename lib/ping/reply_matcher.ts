/** Which messages are under way, and whose reply a line is. Pure: the time is handed in. */

import { isErrorReply } from "../wire/error_reply.ts";

/** A message that was due. */
export interface Probe {
  /** Its number, from 1. */
  readonly seq: number;
  readonly message: Uint8Array;
  /** The time from which its reply's counts, as `performance.now()` tells it. */
  readonly since: number;
  /** It was sent; until then no line can be its reply. */
  isSent: boolean;
  /** Nothing more is waited for: it was answered, or is lost. */
  isSettled: boolean;
  /** Its reply came after it had been settled without. */
  isOver: boolean;
}

/** What a line is. A duration is in ms. */
export type Match =
  | { readonly kind: "reply" | "late"; readonly seq: number; readonly duration: number }
  | { readonly kind: "wrong" | "doubled"; readonly seq: number }
  | { readonly kind: "unasked" };

/** How many of the last messages that were answered, or wrongly so, and of those that are lost, are remembered. */
const MOST_ANSWERED = 1000;
const MOST_LOST = 100_000;
/** It gives each byte a character of its own: a search in such texts is a search in bytes. */
const latin1 = new TextDecoder("latin1");

/** Counts messages and their replies. */
export class ReplyMatcher {
  /** Messages that were due. */
  sent = 0;
  /** Those that are neither answered nor given up. */
  underWay = 0;
  /** Messages that got their reply in time. */
  answered = 0;
  /** Messages that got something else instead. */
  wrong = 0;
  /** Replies of messages that were lost already. */
  late = 0;
  /** Replies of messages that were answered already. */
  doubled = 0;

  readonly #underWay = new Remembered(Infinity, ({ isSettled }) => isSettled);
  readonly #answered = new Remembered(MOST_ANSWERED, () => false);
  readonly #wrong = new Remembered(MOST_ANSWERED, ({ isOver }) => isOver);
  readonly #lost = new Remembered(MOST_LOST, ({ isOver }) => isOver);
  #last = 0; // the highest number that was answered
  readonly #texts = new WeakMap<Uint8Array, string>();

  /** @param any whether any line is a reply to the message that was sent first */
  constructor(readonly any: boolean) {}

  /** Messages that got no reply in time, those under way among them. */
  get lost(): number {
    return this.sent - this.answered - this.wrong;
  }

  /** The message that has been under way for the longest time. */
  get oldest(): Probe | undefined {
    return this.#underWay.find(() => true);
  }

  /**
   * A message is due.
   * @param since the time from which its reply's counts
   */
  add(message: Uint8Array, since: number): Probe {
    const no = { isSent: false, isSettled: false, isOver: false };
    const said = { seq: ++this.sent, message, since, ...no };
    this.underWay++;
    this.#underWay.push(said);
    return said;
  }

  /** Finds whose reply a line is. */
  heard(line: Uint8Array, now: number): Match {
    const text = latin1.decode(line);
    const said = this.#find(this.#underWay, text, line);
    if (said !== undefined) {
      return { kind: "reply", seq: said.seq, duration: this.answer(said, now) };
    }
    const wronged = this.#find(this.#wrong, text, line);
    if (wronged !== undefined) { // so that line was one too many
      wronged.isOver = true;
      this.wrong--;
      this.answered++;
      return { kind: "reply", seq: wronged.seq, duration: now - wronged.since };
    }
    const lost = this.#find(this.#lost, text, line);
    if (lost !== undefined) {
      this.late++;
      lost.isOver = true;
      return { kind: "late", seq: lost.seq, duration: now - lost.since };
    }
    const again = this.#find(this.#answered, text, line);
    if (again !== undefined) {
      this.doubled++;
      return { kind: "doubled", seq: again.seq };
    }
    const next = this.#next;
    if (next === undefined) return { kind: "unasked" };
    this.wrong++;
    this.#settle(next, this.#wrong);
    return { kind: "wrong", seq: next.seq };
  }

  /** A message is answered; gives how long that took, in ms. */
  answer(said: Probe, now: number): number {
    this.answered++;
    this.#last = Math.max(this.#last, said.seq);
    this.#settle(said, this.#answered);
    return now - said.since;
  }

  /** Gives up the messages that are not answered since then; gives them. */
  expire(since: number): Probe[] {
    return this.#lose((said) => said.since <= since);
  }

  /** Gives up the messages that were sent, since the connection is lost: no reply can come any more. */
  disconnect(): Probe[] {
    const lost = this.#lose((said) => said.isSent);
    this.#wrong.clear();
    this.#lost.clear();
    this.#answered.clear();
    return lost;
  }

  /** Gives up a message. */
  lose(said: Probe): void {
    if (!said.isSettled) this.#settle(said, this.#lost);
  }

  #lose(isLost: (said: Probe) => boolean): Probe[] {
    const lost = [];
    for (let said; (said = this.oldest) !== undefined && isLost(said);) {
      this.lose(said);
      lost.push(said);
    }
    return lost;
  }

  /** The message whose turn it is to be answered: servers answer in order, or leave one out. */
  get #next(): Probe | undefined {
    return this.#underWay.find(({ seq, isSent }) => isSent && seq > this.#last) ??
      this.#underWay.find(({ isSent }) => isSent);
  }

  #settle(said: Probe, among?: Remembered): void {
    said.isSettled = true;
    this.underWay--;
    if (!this.any) among?.push(said);
  }

  /** The first message whose reply a line can be. */
  #find(among: Remembered, text: string, line: Uint8Array): Probe | undefined {
    if (this.any) return among.find(({ isSent }) => isSent);
    if (isErrorReply(line)) return undefined;
    return among.find(({ message, isSent }) => isSent && holds(text, this.#textOf(message)));
  }

  #textOf(message: Uint8Array): string {
    let text = this.#texts.get(message);
    if (text === undefined) this.#texts.set(message, text = latin1.decode(message));
    return text;
  }
}

/** Messages in the order in which they came. */
class Remembered {
  #all: Probe[] = [];
  #start = 0;

  /**
   * @param most the oldest beyond this many are forgotten
   * @param isOver whether a message is of no interest any more
   */
  constructor(readonly most: number, readonly isOver: (said: Probe) => boolean) {}

  push(said: Probe): void {
    this.#all.push(said);
    if (this.#all.length - this.#start > this.most) this.#start++;
    // Now and then, and not at each: a message then costs the same however many there are.
    if (this.#start <= this.#all.length / 2) return;
    this.#all = this.#all.slice(this.#start);
    this.#start = 0;
  }

  find(isSo: (said: Probe) => boolean): Probe | undefined {
    const all = this.#all;
    while (this.#start < all.length && this.isOver(all[this.#start] as Probe)) this.#start++;
    for (let at = this.#start; at < all.length; at++) {
      const said = all[at] as Probe;
      if (!this.isOver(said) && isSo(said)) return said;
    }
    return undefined;
  }

  clear(): void {
    this.#all = [];
    this.#start = 0;
  }
}

/** Whether a line holds a message, as words of its own: `ping 12` does not hold `ping 1`. */
function holds(line: string, message: string): boolean {
  for (let at = -1; (at = line.indexOf(message, at + 1)) >= 0;) {
    const end = at + message.length;
    const isCut = isWord(line, at - 1) && isWord(line, at) ||
      isWord(line, end - 1) && isWord(line, end);
    if (!isCut || message === "") return true;
  }
  return false;
}

/** Whether a character is part of a word, or may be. */
function isWord(text: string, at: number): boolean {
  return /[\w\u0080-\uffff]/.test(text.charAt(at));
}
