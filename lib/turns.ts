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
 * The price: for who sends at full speed, a rest of 1 ms after every 4; from 100 clients on,
 * a callback a round.
 */

/** So many operations in a round may have left others waiting; below 128 by a margin. */
const CROWD = 100;
/** A client that gets so many bytes of replies at once sends fast; fast ones pause. */
const MUCH = 4096;
/** How long they may go on, in ms. */
const SLICE = 4;
/** A crowd that sent nothing for so long is none, in ms. */
const QUIET = 2;

/** Whose turn it is to read. */
export class Turns implements Disposable {
  /** How many conversations there are. */
  open = 0;

  #served = 0; // in this round
  #round: ReturnType<typeof setImmediate> | undefined;
  #rounds = 0;
  #crowded = false;
  #held: (() => void)[] = [];
  #quiet: ReturnType<typeof setTimeout> | undefined;

  #restedAt = 0;
  #resting: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * To be asked by a conversation that was served, before it reads again.
   * @param bytes what it wrote
   * @return to be waited for, if anything
   */
  next(bytes: number): Promise<void> | undefined {
    // A crowd waits for each other, and so input is looked for.
    const rest = bytes < MUCH || this.#crowded ? undefined : this.#rest();
    return rest ?? this.#queue();
  }

  /** Lets go of all timers. */
  [Symbol.dispose](): void {
    clearImmediate(this.#round);
    clearTimeout(this.#quiet);
    clearTimeout(this.#timer);
  }

  /** After each slice, all who come here wait until the runtime has looked for input. */
  #rest(): Promise<void> | undefined {
    if (performance.now() - this.#restedAt < SLICE) return undefined;
    return this.#resting ??= this.#idle();
  }

  /** Has nothing to do until a timer: only then, or after 61 rounds, does the runtime look for input. */
  async #idle(): Promise<void> {
    await new Promise((resolve) => this.#timer = setTimeout(resolve, 0));
    this.#restedAt = performance.now();
    this.#resting = undefined;
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
