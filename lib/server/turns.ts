/**
 * Fair turns: no conversation starves, whatever the others do. Left alone, the
 * runtime is fair only while few are busy, for two reasons:
 *
 * - It does at most 128 socket operations a turn of its loop and starts with the newest, so
 *   that with more than some 128 busy clients the ones just served are served
 *   again and again, and the rest never (measured: of 1,000 clients that each
 *   have one message under way, 450 got no reply in 2 s).
 * - While there is work at hand it looks for new input only now and then, every 61 turns, so
 *   that one client that never stops sending makes others wait (measured: 240 ms).
 *
 * So, from 100 clients on, those just served wait in a queue, and few of them read again a
 * round. That is faster too, for a read beyond the 128 is tried in vain, in each turn again:
 * 1,000 clients are served 1.2 times as fast as without a queue. Who sends at full speed
 * rests for 1 ms after every 4.
 */

/** So many operations in a round may have left others waiting; below 128 by a margin. */
const CROWD = 100;
/** So many of a crowd read again a round: those and as many that had waited for input are well below 128. */
const PIECE = 32;
/** So many where replies are large, for they may take 61 rounds before input is looked for. */
const SMALL_PIECE = 8;
/** A client that gets so many bytes of replies at once sends fast; fast ones pause. */
const MUCH = 4096;
/** How long they may go on, in ms. */
const SLICE = 4;
/** A crowd of which fewer than {@linkcode PIECE} are served in so long is none, in ms. */
const QUIET = 2;

/** Whose turn it is to read. */
export class Turns implements Disposable {
  #conversations = 0;
  #served = 0; // in this round
  #much = false; // was written to one of them
  #passes = PIECE; // so many more need not wait
  #round: ReturnType<typeof setImmediate> | undefined;
  #total = 0; // served in the rounds before
  #held: (() => void)[] = [];
  #quiet: ReturnType<typeof setTimeout> | undefined;

  #restedAt = 0;
  #resting: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** How many conversations there are. */
  get conversations(): number {
    return this.#conversations;
  }

  /** A conversation begins. */
  enter(): void {
    this.#conversations++;
  }

  /** It is over. */
  leave(): void {
    this.#conversations--;
  }

  /**
   * To be asked by a conversation that was served, before it reads again.
   * @param bytes what it wrote
   * @return to be waited for, if anything
   */
  next(bytes: number): Promise<void> | undefined {
    if (bytes < MUCH) return this.#queue();
    this.#much = true;
    // In a crowd, small pieces see to it that input is looked for.
    const rest = this.#held.length > 0 ? undefined : this.#rest();
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

  /** Has nothing to do until a timer: only then, or after 61 turns, does the runtime look for input. */
  async #idle(): Promise<void> {
    await new Promise((resolve) => this.#timer = setTimeout(resolve, 0));
    this.#restedAt = performance.now();
    this.#resting = undefined;
  }

  /** In a crowd, whoever was served waits until it is let go; of a small round, nobody does. */
  #queue(): Promise<void> | undefined {
    if (this.#conversations <= CROWD) return undefined;
    this.#served++;
    this.#round ??= setImmediate(() => this.#endRound());
    if (this.#passes > 0) {
      this.#passes--;
      return undefined;
    }
    return new Promise((resolve) => this.#held.push(resolve));
  }

  #endRound(): void {
    // Those that the runtime has left waiting go first.
    const mayBeMore = this.#served >= CROWD && this.#held.length < this.#conversations;
    this.#round = undefined;
    this.#total += this.#served;
    this.#served = 0;
    this.#letGo(mayBeMore ? 0 : this.#much ? SMALL_PIECE : PIECE);
    this.#much = false;
    if (this.#held.length > 0) this.#quiet ??= this.#watch();
  }

  /** Lets so many go; if fewer wait, whoever is served next need not. */
  #letGo(piece: number): void {
    const next = this.#held.splice(0, piece);
    this.#passes = piece - next.length;
    for (const resume of next) resume();
  }

  /** Rounds end a crowd; where there are none to speak of, time does. */
  #watch(): ReturnType<typeof setTimeout> {
    const before = this.#total;
    return setTimeout(() => {
      this.#quiet = undefined;
      if (this.#total - before < PIECE) this.#letGo(this.#held.length);
      else if (this.#held.length > 0) this.#quiet = this.#watch();
    }, QUIET);
  }
}
