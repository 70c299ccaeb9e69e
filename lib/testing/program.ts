/** A real program as a disposable: start it, type, wait for its output, check how it ends. */

import { sleep } from "../wait.ts";
import { concat } from "../wire/framing.ts";
import { ReceivedText } from "./received_text.ts";
import { asWritten, shortened, TimeLimit, type Wait } from "./time_limit.ts";

/** The most characters, and the most bytes, of a stream that are kept: beyond it, the older half is dropped. */
const MOST_KEPT = 64 << 20;
/** Milliseconds that a program may take to exit after it has closed a stream, or has been killed. */
const EXIT_TIME = 1_000;

/** The name of a signal. */
export type Signal = `SIG${
  | ("ABRT" | "ALRM" | "CONT" | "HUP" | "INT" | "KILL" | "PIPE")
  | ("QUIT" | "STOP" | "TERM" | "TSTP" | "USR1" | "USR2" | "WINCH")}`;

/** Options of {@linkcode Program}. */
export interface ProgramOptions {
  /** The directory that it runs in. @default {the test's own} */
  readonly cwd?: string | URL;
  /** Variables added to its environment, in which `NO_COLOR` is `1` unless set here. */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Keeps the test's environment, which may contain secrets, from the program, except `PATH`.
   * @default {false}
   */
  readonly clearEnv?: boolean;
}

/** One output stream of a program. */
class Output {
  readonly text = new ReceivedText();
  readonly chunks: Uint8Array[] = [];
  #kept = 0; // bytes in chunks
  hasEnded = false;
  readonly ended: Promise<void>;
  readonly #reader;
  #wake = Promise.withResolvers<void>();

  constructor(readonly name: string, stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
    this.ended = this.#read();
  }

  /** Resolves at the next output, and at the end. */
  get more(): Promise<void> {
    return this.#wake.promise;
  }

  async close(): Promise<void> {
    await this.#reader.cancel();
    await this.ended;
  }

  toString(): string {
    const { dropped } = this.text;
    const gap = dropped ? ` (its first ${dropped} characters were dropped)` : "";
    return `${gap}\n${shortened(this.text.slice())}`;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for (;;) {
      const { value: chunk, done } = await this.#reader.read();
      if (done) break;
      this.chunks.push(chunk);
      this.#kept += chunk.length;
      while (this.#kept > MOST_KEPT) this.#dropHalf();
      this.text.append(decoder.decode(chunk, { stream: true }));
      if (this.text.end - this.text.dropped > MOST_KEPT) {
        this.text.drop(this.text.end - MOST_KEPT / 2);
      }
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    }
    this.hasEnded = true;
    this.#wake.resolve();
  }

  #dropHalf(): void {
    const half = this.chunks.splice(0, Math.ceil(this.chunks.length / 2));
    this.#kept -= half.reduce((length, chunk) => length + chunk.length, 0);
  }
}

/**
 * A running program, until the end of its block, where it is killed if it still runs. Processes
 * that it started are not killed. Needs `--allow-run`.
 *
 * A wait fails at its time limit, and at once when the program has ended. Its error shows what was
 * expected, and the output. Waits may run at the same time, those of several programs too: use
 * `Promise.all`, or `Promise.race` for whichever comes first.
 *
 * Of each stream, the newest 32 to 64 MiB are kept. An error says how much was dropped.
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
 */
