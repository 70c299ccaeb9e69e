/** A person at a terminal: asks for lines, with editing and history. */

import { createInterface } from "node:readline";

/** A line editor on a terminal. The terminal is as it was once this is closed. */
export class Terminal implements Disposable {
  readonly #editor;
  #lines: string[] = []; // typed ahead or pasted
  #closed = false;
  #answer: ((line: string | null) => void) | undefined;

  /** @param onInterrupt Ctrl-C was typed */
  constructor(
    input: NodeJS.ReadableStream,
    readonly output: NodeJS.WritableStream,
    readonly prompt: string,
    onInterrupt: () => void,
  ) {
    this.#editor = createInterface({ input, output, prompt, terminal: true });
    this.#editor.on("SIGINT", onInterrupt);
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
    this.#editor.prompt();
    return new Promise((resolve) => this.#answer = resolve);
  }

  #take(line: string): void {
    const answer = this.#answer;
    this.#answer = undefined;
    if (answer) answer(line);
    else this.#lines.push(line);
  }

  [Symbol.dispose](): void {
    this.#editor.close();
  }
}
