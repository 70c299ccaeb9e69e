/** The line editor of a terminal, over streams in the test's hands: what is drawn, and what a line is. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { PassThrough, Writable } from "node:stream";
import { openTerminal } from "../../lib/cli/terminal.ts";
import { turn } from "../../lib/wait.ts";

const NO_SUSPENDING = "(Ctrl-Z can't suspend the client: Ctrl-C ends it)";
/** What is drawn of a line: the cursor goes home, the rest is cleared, the cursor to a column. */
const drawn = (text: string, column: number) => `\x1b[1G\x1b[0J>>:${text}\x1b[${column}G`;

/** Opens an editor in a terminal of 20 columns. */
async function open() {
  const raw: boolean[] = [];
  let shown = "", interrupts = 0;
  const setRawMode = (isRaw: boolean) => raw.push(isRaw);
  const keyboard = Object.assign(new PassThrough(), { setRawMode });
  const write = (chunk: Uint8Array, _: string, done: () => void) => {
    shown += new TextDecoder().decode(chunk);
    done();
  };
  const screen = Object.assign(new Writable({ write }), { columns: 20 });
  const terminal = await openTerminal(keyboard, screen, ">>:", () => interrupts++);
  const settle = async () => {
    for (let turns = 0; turns < 4; turns++) await turn();
  };
  return {
    terminal,
    keyboard,
    screen,
    raw,
    interrupts: () => interrupts,
    /** Presses keys; returns what is shown then. */
    async press(keys: string): Promise<string> {
      if (keys !== "") keyboard.write(keys);
      await settle();
      const text = shown;
      shown = "";
      return text;
    },
    /** Asks for a line. */
    ask: () =>
      terminal.next().then((line) => line === null ? null : new TextDecoder().decode(line)),
    async [Symbol.asyncDispose]() {
      terminal[Symbol.dispose]();
      await settle();
    },
  };
}

describe("a line on a terminal", () => {
  it("is edited, and given at Enter", async () => {
    await using editor = await open();
    const line = editor.ask();
    assertEquals(await editor.press(""), drawn("", 4));
    assertEquals(await editor.press("ab"), "ab");
    assertEquals(await editor.press("\x1b[D"), "\x1b[1D");
    assertEquals(await editor.press("é"), drawn("aéb", 6));
    assertEquals(await editor.press("\r"), "\x1b[1C\r\n");
    assertEquals([await line, editor.raw], ["aéb", [true]]);
  });

  it("that was typed ahead is drawn when it is asked for", async () => {
    await using editor = await open();
    assertEquals(await editor.press("one\rtwo\rthr"), "");
    assertEquals([await editor.ask(), await editor.press("")], ["one", ">>:one\n"]);
    assertEquals([await editor.ask(), await editor.press("")], ["two", ">>:two\n"]);
    const line = editor.ask();
    assertEquals(await editor.press(""), drawn("thr", 7));
    await editor.press("ee\r");
    assertEquals(await line, "three");
  });

  it("may be pasted as a whole, of several rows, and several at once", async () => {
    await using editor = await open();
    const line = editor.ask();
    await editor.press("ab\x1b[D");
    const long = "x".repeat(30);
    assertEquals(await editor.press(long), `\x1b[1G\x1b[0J>>:a${long}b\x1b[15G`);
    editor.screen.columns = 50;
    editor.screen.emit("resize");
    assertEquals(await editor.press(""), `\x1b[1G\x1b[0J>>:a${long}b\x1b[35G`);
    await editor.press(`\r${"y".repeat(16)}\rz`);
    assertEquals([await line, await editor.ask()], [`a${long}b`, "y".repeat(16)]);
  });

  it("ends at Ctrl-D and with the keyboard; the terminal is restored", async () => {
    for (const end of ["\x04", null]) {
      await using editor = await open();
      const line = editor.ask();
      await editor.press("");
      if (end === null) editor.keyboard.end();
      assertEquals(await editor.press(end ?? ""), "\n");
      assertEquals([await line, await editor.ask()], [null, null]);
      assertEquals([editor.raw, editor.keyboard.isPaused()], [[true, false], true]);
    }
  });

  it("that was entered before the end is still given", async () => {
    await using editor = await open();
    await editor.press("one\r\x04two\r");
    assertEquals([await editor.ask(), await editor.ask()], ["one", null]);
  });

  it("stays at Ctrl-C, which is reported, and at Ctrl-Z, which is explained", async () => {
    await using editor = await open();
    const line = editor.ask();
    await editor.press("ab\x1b[D");
    const explained = `\x1b[1C\n${NO_SUSPENDING}\n${drawn("ab", 5)}`;
    assertEquals(await editor.press("\x1a"), explained);
    assertEquals([await editor.press("\x03"), editor.interrupts()], ["", 1]);
    await editor.press("\r");
    assertEquals(await line, "ab");
    assertEquals(await editor.press("\x1a"), `\r\x1b[K${NO_SUSPENDING}\n`);
  });

  it("is out of the way while something else is written", async () => {
    await using editor = await open();
    const write = async () => {
      await turn();
      editor.screen.write("news\n");
    };
    await editor.terminal.interrupt(write);
    assertEquals(await editor.press(""), "news\n");
    const line = editor.ask();
    await editor.press("x".repeat(30));
    const redrawn = `\x1b[1A\r\x1b[Jnews\n\x1b[1G\x1b[0J>>:${"x".repeat(30)}\x1b[14G`;
    await editor.terminal.interrupt(write);
    assertEquals(await editor.press(""), redrawn);
    await editor.press("\x15ab");
    const writing = editor.terminal.interrupt(async () => {
      await editor.press("c\rd");
    });
    await writing;
    assertEquals(await editor.press(""), `>>:abc\n`);
    assertEquals(await line, "abc");
  });

  it("is left where it ends when the conversation is over", async () => {
    await using editor = await open();
    void editor.ask();
    await editor.press("ab\x01");
    void editor.terminal.abandon();
    assertEquals(await editor.press(""), "\x1b[2C\n");
    void editor.terminal.abandon();
    assertEquals(await editor.press("c"), "");
  });
});
