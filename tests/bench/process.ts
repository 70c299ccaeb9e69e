/** Processes that are gone when their scope ends, or the benchmark does. */

/** Where a process runs, and where what it says goes. */
export interface Start {
  /** The one core it may use; anywhere if undefined. */
  core?: number | undefined;
  /** Standard input comes from this file. */
  from?: string;
  /** Standard output goes to this file and is not kept. */
  to?: string;
}

/** The most that is kept of what a process says, in characters: enough to tell why it failed. */
const KEPT = 4096;

const alive = new Set<Process>();

/** Ends all that still runs: for the way out that no scope sees, a signal. */
export function killAll(): void {
  for (const process of alive) process.kill();
}

/** A running process. */
export class Process implements AsyncDisposable {
  /** Its end: true if it ended well. */
  readonly over: Promise<boolean>;
  #said = "";
  #complained = "";
  readonly #child: Deno.ChildProcess;
  #heard = Promise.withResolvers<void>();

  constructor(command: readonly string[], start: Start = {}) {
    const pinned = start.core === undefined
      ? command
      : ["taskset", "-c", String(start.core), ...command];
    // The shell and taskset put the program in their own place: the process id is the program's.
    const script = `exec "$@"${start.from ? ' < "$FROM"' : ""}${start.to ? ' > "$TO"' : ""}`;
    this.#child = new Deno.Command("sh", {
      args: ["-c", script, "sh", ...pinned],
      env: {
        DENO_NO_UPDATE_CHECK: "1",
        NO_COLOR: "1",
        FROM: start.from ?? "",
        TO: start.to ?? "",
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    alive.add(this);
    const ended = Promise.all([
      this.#child.status,
      this.#listen(this.#child.stdout, (text) => this.#said = (this.#said + text).slice(0, KEPT)),
      this.#listen(
        this.#child.stderr,
        (text) => this.#complained = (this.#complained + text).slice(0, KEPT),
      ),
    ]);
    this.over = ended.then(([status]) => {
      alive.delete(this);
      this.#heard.reject(new Error(`${command.join(" ")}: ${this.#complained || "ended"}`));
      return status.success;
    });
    this.#heard.promise.catch(() => {}); // it may come while nobody waits
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** What it complained of on standard error. */
  get complaint(): string {
    return this.#complained.trim();
  }

  /** The first whole line it says. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#said.indexOf("\n");
      if (end !== -1) return this.#said.slice(0, end);
      await this.#heard.promise;
    }
  }

  /** Ends its standard input. */
  async finish(): Promise<void> {
    await this.#child.stdin.close().catch(() => {}); // it may be gone
  }

  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It is over.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.finish();
    await this.over;
  }

  async #listen(stream: ReadableStream<Uint8Array>, tell: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      tell(decoder.decode(bytes, { stream: true }));
      this.#heard.resolve();
      this.#heard = Promise.withResolvers();
      this.#heard.promise.catch(() => {});
    }
  }
}
