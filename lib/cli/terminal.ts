/** A person at a terminal: asks for lines, with editing and history. */

import type { Interface } from "node:readline";
import type * as Streams from "node:stream";

/** The terminal that is typed at. */
type Input = NodeJS.ReadableStream & { setRawMode?(raw: boolean): unknown };
/** The terminal that is written to. */
type Output = NodeJS.WritableStream & { readonly columns?: number };
/** With what Node's types leave out: how many rows above the cursor the line begins, as it was drawn. */
type Editor = Interface & { prevRows: number; cursor: number };

const ESCAPE = "\x1b";
/** An escape sequence and what may belong to it; text; a key that is no text. */
const PIECES = new RegExp(`${ESCAPE}\\P{Cc}*|\\P{Cc}+|\\p{Cc}`, "gu");
/** So much text at once was pasted, in characters; less may be the rest of an escape sequence. */
const PASTED = 16;
/** Keys that readline handles on a dumb terminal: the ends of a line, Ctrl-C, Ctrl-D. */
const HANDLED = "\r\n\x03\x04";
const NOT_SUSPENDED = "(Ctrl-Z can't suspend the client: Ctrl-C ends it)";

/** A line editor on a terminal. The terminal is as it was once this is closed. */
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
    this.#editor.on("SIGTSTP", () => this.#tell(NOT_SUSPENDED)); // it would take a right that we lack
    this.#editor.on("line", (line) => this.#take(line));
    this.#editor.on("close", () => {
      this.#closed = true;
      input.pause();
      const answer = this.#answer;
      this.#answer = undefined; // nothing is drawn any more
      answer?.(null);
    });
    input.setEncoding("utf8");
    input.on("data", (text: string) => this.#type(text));
    input.on("end", () => this.#editor.close());
  }

  /**
   * Takes a terminal over.
   * @param prompt may have colours
   * @param onInterrupt Ctrl-C was typed
   */
  static async open(
    input: Input,
    output: Output,
    prompt: string,
    onInterrupt: () => void,
  ): Promise<Terminal> {
    // Not at the top: without a terminal nothing should wait for them.
    const readline = await import("node:readline");
    const streams = await import("node:stream");
    const terminal = new Terminal(readline, streams, input, output, prompt);
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
    this.#draw(); // what was typed meanwhile is kept, and shown now
    return promise;
  }

  /** Writes something above the line that is being typed, which stays as it was. */
  async interrupt(write: () => Promise<void>): Promise<void> {
    const answer = this.#answer;
    if (answer === undefined) return await write();
    const { rows } = this.#editor.getCursorPos();
    this.output.write(`${rows > 0 ? `\x1b[${rows}A` : ""}\r\x1b[J`);
    this.#answer = undefined; // nothing is drawn meanwhile, nor is what is typed an answer
    try {
      await write();
    } finally {
      this.#answer = answer;
      const line = this.#lines.shift();
      Object.assign(this.#editor, { prevRows: 0 }); // where the cursor is now, it draws anew
      if (line === undefined) this.#editor.prompt(true);
      else {
        this.output.write(`${this.prompt}${line}\n`);
        this.#take(line);
      }
    }
  }

  /** Goes to the line below what is being typed, which is given up. */
  leave(): void {
    if (this.#answer === undefined) return;
    this.#editor.write(null, { ctrl: true, name: "e" }); // it may have several rows
    this.#answer = undefined;
    this.output.write("\n");
  }

  /** Draws the line anew, from the row that the cursor is in. */
  #draw(): void {
    this.#editor.prevRows = 0;
    this.#editor.prompt(true);
  }

  /** Says something between what is typed; that stays as it is. */
  #tell(words: string): void {
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

  /** Takes what is typed; what is pasted in one piece, since key by key it would take quadratic time. */
  #type(text: string): void {
    for (const [piece] of text.matchAll(PIECES)) {
      if (this.#closed) return;
      if (this.#isDumb && this.#edit(piece)) continue;
      if (piece.length < PASTED || piece.startsWith(ESCAPE)) this.#keyboard.emit("data", piece);
      else {
        this.#editor.write(piece);
        this.#lookWhere();
      }
    }
  }

  /** The editor, which goes by keys, doesn't know that the cursor has come to another row. */
  #lookWhere(): void {
    this.#editor.prevRows = this.#editor.getCursorPos().rows;
  }

  /** Where the editor draws: nowhere while nothing is asked, so that what is typed ahead mixes with no reply. */
  #screen(Writable: typeof Streams.Writable): Streams.Writable {
    const screen = new Writable({
      write: (chunk, _, done) => {
        if (this.#answer !== undefined) this.output.write(chunk);
        done();
      },
    });
    this.output.on("resize", () => {
      this.#lookWhere(); // terminals break a long line anew, and leave the cursor at its character
      screen.emit("resize");
    });
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
