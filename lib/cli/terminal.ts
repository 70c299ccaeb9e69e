/** A line editor on a terminal, with history. */

import type { Interface } from "node:readline";
import type * as Streams from "node:stream";

/** The keyboard of a terminal. */
type Input = NodeJS.ReadableStream & { setRawMode?(raw: boolean): unknown };
/** The screen of a terminal. */
type Output = NodeJS.WritableStream & { readonly columns?: number };
/** Node's interface with a field that its types lack: the rows from the first of the line to the cursor. */
type Editor = Interface & { prevRows: number; cursor: number };

const ESCAPE = "\x1b";
/** An escape sequence and the text that may belong to it, a text, or another key. */
const PIECES = new RegExp(`${ESCAPE}\\P{Cc}*|\\P{Cc}+|\\p{Cc}`, "gu");
/** The least characters at once that count as pasted; fewer may be the rest of an escape sequence. */
const PASTED = 16;
/** Keys that readline handles on a dumb terminal: the ends of a line, Ctrl-C, Ctrl-D. */
const HANDLED = "\r\n\x03\x04";
const NOT_SUSPENDED = "(Ctrl-Z can't suspend the client: Ctrl-C ends it)";

/** A line editor. It restores the terminal when it is disposed of. */
export class Terminal implements Disposable {
  readonly #editor: Editor;
  readonly #keyboard: NodeJS.ReadableStream;
  #lines: string[] = []; // typed ahead or pasted
  #closed = false;
  #answer: ((line: string | null) => void) | undefined;

  private constructor(
    { createInterface }: typeof import("node:readline"),
    streams: typeof Streams,
    input: Input,
    readonly output: Output,
    readonly prompt: string,
  ) {
    const screen = this.#screen(streams.Writable);
    this.#keyboard = Object.assign(new streams.Readable({ read() {} }), {
      setRawMode: (raw: boolean) => input.setRawMode?.(raw),
    });
    this.#editor = createInterface({
      input: this.#keyboard,
      output: screen,
      prompt,
      terminal: true,
    }) as Editor;
    this.#editor.on("SIGTSTP", () => this.#notify(NOT_SUSPENDED)); // suspending takes a permission that is missing
    this.#editor.on("line", (line) => this.#enter(line));
    this.#editor.on("close", () => {
      this.#closed = true;
      input.pause();
      const answer = this.#answer;
      this.#answer = undefined; // draws nothing from now on
      answer?.(null);
    });
    input.setEncoding("utf8");
    input.on("data", (text: string) => this.#type(text));
    input.on("end", () => this.#editor.close());
  }

  /**
   * Opens the editor of a terminal.
   * @param prompt the prompt, which may have colours
   * @param onInterrupt called at Ctrl-C
   */
  static async open(
    input: Input,
    output: Output,
    prompt: string,
    onInterrupt: () => void,
  ): Promise<Terminal> {
    // Not at the top: without a terminal, loading them would only take time.
    const readline = await import("node:readline");
    const streams = await import("node:stream");
    const terminal = new Terminal(readline, streams, input, output, prompt);
    terminal.#editor.on("SIGINT", onInterrupt);
    return terminal;
  }

  /** Asks for a line; resolves to null at the end (Ctrl-D). */
  ask(): Promise<string | null> {
    const line = this.#lines.shift();
    if (line !== undefined) {
      this.output.write(`${this.prompt}${line}\n`);
      return Promise.resolve(line);
    }
    if (this.#closed) return Promise.resolve(null);
    const { promise, resolve } = Promise.withResolvers<string | null>();
    this.#answer = resolve;
    this.#draw(); // shows what was typed meanwhile
    return promise;
  }

  /** Writes something above the line that is being typed. */
  async interrupt(write: () => Promise<void>): Promise<void> {
    const answer = this.#answer;
    if (answer === undefined) return await write();
    const { rows } = this.#editor.getCursorPos();
    this.output.write(`${rows > 0 ? `\x1b[${rows}A` : ""}\r\x1b[J`);
    this.#answer = undefined; // until then, nothing is drawn or taken for an answer
    try {
      await write();
    } finally {
      this.#answer = answer;
      const line = this.#lines.shift();
      Object.assign(this.#editor, { prevRows: 0 }); // it is drawn from the row of the cursor
      if (line === undefined) this.#editor.prompt(true);
      else {
        this.output.write(`${this.prompt}${line}\n`);
        this.#enter(line);
      }
    }
  }

  /** Gives up the line that is being typed, and goes to the row below it. */
  leave(): void {
    if (this.#answer === undefined) return;
    this.#editor.write(null, { ctrl: true, name: "e" }); // it may have several rows
    this.#answer = undefined;
    this.output.write("\n");
  }

  /** Redraws the line, from the row of the cursor. */
  #draw(): void {
    this.#editor.prevRows = 0;
    this.#editor.prompt(true);
  }

  /** Prints a sentence and redraws the line that is being typed. */
  #notify(words: string): void {
    if (this.#answer === undefined) return void this.output.write(`\r${ESCAPE}[K${words}\n`);
    const { cursor } = this.#editor;
    this.#editor.write(null, { ctrl: true, name: "e" });
    this.output.write(`\n${words}\n`);
    this.#editor.cursor = cursor;
    this.#draw();
  }

  /** A terminal with TERM=dumb: there, readline edits nothing, and takes Backspace for text. */
  get #isDumb(): boolean {
    return Object.hasOwn(this.#editor, "_ttyWrite");
  }

  /** Handles Backspace, and ignores other keys that are not text, but for the ends of a line and of the input. */
  #edit(piece: string): boolean {
    if (/^[\b\x7f]$/.test(piece) && this.#editor.line !== "") {
      const line = [...this.#editor.line].slice(0, -1).join("");
      Object.assign(this.#editor, { line, cursor: line.length });
      if (this.#answer !== undefined) this.output.write("\b \b");
    }
    return /^\p{Cc}/u.test(piece) && !HANDLED.includes(piece);
  }

  /** Passes keys to the editor, but a paste as a whole: key by key it would take quadratic time. */
  #type(text: string): void {
    for (const [piece] of text.matchAll(PIECES)) {
      if (this.#closed) return;
      if (this.#isDumb && this.#edit(piece)) continue;
      if (piece.length < PASTED || piece.startsWith(ESCAPE)) this.#keyboard.emit("data", piece);
      else {
        this.#editor.write(piece);
        this.#updateRows();
      }
    }
  }

  /** Updates the rows that readline counts: it misses those of a paste and of a new width. */
  #updateRows(): void {
    this.#editor.prevRows = this.#editor.getCursorPos().rows;
  }

  /** Makes the stream that the editor draws to; text typed ahead, while no line is asked for, is not drawn. */
  #screen(Writable: typeof Streams.Writable): Streams.Writable {
    const screen = new Writable({
      write: (chunk, _, done) => {
        if (this.#answer !== undefined) this.output.write(chunk);
        done();
      },
    });
    this.output.on("resize", () => {
      this.#updateRows(); // terminals rewrap a long line, and keep the cursor at its character
      screen.emit("resize");
    });
    return Object.defineProperty(screen, "columns", { get: () => this.output.columns });
  }

  #enter(line: string): void {
    const answer = this.#answer;
    this.#answer = undefined;
    if (answer) answer(line);
    else this.#lines.push(line);
  }

  /** Restores the terminal. */
  [Symbol.dispose](): void {
    this.#editor.close();
  }
}
