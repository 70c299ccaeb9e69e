/** A person at a terminal: asks for lines, with editing and history. */

import type { Interface } from "node:readline";
import type { Writable } from "node:stream";

/** The terminal that is written to. */
type Output = NodeJS.WritableStream & { readonly columns?: number };

/** A line editor on a terminal. The terminal is as it was once this is closed. */
export class Terminal implements Disposable {
  readonly #editor: Interface;
  #lines: string[] = []; // typed ahead or pasted
  #closed = false;
  #answer: ((line: string | null) => void) | undefined;

  private constructor(
    { createInterface }: typeof import("node:readline"),
    Stream: typeof Writable,
    input: NodeJS.ReadableStream,
    readonly output: Output,
    readonly prompt: string,
  ) {
    const screen = this.#screen(Stream);
    this.#editor = createInterface({ input, output: screen, prompt, terminal: true });
    this.#editor.on("SIGTSTP", () => {}); // Ctrl-Z: to suspend ourselves takes a right that we lack
    this.#editor.on("line", (line) => this.#take(line));
    this.#editor.on("close", () => {
      this.#closed = true;
      this.#answer?.(null);
    });
  }

  /**
   * Takes a terminal over.
   * @param prompt may have colours
   * @param onInterrupt Ctrl-C was typed
   */
  static async open(
    input: NodeJS.ReadableStream,
    output: Output,
    prompt: string,
    onInterrupt: () => void,
  ): Promise<Terminal> {
    // Not at the top: who has no terminal would wait for them.
    const readline = await import("node:readline");
    const { Writable } = await import("node:stream");
    const terminal = new Terminal(readline, Writable, input, output, prompt);
    terminal.#editor.on("SIGINT", onInterrupt);
    return terminal;
  }

  /** The next line; null at the end (Ctrl-D). */
  ask(): Promise<string | null> {
    const line = this.#lines.shift();
    if (line !== undefined) {
      this.output.write(`${this.prompt}${line}\n`);
      return Promise.resolve(line);
    }
    if (this.#closed) return Promise.resolve(null);
    const { promise, resolve } = Promise.withResolvers<string | null>();
    this.#answer = resolve;
    this.#editor.prompt(true); // what was typed meanwhile is kept, and shown now
    return promise;
  }

  /** Goes to the line below what is being typed, which is given up. */
  leave(): void {
    if (this.#answer === undefined) return;
    this.#editor.write(null, { ctrl: true, name: "e" }); // it may have several rows
    this.#answer = undefined;
    this.output.write("\n");
  }

  /** Where the editor draws: nowhere while nothing is asked, so that what is typed ahead mixes with no reply. */
  #screen(Stream: typeof Writable): Writable {
    const screen = new Stream({
      write: (chunk, _, done) => {
        if (this.#answer !== undefined) this.output.write(chunk);
        done();
      },
    });
    this.output.on("resize", () => screen.emit("resize"));
    return Object.defineProperty(screen, "columns", { get: () => this.output.columns });
  }

  #take(line: string): void {
    const answer = this.#answer;
    this.#answer = undefined;
    if (answer) answer(line);
    else this.#lines.push(line);
  }

  /** Lets go of the terminal. */
  [Symbol.dispose](): void {
    this.#editor.close();
  }
}
