/** A real program as a disposable: start it, type, wait for its output, check how it ends. */

import { isPending, sleep } from "../wait.ts";
import { ReceivedText } from "./received_text.ts";
import { asWritten, shortened, startTimeLimit, type Wait } from "./time_limit.ts";
import { latin1, text } from "./wire.ts";

/** The most characters, and the most bytes, of a stream that are kept. */
const MOST_KEPT = 64 << 20;
/** Milliseconds that a program may take to exit after it has closed a stream, or has been killed. */
const EXIT_TIME = 1_000;

const PIPES = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;

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
class Output extends ReceivedText {
  readonly bytes = new ReceivedText(MOST_KEPT); // as Latin-1
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly reader;
  /** Resolves at the next output; false at the end. */
  more: Promise<boolean>;

  constructor(readonly name: string, stream: ReadableStream<Uint8Array>) {
    super(MOST_KEPT);
    this.reader = stream.getReader();
    this.more = this.#read();
  }

  override toString(): string {
    const gap = this.dropped ? ` (its first ${this.dropped} characters were dropped)` : "";
    return `${gap}\n${shortened(this.slice())}`;
  }

  async #read(): Promise<boolean> {
    const { value: chunk } = await this.reader.read();
    this.append(this.#decoder.decode(chunk, { stream: chunk !== undefined }));
    if (chunk === undefined) return false;
    this.bytes.append(text(chunk));
    this.more = this.#read();
    return true;
  }
}

/**
 * A running program, killed at the end of its block if it still runs. Processes
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
  /** Its process id. */
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #out: Output;
  readonly #err: Output;

  /**
   * Starts it.
   *
   * @param command its name and its arguments
   * @throws {Error} whose name is `NotFound`, if there is no such program, or no such directory
   */
  constructor(readonly command: readonly string[], options: ProgramOptions = {}) {
    const { cwd, env, clearEnv = false } = options;
    const [name = "", ...args] = command;
    const path = clearEnv && Deno.env.get("PATH");
    const variables = { ...path && { PATH: path }, NO_COLOR: "1", ...env };
    const how = { args, clearEnv, env: variables, ...cwd && { cwd }, ...PIPES };
    this.#child = new Deno.Command(name, how).spawn();
    this.pid = this.#child.pid;
    this.#input = this.#child.stdin.getWriter();
    this.#input.closed.catch(() => {}); // it may end before everything is typed
    this.#out = new Output("standard output", this.#child.stdout);
    this.#err = new Output("standard error", this.#child.stderr);
  }

  /** Its standard output so far, as far as it is kept. */
  get stdout(): string {
    return this.#out.slice();
  }

  /** Its standard output so far, as bytes. */
  get stdoutBytes(): Uint8Array {
    return latin1(this.#out.bytes.slice());
  }

  /** Its standard error so far. */
  get stderr(): string {
    return this.#err.slice();
  }

  /**
   * Writes to its standard input. Resolves once the system has taken all of it.
   *
   * @throws {Error} at the time limit if the program does not read, and at once if it can't any more
   */
  async type(input: string | Uint8Array, wait: Wait = {}): Promise<void> {
    const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
    const written = this.#input.write(bytes)
      .catch(() => this.#fail("its input", "before everything was typed"));
    await this.#untilRead(written, wait);
  }

  /** Closes its standard input once everything typed is written. */
  async endInput(wait: Wait = {}): Promise<void> {
    await this.#untilRead(this.#input.close().catch(() => {}), wait); // it may have ended
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
   * Waits until it has exited and all its output was read.
   *
   * @returns its exit code; after a signal, 128 and the signal's number
   */
  async exitCode(wait: Wait = {}): Promise<number> {
    let problem = "has not ended";
    using limit = startTimeLimit(wait, (time) => this.#report(`${problem} ${time}`));
    const { code } = await limit.before(this.#child.status);
    problem = "has ended, but a process still holds its output open";
    for (const output of [this.#out, this.#err]) while (await limit.before(output.more));
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
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
    await isPending(this.#input.abort(), EXIT_TIME); // a process may still hold the input
    await Promise.all([this.#out.reader.cancel(), this.#err.reader.cancel()]);
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #untilRead(written: Promise<void>, wait: Wait): Promise<void> {
    using limit = startTimeLimit(wait, (time) => this.#report(`has not read its input ${time}`));
    await limit.before(written);
  }

  async #until(output: Output, words: string | RegExp, wait: Wait): Promise<RegExpExecArray> {
    const wanted = `${asWritten(words)} on ${output.name}`;
    using limit = startTimeLimit(wait, (time) => this.#report(`has not printed ${wanted} ${time}`));
    const search = output.search(words);
    for (;;) {
      const start = performance.now();
      const found = search();
      const took = performance.now() - start;
      if (found) return found;
      if (!await limit.before(output.more)) break;
      if (took > 1) await sleep(took); // collects output: at most half of the time goes to searches
    }
    return await this.#fail(output.name, `and never printed ${wanted}`);
  }

  /** Fails after the end of a stream: a program exits a little later. */
  async #fail(stream: string, problem: string): Promise<never> {
    const { status } = this.#child;
    const outcome = await isPending(status, EXIT_TIME)
      ? `has closed ${stream}`
      : `has ended with exit code ${(await status).code}`;
    throw new Error(this.#report(`${outcome} ${problem}`));
  }

  #report(problem: string): string {
    const outputs = `--- stdout${this.#out}\n--- stderr${this.#err}\n---`;
    return `${this.command.join(" ")}: ${problem}\n${outputs}`;
  }
}
