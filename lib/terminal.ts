/** A person at a terminal: asks for lines, with editing and history. */

import { createInterface } from "node:readline";
import { Writable } from "node:stream";

/** The terminal that is written to. */
type Output = NodeJS.WritableStream & { readonly columns?: number };

/** A line editor on a terminal. The terminal is as it was once this is closed. */
export class Terminal implements Disposable {
  readonly #editor;
  #lines: string[] = []; // typed ahead or pasted
  #closed = false;
  #answer: ((line: string | null) => void) | undefined;

  /**
   * @param prompt may have colours
   * @param onInterrupt Ctrl-C was typed
   */
  constructor(
    input: NodeJS.ReadableStream,
    readonly output: Output,
    readonly prompt: string,
    onInterrupt: () => void,
  ) {
    this.#editor = createInterface({ input, output: this.#screen(), prompt, terminal: true });
    this.#editor.on("SIGINT", onInterrupt);
    this.#editor.on("SIGTSTP", () => {}); // Ctrl-Z: to suspend ourselves takes a right that we lack
    this.#editor.on("line", (line) => this.#take(line));
    this.#editor.on("close", () => {
      this.#closed = true;
      this.#answer?.(null);
    });
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
  #screen(): Writable {
    const screen = new Writable({
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
