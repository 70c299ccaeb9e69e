/** A real program as a disposable: start it, type at it, wait for its words, see how it ends. */

import { asWritten, patternOf, shortened, TimeLimit, type Wait } from "./time_limit.ts";

/** What is kept of a program that talks without end, in characters. */
const MOST_KEPT = 64 << 20;
/** How long after its output a program that ends may take to be gone, in ms. */
const LAST_MOMENTS = 1_000;

/** A signal, by its name. */
export type Signal =
  | "SIGABRT"
  | "SIGALRM"
  | "SIGCONT"
  | "SIGHUP"
  | "SIGINT"
  | "SIGKILL"
  | "SIGPIPE"
  | "SIGQUIT"
  | "SIGSTOP"
  | "SIGTERM"
  | "SIGTSTP"
  | "SIGUSR1"
  | "SIGUSR2"
  | "SIGWINCH";

/** How a program is started. */
export interface ProgramOptions {
  /** The folder that it runs in. Without, the test's own. */
  readonly cwd?: string | URL;
  /** Added to its environment, in which `NO_COLOR` is `1` unless you set it otherwise. */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Gives it nothing of the test's environment, in which there may be secrets, but `PATH`.
   * @default {false}
   */
  readonly clearEnv?: boolean;
}

/** A stream's text so far, and who waits for more of it. */
class Heard {
  bytes: Uint8Array[] = [];
  text = "";
  seen = 0; // the text before this was waited for
  isOver = false;
  readonly over: Promise<void>;
  readonly #reader;
  #wake = Promise.withResolvers<void>();

  constructor(readonly name: string, stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
    this.over = this.#listen();
  }

  /** Settles at the next words, and at the end. */
  get more(): Promise<void> {
    return this.#wake.promise;
  }

  /** Listens no more. */
  async close(): Promise<void> {
    await this.#reader.cancel();
    await this.over;
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for (;;) {
      const { value: chunk, done } = await this.#reader.read();
      if (done) break;
      this.bytes.push(chunk);
      this.text += decoder.decode(chunk, { stream: true });
      if (this.text.length > MOST_KEPT) this.#forgetHalf();
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    }
    this.isOver = true;
    this.#wake.resolve();
  }

  #forgetHalf(): void {
    const forgotten = this.text.length / 2 | 0;
    this.text = this.text.slice(forgotten);
    this.seen = Math.max(0, this.seen - forgotten);
    this.bytes.splice(0, this.bytes.length / 2);
  }
}

/**
 * A running program, from its start to the end of the block that it is used in, where it is killed
 * if it still runs. (What it started itself is its own to end.) Starting one takes `--allow-run`.
 *
 * ```ts
 * import { Program } from "@readback/readback/testing";
 *
 * await using sh = new Program(["sh", "-c", 'printf "your name? "; read name; echo "hello, $name"']);
 * await sh.until("your name? ");
 * await sh.type("Ada\n");
 * await sh.until(/hello, (\w+)\n/);
 * await sh.ends(0);
 * ```
 *
 * A wait fails once its patience is over, and at once when the program has ended; it says what was
 * expected, and all that the program had said. Waits may run at once, also those for several
 * programs: `Promise.all`, or `Promise.race` for whichever comes first.
 */