export class Program implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #out: Output;
  readonly #err: Output;
  #code: number | undefined;

  /**
   * Starts it.
   *
   * @param command its name and its arguments
   * @throws {Error} whose name is `NotFound`, if there is no such program, or no such directory
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
    this.#input.closed.catch(() => {}); // it may end before everything is typed
    this.#out = new Output("standard output", this.#child.stdout);
    this.#err = new Output("standard error", this.#child.stderr);
    this.#child.status.then(({ code }) => this.#code = code);
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Its standard output so far, as far as it is kept. */
  get stdout(): string {
    return this.#out.text.slice();
  }

  /** Its standard output so far, as bytes. */
  get stdoutBytes(): Uint8Array {
    return concat(this.#out.chunks);
  }

  /** Its standard error so far. */
  get stderr(): string {
    return this.#err.text.slice();
  }

  /**
   * Writes to its standard input. Resolves once the system has taken all of it.
   *
   * @throws {Error} at the time limit if the program does not read, and at once if it can't any more
   */
  async type(input: string | Uint8Array, wait: Wait = {}): Promise<void> {
    const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
    using limit = new TimeLimit(wait, (time) => this.#report(`has not read its input ${time}`));
    await limit.before(
      this.#input.write(bytes).catch(async () => {
        throw new Error(
          this.#report(`${await this.#fate("its input")} before everything was typed`),
        );
      }),
    );
  }

  /** Closes its standard input once everything typed is written. */
  async endInput(wait: Wait = {}): Promise<void> {
    using limit = new TimeLimit(wait, (time) => this.#report(`has not read its input ${time}`));
    await limit.before(this.#input.close().catch(() => {})); // it may have ended
  }

  /**
   * Waits for words on standard output, after the ones of the last such wait.
   *
   * @param words a text, or a pattern; it may match up to 1 MiB
   * @returns the match: its groups, and in `input` the text around it
   * @throws {Error} at the time limit, and at once when the program has ended without them
   */
  until(words: string | RegExp, wait: Wait = {}): Promise<RegExpExecArray> {
    return this.#until(this.#out, words, wait);
  }

  /** Waits for words on standard error, as {@linkcode until} does on standard output. */
  untilError(words: string | RegExp, wait: Wait = {}): Promise<RegExpExecArray> {
    return this.#until(this.#err, words, wait);
  }

  /**
   * Sends it a signal: `SIGINT` is the one of Ctrl-C.
   *
   * @throws {TypeError} if it has ended
   */
  signal(signal: Signal): void {
    this.#child.kill(signal);
  }

  /**
   * Waits until it has ended, and its output too.
   *
   * @returns its exit code; after a signal, 128 and the signal's number
   */
  async exitCode(wait: Wait = {}): Promise<number> {
    using exit = new TimeLimit(wait, (time) => this.#report(`has not ended ${time}`));
    const { code } = await exit.before(this.#child.status);
    using end = new TimeLimit(
      wait,
      (time) => this.#report(`has ended, but a process still holds its output open ${time}`),
    );
    await end.before(Promise.all([this.#out.ended, this.#err.ended]));
    return code;
  }

  /**
   * Waits until it has ended, as {@linkcode exitCode} does.
   *
   * @throws {Error} if its exit code is another one
   */
  async ends(code: number, wait: Wait = {}): Promise<void> {
    const is = await this.exitCode(wait);
    if (is !== code) throw new Error(this.#report(`has ended with exit code ${is}, not ${code}`));
  }

  /** Kills it if it still runs, and closes its streams. */
  async close(): Promise<void> {
    if (this.#code === undefined) {
      try {
        this.#child.kill("SIGKILL");
      } catch {
        // It ended just now.
      }
    }
    await this.#child.status;
    using limit = new TimeLimit({ timeout: EXIT_TIME }, () => "");
    await limit.before(this.#input.abort()).catch(() => {}); // a process may still hold the input
    await Promise.all([this.#out.close(), this.#err.close()]);
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #until(output: Output, words: string | RegExp, wait: Wait): Promise<RegExpExecArray> {
    const wanted = `${asWritten(words)} on ${output.name}`;
    using limit = new TimeLimit(wait, (time) => this.#report(`has not printed ${wanted} ${time}`));
    const search = output.text.search(words);
    for (;;) {
      const { more, hasEnded } = output;
      const start = performance.now();
      const match = search();
      const took = performance.now() - start;
      if (match) {
        output.text.position = match.end;
        return match.found;
      }
      if (hasEnded) {
        throw new Error(
          this.#report(`${await this.#fate(output.name)} and never printed ${wanted}`),
        );
      }
      await limit.before(more);
      if (took > 1) await sleep(took); // collects output: at most half of the time goes to searches
    }
  }

  /** Returns how it ended, after the end of a stream: a program exits a little later. */
  async #fate(stream: string): Promise<string> {
    using limit = new TimeLimit({ timeout: EXIT_TIME }, () => "");
    await limit.before(this.#child.status).catch(() => {});
    return this.#code === undefined
      ? `has closed ${stream}`
      : `has ended with exit code ${this.#code}`;
  }

  #report(problem: string): string {
    return `${this.command.join(" ")}: ${problem}\n` +
      `--- stdout${this.#out}\n--- stderr${this.#err}\n---`;
  }
}
