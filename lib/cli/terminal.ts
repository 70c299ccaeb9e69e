/** A line editor on a terminal, with history. */

import type { Interface } from "node:readline";
import type { TypedMessages } from "./pipes.ts";

type Keyboard = NodeJS.ReadableStream & { setRawMode?(raw: boolean): unknown };
type Screen = NodeJS.WritableStream & { readonly columns?: number };
/** Node's interface with what its types lack: `prevRows` are those from the first of the line to the cursor. */
type Editor = Interface & { prevRows: number; cursor: number; readonly closed?: true };

const ESCAPE = "\x1b";
/** An escape sequence and the text that may belong to it, a text, or another key. */
const PIECES = new RegExp(`${ESCAPE}\\P{Cc}*|\\P{Cc}+|\\p{Cc}`, "gu");
/** The least characters at once that count as pasted; fewer may be the rest of an escape sequence. */
const PASTED = 16;
/** Keys that readline handles on a dumb terminal: the ends of a line, Ctrl-C, Ctrl-D. */
const HANDLED = "\r\n\x03\x04";
/** The key that goes to the end of the line. */
const TO_END = { ctrl: true, name: "e" };
const NOT_SUSPENDED = "(Ctrl-Z can't suspend the client: Ctrl-C ends it)";

/** The lines that are typed. Disposing of it restores the terminal. */
export type Terminal = TypedMessages & Disposable;

/**
 * Opens the editor of a terminal.
 * @param prompt the prompt, which may have colours
 * @param onInterrupt called at Ctrl-C
 */
export async function openTerminal(
  keyboard: Keyboard,
  screen: Screen,
  prompt: string,
  onInterrupt: () => void,
): Promise<Terminal> {
  // Not at the top: without a terminal, loading them would only take time.
  const { createInterface } = await import("node:readline");
  const { Readable, Writable } = await import("node:stream");
  const lines: string[] = []; // typed ahead or pasted
  let answer: ((line: string | null) => void) | undefined; // while a line is asked for

  const output = new Writable({
    write(chunk, _, done) {
      if (answer !== undefined) screen.write(chunk); // text typed ahead is not drawn
      done();
    },
  });
  Object.defineProperty(output, "columns", { get: () => screen.columns });
  const input = Object.assign(new Readable({ read() {} }), {
    setRawMode: (raw: boolean) => keyboard.setRawMode?.(raw),
  });
  const editor = createInterface({ input, output, prompt, terminal: true }) as Editor;
  /** On a terminal with TERM=dumb, readline edits nothing, and takes Backspace for text. */
  const isDumb = Object.hasOwn(editor, "_ttyWrite");

  /** Draws the line, from the row of the cursor. */
  function draw(): void {
    editor.prevRows = 0;
    editor.prompt(true);
  }

  /** Takes a line that was entered already, or draws what was typed of the next one. */
  function ask(settle: (line: string | null) => void): void {
    const line = lines.shift();
    if (line !== undefined) screen.write(`${prompt}${line}\n`);
    if (line !== undefined || editor.closed) return settle(line ?? null);
    answer = settle;
    draw();
  }

  /** Gives the line to the call that waits for one; from then on, nothing is drawn. */
  function enter(line: string | null): void {
    const settle = answer;
    answer = undefined;
    if (settle !== undefined) settle(line);
    else if (line !== null) lines.push(line);
  }

  /** Handles Backspace, and ignores other keys that are not text, but for the ends of a line and of the input. */
  function editDumb(piece: string): boolean {
    if (/^[\b\x7f]$/.test(piece) && editor.line !== "") {
      const line = [...editor.line].slice(0, -1).join("");
      Object.assign(editor, { line, cursor: line.length });
      if (answer !== undefined) screen.write("\b \b");
    }
    return /^\p{Cc}/u.test(piece) && !HANDLED.includes(piece);
  }

  editor.on("SIGINT", onInterrupt);
  editor.on("SIGTSTP", () => { // suspending takes a permission that is missing
    if (answer === undefined) return void screen.write(`\r${ESCAPE}[K${NOT_SUSPENDED}\n`);
    const { cursor } = editor;
    editor.write(null, TO_END);
    screen.write(`\n${NOT_SUSPENDED}\n`);
    editor.cursor = cursor;
    draw();
  });
  editor.on("line", enter);
  editor.on("close", () => {
    keyboard.pause();
    enter(null);
  });
  screen.on("resize", () => {
    // Terminals rewrap a long line, and keep the cursor at its character.
    editor.prevRows = editor.getCursorPos().rows;
    output.emit("resize");
  });
  keyboard.setEncoding("utf8");
  // Passes keys to the editor, but a paste as a whole: key by key it would take quadratic time.
  keyboard.on("data", (text: string) => {
    for (const [piece] of text.matchAll(PIECES)) {
      if (editor.closed) return;
      if (isDumb && editDumb(piece)) continue;
      if (piece.length < PASTED || piece.startsWith(ESCAPE)) input.emit("data", piece);
      else editor.write(piece);
      editor.prevRows = editor.getCursorPos().rows; // readline misses those of a paste
    }
  });
  keyboard.on("end", () => editor.close());

  return {
    async next() {
      const line = await new Promise(ask);
      if (line === null) screen.write("\n");
      return line === null ? null : new TextEncoder().encode(line);
    },
    abandon() {
      if (answer !== undefined) {
        editor.write(null, TO_END); // it may have several rows
        answer = undefined;
        screen.write("\n");
      }
    },
    async interrupt(write) {
      if (answer === undefined) return await write();
      const { rows } = editor.getCursorPos();
      screen.write(`${rows > 0 ? `${ESCAPE}[${rows}A` : ""}\r${ESCAPE}[J`);
      const settle = answer;
      answer = undefined; // until then, nothing is drawn or taken for an answer
      await write().finally(() => ask(settle));
    },
    [Symbol.dispose]: () => editor.close(),
  };
}