export class Program implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #out: Heard;
  readonly #err: Heard;
  #code: number | undefined;

  /**
   * Starts it.
   * @param command its name and arguments
   */
  constructor(readonly command: readonly string[], options: ProgramOptions = {}) {
    const { cwd, env = {}, clearEnv = false } = options;
    const [name = "", ...args] = command;
    const path = clearEnv ? Deno.env.get("PATH") : undefined;
    this.#child = new Deno.Command(name, {
      args,
      ...cwd === undefined ? {} : { cwd },
      clearEnv,
      env: { ...path === undefined ? {} : { PATH: path }, NO_COLOR: "1", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#input.closed.catch(() => {}); // it may be gone before all is typed
    this.#out = new Heard("standard output", this.#child.stdout);
    this.#err = new Heard("standard error", this.#child.stderr);
    this.#child.status.then(({ code }) => this.#code = code);
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** All it printed on standard output so far. */
  get stdout(): string {
    return this.#out.text;
  }

  /** All it printed on standard output so far, as bytes. */
  get stdoutBytes(): Uint8Array {
    return new Uint8Array(this.#out.bytes.flatMap((chunk) => [...chunk]));
  }

  /** All it printed on standard error so far. */
  get stderr(): string {
    return this.#err.text;
  }

  /**
   * Writes to its standard input; returns once that is handed over.
   * @throws {Error} if it no longer reads: it has ended, or closed its input
   */
  async type(input: string | Uint8Array): Promise<void> {
    const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
    try {
      await this.#input.write(bytes);
    } catch {
      throw new Error(this.#account(`${await this.#fate("its input")} before all was typed`));
    }
  }

  /** Closes its standard input. */
  async endInput(): Promise<void> {
    await this.#input.close().catch(() => {});
  }

  /**
   * Waits for words on standard output, past those that were waited for before.
   * @return the match: its groups, and what came before it in `input`
   */
  until(words: string | RegExp, wait: Wait = {}): Promise<RegExpExecArray> {
    return this.#until(this.#out, words, wait);
  }

  /** Waits for words on standard error, likewise. */
  untilError(words: string | RegExp, wait: Wait = {}): Promise<RegExpExecArray> {
    return this.#until(this.#err, words, wait);
  }

  /**
   * Sends it a signal, `SIGINT` for Ctrl-C.
   * @throws {TypeError} if it has ended
   */
  signal(signal: Signal): void {
    this.#child.kill(signal);
  }

  /** Waits until it has ended and all that it said is heard. A signal's is 128 and its number. */
  async exitCode(wait: Wait = {}): Promise<number> {
    using ended = new TimeLimit(wait, (time) => this.#account(`has not ended ${time}`));
    const { code } = await ended.before(this.#child.status);
    using heard = new TimeLimit(
      wait,
      (time) => this.#account(`has ended, but something holds its output open, still ${time}`),
    );
    await heard.before(Promise.all([this.#out.over, this.#err.over]));
    return code;
  }

  /** Waits until it has ended; fails unless it did with this exit code. */
  async ends(code: number, wait: Wait = {}): Promise<void> {
    const is = await this.exitCode(wait);
    if (is !== code) throw new Error(this.#account(`has ended with exit code ${is}, not ${code}`));
  }

  /** Kills it if it still runs, and lets go of everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#code === undefined) {
      try {
        this.#child.kill("SIGKILL");
      } catch {
        // It ended just now.
      }
    }
    await this.#child.status;
    await this.#input.abort().catch(() => {});
    await Promise.all([this.#out.close(), this.#err.close()]);
  }

  async #until(heard: Heard, words: string | RegExp, wait: Wait): Promise<RegExpExecArray> {
    const pattern = patternOf(words);
    const wanted = `${asWritten(words)} on ${heard.name}`;
    using deadline = new TimeLimit(wait, (time) => this.#account(`has not said ${wanted} ${time}`));
    for (;;) {
      const { more, isOver } = heard;
      const found = pattern.exec(heard.text.slice(heard.seen));
      if (found) {
        heard.seen += found.index + found[0].length;
        return found;
      }
      if (isOver) {
        throw new Error(this.#account(`${await this.#fate(heard.name)} and never said ${wanted}`));
      }
      await deadline.before(more);
    }
  }

  /** What became of it, of which a stream is over: a program that ends is gone a little later. */
  async #fate(stream: string): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LAST_MOMENTS);
    await Promise.race([this.#child.status, promise]);
    clearTimeout(timer);
    return this.#code === undefined
      ? `has closed ${stream}`
      : `has ended with exit code ${this.#code}`;
  }

  #account(complaint: string): string {
    return `${this.command.join(" ")}: ${complaint}\n` +
      `--- stdout\n${shortened(this.stdout)}\n--- stderr\n${shortened(this.stderr)}\n---`;
  }
}
