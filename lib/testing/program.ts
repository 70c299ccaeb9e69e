/**
 * The harness: real programs as disposables. Start one, type at it, wait for its
 * words, see how it ends; whatever happens, it is gone at the end of the block, and
 * a failure shows what it had said.
 *
 * ```ts
 * import { startClient, startServer } from "./program.ts";
 *
 * await using server = await startServer();
 * await using client = startClient(["--port", server.port, "--message", "hello"]);
 * await client.until(/\[hello\] .{24}\n/);
 * await client.ends(0);
 * ```
 */

import { assert, assertEquals } from "@std/assert";

/** What no wait for words should take, in ms: only a failure does. */
const PATIENCE = 20_000;

/** What is kept of a program that talks without end, in characters. */
const MOST_KEPT = 64 << 20;

const ROOT = new URL("../..", import.meta.url);

/** How to start it. */
export interface How {
  /** Added to the environment. */
  env?: Record<string, string>;
}

/** A stream's text so far, and who waits for more of it. */
class Heard {
  bytes: Uint8Array[] = [];
  text = "";
  seen = 0; // the text before this was waited for
  isOver = false;
  readonly over: Promise<void>;
  #wake = Promise.withResolvers<void>();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.over = this.#listen(stream);
  }

  /** Settles at the next words, and at the end. */
  get more(): Promise<void> {
    return this.#wake.promise;
  }

  async #listen(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
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

/** A running program. */
export class Program implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #out: Heard;
  readonly #err: Heard;
  #ended = false;

  /** @param command its name and arguments */
  constructor(readonly command: readonly string[], how: How = {}) {
    const [name = "", ...args] = command;
    this.#child = new Deno.Command(name, {
      args,
      cwd: ROOT,
      env: { DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", TERM: "xterm", ...how.env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#input.closed.catch(() => {}); // it may be gone before all is typed
    this.#out = new Heard(this.#child.stdout);
    this.#err = new Heard(this.#child.stderr);
    this.#child.status.then(() => this.#ended = true);
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

  /** Writes to its standard input. */
  async type(input: string | Uint8Array): Promise<void> {
    await this.#input.write(typeof input === "string" ? new TextEncoder().encode(input) : input);
  }

  /** Closes its standard input. */
  async endInput(): Promise<void> {
    await this.#input.close().catch(() => {});
  }

  /** Waits for words on standard output, past those that were waited for before. */
  until(words: string | RegExp): Promise<RegExpExecArray> {
    return this.#until(this.#out, words);
  }

  /** Waits for words on standard error, likewise. */
  untilError(words: string | RegExp): Promise<RegExpExecArray> {
    return this.#until(this.#err, words);
  }

  /** Sends a signal. */
  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Waits until it has ended and all that it said is heard. */
  async exitCode(): Promise<number> {
    const { code } = await this.#patiently(this.#child.status, "has not ended");
    await this.#patiently(Promise.all([this.#out.over, this.#err.over]), "left its output open");
    return code;
  }

  /** Waits until it has ended; checks its exit code. */
  async ends(code: number): Promise<void> {
    assertEquals(await this.exitCode(), code, this.#account(`should have ended with ${code}`));
  }

  /** Kills it if it still runs, and lets go of everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) {
      try {
        this.#child.kill("SIGKILL");
      } catch {
        // It ended just now.
      }
    }
    await this.#child.status;
    await this.#input.abort().catch(() => {});
    await Promise.all([this.#out.over, this.#err.over]);
  }

  async #until(heard: Heard, words: string | RegExp): Promise<RegExpExecArray> {
    const pattern = typeof words === "string" ? new RegExp(RegExp.escape(words)) : words;
    for (;;) {
      const { more, isOver } = heard;
      const found = pattern.exec(heard.text.slice(heard.seen));
      if (found) {
        heard.seen += found.index + found[0].length;
        return found;
      }
      assert(!isOver, this.#account(`ended and never said ${pattern}`));
      await this.#patiently(more, `has not said ${pattern}`);
    }
  }

  async #patiently<T>(promise: Promise<T>, complaint: string): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new Error(this.#account(`${complaint} in ${PATIENCE} ms`))),
      PATIENCE,
    );
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #account(complaint: string): string {
    return `${this.command.join(" ")}: ${complaint}\n` +
      `--- stdout\n${shortened(this.stdout)}\n--- stderr\n${shortened(this.stderr)}\n---`;
  }
}

/** A text of which the middle is left out, should it be too long to read. */
function shortened(text: string, most = 10_000): string {
  const left = text.length - most;
  if (left <= 0) return text;
  return `${text.slice(0, most / 2)}\n... ${left} characters ...\n${text.slice(-most / 2)}`;
}

/** A server that is ready: it has said where it listens. */
export class ServerProgram extends Program {
  /** The port that it listens on. */
  port = 0;
}

/** Starts the server on a free port and waits until it is ready. */
export async function startServer(
  args: readonly string[] = [],
  how: How = {},
): Promise<ServerProgram> {
  const where = args.includes("--unix") ? [] : ["--port", "0"];
  const server = new ServerProgram([...program("server", args), ...where, ...args], how);
  try {
    const [, port, jsonPort] = await server.until(
      /listening on .*?(?::(\d+))?\n|"event":"listening".*?(?:"port":(\d+))?\}/,
    );
    server.port = Number(port ?? jsonPort);
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts the client. */
export function startClient(args: readonly (string | number)[], how: How = {}): Program {
  const words = args.map(String);
  return new Program([...program("client", words), ...words], how);
}

/**
 * The command that runs one of our programs: its source; or what was built under
 * `dist`, where READBACK says `bundle` or `compiled`.
 * @param args what it will be given: some want more permissions
 */
export function program(name: "server" | "client", args: readonly string[] = []): string[] {
  const files = ["--unix", "--tls-cert", "--ca", "--cert"].some((option) => args.includes(option));
  const rights = ["--allow-net", ...files ? ["--allow-read", "--allow-write"] : []];
  const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", ...rights];
  switch (Deno.env.get("READBACK")) {
    case "bundle":
      return [...deno, `dist/${name}.js`];
    case "compiled":
      return [`./dist/${name === "server" ? "readback-server" : "readback"}`];
    default:
      return [...deno, "--frozen", `${name}.ts`];
  }
}
