/**
 * Decides when a conversation may read again, so that no client starves. Left alone, the runtime is
 * fair only while few clients are busy, for two reasons:
 *
 * - It does at most 128 socket operations per turn of its loop, and begins with the newest. With more
 *   than some 128 busy clients, those that were just served are served again and again. The rest
 *   never are (measured: of 1,000 clients with one message in flight, 450 got no reply in 2 s).
 * - While work is ready, it polls for new input only every 61 turns. One client that never stops
 *   sending delays the others (measured: 240 ms).
 *
 * So a conversation calls {@linkcode FairReads.waitForTurn} after each write, and waits for the promise
 * that it may return before it reads again. With 100 clients or fewer that get small replies, there is
 * none. A round is the time between two `setImmediate` callbacks. In a crowd, it goes like this:
 *
 * ```text
 *     setImmediate          clients are served                             setImmediate
 *     |                     |                                              |
 *     32 waiting clients    those 32 are served, and others whose input    fewer than 100 were served:
 *     are resumed           the runtime had left unread; each waits        nobody was left out, and the
 *                           after it was served                            32 that waited longest resume;
 *                                                                          100 or more: nobody resumes,
 *                                                                          those left out are served next
 * ```
 *
 * That is faster than no queue, too. Without the queue, every read beyond 128 is retried in vain each
 * turn; with it, 1,000 clients get 1.2 times the throughput. When a crowd falls silent, all that wait
 * are resumed after 2 ms. Clients with large replies (floods) pause 1 ms after every 4 ms, alone or not.
 *
 * Before you change a number, and after, run `deno task bench`. Compare the rows with 1,000 connections
 * (messages/s, p99.9 and how many got no reply), 10,000 at once and beside a flood. Compare the rows
 * `full speed` and `busy` of `deno task soak` too.
 */

/** More clients than this are a crowd. A round that served as many may have left others out: below 128. */
const CROWD = 100;
/**
 * The clients of a crowd that resume per round. They, and about as many whose input was unread, must
 * stay well below 128. More is faster; from 60 on, some clients starve.
 */
const RESUMED = 32;
/** The same if replies are large: with more, input is polled too rarely beside a flood; with fewer, floods are slower. */
const RESUMED_WITH_LARGE = 8;
/** Bytes of replies at once that make a client a flood. Lower, and one with 64 short messages in flight pauses too. */
const LARGE = 4096;
/** Milliseconds for which floods go on: others wait about as long, and floods lose 1 ms each time. */
const SLICE = 4;
/** With fewer reads per turn of the event loop, each with its writes, the runtime leaves no input unread. */
const CROWDED_TURN = 16;
/** Milliseconds: with fewer than {@linkcode RESUMED} served in this time, fairness is off. */
const QUIET = 2;

/** The queue of conversations that may not read yet. */
export class FairReads implements Disposable {
  /** The number of conversations. */
  conversations = 0;
  #served = 0; // in this round
  #hasLarge = false; // a large reply was written in this round
  #freePasses = RESUMED; // how many of the next conversations served need not wait
  #total = 0; // served in earlier rounds
  #waiting: (() => void)[] = [];
  #quiet: ReturnType<typeof setTimeout> | undefined;

  #polledAt = 0; // when floods last waited, a time of `performance.now()`
  #polling: Promise<void> | undefined; // the pause of all floods, while it lasts
  #timer: ReturnType<typeof setTimeout> | undefined; // that of the pause

  /** Turns of the event loop with so many reads that others, although input had arrived, may have had none. */
  crowdedTurns = 0;
  #reads = 0; // in this turn
  #turn: ReturnType<typeof setImmediate> | undefined;

  /**
   * Counts a conversation as served. A write stands for the read before it, since each read is followed
   * by one write of all its replies.
   * @param bytes the number of bytes that the conversation wrote, or read and discarded
   * @returns a promise to wait for before the next read, if any
   */
  waitForTurn(bytes: number): Promise<void> | undefined {
    if (this.conversations > CROWD) {
      this.#reads++;
      this.#turn ??= setImmediate(() => this.#endTurn());
    }
    if (bytes < LARGE) return this.#queue();
    this.#hasLarge = true;
    // In a crowd, small rounds make sure that input is polled.
    const polled = this.#waiting.length > 0 ? undefined : this.#pause();
    return polled ?? this.#queue();
  }

  /** Stops all timers. By then, no conversation waits: a server disposes of it after the last one. */
  [Symbol.dispose](): void {
    clearImmediate(this.#turn);
    clearTimeout(this.#quiet);
    clearTimeout(this.#timer);
  }

  #endTurn(): void {
    if (this.#reads >= CROWDED_TURN) this.crowdedTurns++;
    this.#reads = 0;
    this.#turn = undefined;
    if (this.#served > 0) this.#endRound();
  }

  /**
   * After each slice, lets floods wait for a timer: the runtime polls for input only if no work is
   * ready, or after 61 turns.
   */
  #pause(): Promise<void> | undefined {
    if (performance.now() - this.#polledAt < SLICE) return undefined;
    return this.#polling ??= new Promise<void>((resolve) => {
      this.#timer = setTimeout(() => {
        this.#polledAt = performance.now();
        this.#polling = undefined;
        resolve();
      }, 0);
    });
  }

  /** In a crowd, conversations that were served wait until they are resumed. */
  #queue(): Promise<void> | undefined {
    if (this.conversations <= CROWD) return undefined;
    this.#served++;
    if (this.#freePasses > 0) {
      this.#freePasses--;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #endRound(): void {
    // Clients whose input the runtime has left unread go first.
    const mayBeMore = this.#served >= CROWD && this.#waiting.length < this.conversations;
    this.#total += this.#served;
    this.#served = 0;
    this.#resume(mayBeMore ? 0 : this.#hasLarge ? RESUMED_WITH_LARGE : RESUMED);
    this.#hasLarge = false;
    if (this.#waiting.length > 0) this.#quiet ??= this.#watch();
  }

  /** Resumes up to `count` conversations; if fewer wait, those served next need not. */
  #resume(count: number): void {
    const next = this.#waiting.splice(0, count);
    this.#freePasses = count - next.length;
    for (const resume of next) resume();
  }

  /** Resumes everybody once traffic is low: no further round may come to do it. */
  #watch(): ReturnType<typeof setTimeout> {
    const before = this.#total;
    return setTimeout(() => {
      this.#quiet = undefined;
      if (this.#total - before < RESUMED) this.#resume(this.#waiting.length);
      else if (this.#waiting.length > 0) this.#quiet = this.#watch();
    }, QUIET);
  }
}
