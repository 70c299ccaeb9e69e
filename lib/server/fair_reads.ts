/**
 * Fair turns: no conversation starves, whatever the others do. Left alone, the runtime is fair
 * only while few clients are busy, for two reasons:
 *
 * - It does at most 128 socket operations in a turn of its loop and starts with the newest, so
 *   that with more than some 128 busy clients the ones just served are served again and again,
 *   and the rest never (measured: of 1,000 clients that each have one message under way, 450 got
 *   no reply in 2 s).
 * - While there is work at hand it looks for new input only now and then, every 61 turns, so that
 *   one client that never stops sending makes the others wait (measured: 240 ms).
 *
 * So a conversation asks {@linkcode FairReads.next} after each write and, where it gets a promise,
 * waits for it before it reads again. With 100 clients or fewer that get small replies, it never
 * gets one. In a crowd a round goes like this:
 *
 *     setImmediate          clients are served                             setImmediate
 *     |                     |                                              |
 *     32 that were held     those 32, and others whose input had waited    fewer than 100 were served:
 *     are let go            in the runtime, are served; after that each    nobody was left out, and the
 *                           one that is served is held                     32 held longest are let go;
 *                                                                          100 or more: nobody is let go,
 *                                                                          those left out are served next
 *
 * That is faster than no queue, too: a read beyond the 128 is tried in vain, in each turn again
 * (1,000 clients are served 1.2 times as fast). When a crowd falls silent, all that are held are
 * let go after 2 ms. A client that gets much at once rests for 1 ms after every 4, alone or not.
 *
 * Before you change a number, and after, run `deno task bench`: the rows with 1,000 connections
 * (messages/s, p99.9 and how many got no reply), 10,000 at once and beside a flood; and row 12
 * and 13 of `deno task soak`.
 */

/** A round that served this many may have left others out; below 128 by a margin. More clients than this are a crowd. */
const CROWD = 100;
/**
 * This many of a crowd are let go a round: they, and about as many whose input had waited, must
 * stay well below 128. More is faster; from 60 on some clients starve.
 */
const PIECE = 32;
/** This many where replies are large: with more, input is looked for too rarely beside a flood. With fewer, floods are slower. */
const SMALL_PIECE = 8;
/** A client that gets this many bytes of replies at once is a flood. Lower, and a client with 64 short messages in flight rests too. */
const MUCH = 4096;
/** How long floods may go on, in ms: others wait about that long, and floods lose 1 ms of it. */
const SLICE = 4;
/** A crowd of which fewer than {@linkcode PIECE} are served in this time is none, in ms. */
const QUIET = 2;

/** Whose turn it is to read. */
export class FairReads implements Disposable {
  #conversations = 0;
  #served = 0; // in this round
  #much = false; // was written to one of them
  #passes = PIECE; // this many more need not wait
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
   * @param bytes how many it wrote
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

  /** In a crowd, those that were served are held until they are let go. */
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

  /** Lets this many go; if fewer are held, those served next need not wait. */
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
