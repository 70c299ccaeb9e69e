/**
 * Fair turns: no conversation starves, whatever the others do. Left alone, the
 * runtime is fair only while few are busy, for two reasons:
 *
 * - It does at most 128 socket operations a round and starts with the newest, so
 *   that with more than some 128 busy clients the ones just served are served
 *   again and again, and the rest never (measured: of 1,000 clients that each
 *   have one message under way, 450 got no reply in 2 s).
 * - While there is work at hand it looks for new input only now and then, so that
 *   one client that never stops sending makes others wait (measured: 240 ms).
 *
 * The price: a rest of 1 ms after every 4 ms of heavy work; from 100 clients on, a callback a round.
 */

/** So many operations in a round may have left others waiting; below 128 by a margin. */
const CROWD = 100;
/** How long input may go unlooked for, in ms. */
const SLICE = 4;
/** Work is counted in bytes written; a write is as much as so many. */
const WORK_A_WRITE = 1024;
/** so much work, some 0.1 to 0.5 ms, and the clock is looked at. */
const CLOCK_AFTER = 32768;
/** A crowd that sent nothing for so long is none, in ms. */
const QUIET = 2;

/** Whose turn it is to read. */
export class Turns implements Disposable {
  /** How many conversations there are. */
  open = 0;

  #work = 0; // since the clock was looked at
  #served = 0; // in this round
  #round: ReturnType<typeof setImmediate> | undefined;
  #rounds = 0;
  #crowded = false;
  #held: (() => void)[] = [];
  #quiet: ReturnType<typeof setTimeout> | undefined;

  #lookedAt = 0;
  #looking: Promise<void> | undefined;
  #resting: ReturnType<typeof setTimeout> | undefined;

  /**
   * To be asked by a conversation that was served, before it reads again.
   * @param bytes what it wrote: how much work that was
   * @return to be waited for, if anything
   */
  next(bytes: number): Promise<void> | undefined {
    if (this.#crowded) return this.#queue(); // where all wait for each other, input is looked for
    // The clock costs as much as a message: it is looked at now and then.
    this.#work += bytes + WORK_A_WRITE;
    const turn = this.#work > CLOCK_AFTER ? this.#look(performance.now()) : undefined;
    return turn ?? this.#queue();
  }

  /** Lets go of all timers. */
  [Symbol.dispose](): void {
    clearImmediate(this.#round);
    clearTimeout(this.#quiet);
    clearTimeout(this.#resting);
  }

  /** After each slice, whoever is served waits until the runtime has looked for input. */
  #look(now: number): Promise<void> | undefined {
    this.#work = 0;
    if (now - this.#lookedAt < SLICE) return undefined;
    return this.#looking ??= this.#rest();
  }

  /** Has nothing to do until a timer: only then, or after 61 rounds, does the runtime look for input. */
  async #rest(): Promise<void> {
    await new Promise((resolve) => this.#resting = setTimeout(resolve, 0));
    this.#lookedAt = performance.now();
    this.#looking = undefined;
  }

  /** In a crowd, whoever was served waits until the others were. */
  #queue(): Promise<void> | undefined {
    if (this.open <= CROWD) return undefined;
    this.#served++;
    this.#round ??= setImmediate(() => this.#endRound());
    return this.#crowded ? new Promise((resolve) => this.#held.push(resolve)) : undefined;
  }

  #endRound(): void {
    this.#round = undefined;
    this.#rounds++;
    const mayBeMore = this.#served >= CROWD && this.#held.length < this.open;
    this.#served = 0;
    if (!mayBeMore) return this.#release();
    this.#crowded = true;
    this.#quiet ??= this.#watch();
  }

  /** Rounds end a crowd; where none comes any more, time does. */
  #watch(): ReturnType<typeof setTimeout> {
    const rounds = this.#rounds;
    return setTimeout(() => {
      this.#quiet = undefined;
      if (rounds === this.#rounds) this.#release();
      else if (this.#held.length > 0) this.#quiet = this.#watch();
    }, QUIET);
  }

  #release(): void {
    const held = this.#held;
    this.#held = [];
    this.#crowded = held.length > CROWD;
    for (const resume of held) resume();
  }
}
