/** The client's input: as messages, as lines, and as it is. */

import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { UsageError } from "../../lib/cli/options.ts";
import * as pipes from "../../lib/cli/pipes.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { turn } from "../../lib/wait.ts";

/** An input that is read in these pieces; each read takes a turn. */
function inputOf(...pieces: string[]): pipes.Input {
  const left = pieces.map(latin1);
  return {
    async read(into) {
      await turn();
      const piece = left.shift();
      if (piece === undefined) return null;
      into.set(piece);
      return piece.length;
    },
  };
}

/** All messages of a source. */
async function all(source: pipes.Messages): Promise<string[]> {
  const messages: string[] = [];
  for (let message; (message = await source.next()) !== null;) messages.push(text(message));
  return messages;
}

/** What is written. */
class Output {
  written = "";
  write(bytes: Uint8Array): Promise<void> {
    this.written += text(bytes);
    return Promise.resolve();
  }
}

describe("messages are", () => {
  it("those of a list, or the lines of an input", async () => {
    const texts = ["a", "b", "", "c"];
    assertEquals(await all(pipes.listed(texts.map(latin1))), texts);
    const piped = pipes.piped(inputOf("a\r\nb", "\nlast"), new Output(), "");
    assertEquals(await all(piped), ["a", "b", "last"]);
  });

  it("shown after a prompt, as on a terminal; without a prompt, nothing is", async () => {
    for (const [prompt, shown] of [[">", ">a\n>b\n>\n"], ["", ""]] as const) {
      const output = new Output();
      await all(pipes.piped(inputOf("a\nb\n"), output, prompt));
      assertEquals(output.written, shown);
    }
  });

  it("asked for again after something else was written; then their line is ended", async () => {
    const output = new Output();
    const source = pipes.piped(inputOf("a\n"), output, ">");
    const write = () => output.write(latin1("else\n"));
    await source.interrupt(write);
    const asking = source.next();
    await source.interrupt(write);
    await asking;
    await source.interrupt(write);
    await source.abandon();
    const ending = source.next();
    await source.abandon();
    assertEquals(output.written, "else\n>\nelse\n>a\nelse\n>\n");
    await ending;
  });
});

describe("an input", () => {
  it("is sent as it is, or a line at a time, with CRLF or without", async () => {
    const read = async (pieces: AsyncIterable<Uint8Array>) => {
      const texts = [];
      for await (const piece of pieces) texts.push(text(piece));
      return texts;
    };
    assertEquals(await read(pipes.piecesOf(inputOf("a\nb", "c"))), ["a\nb", "c"]);
    const lines = () => pipes.linesOf(pipes.listed([latin1("a"), latin1("")]));
    assertEquals(await read(lines()), ["a\n", "\n"]);
    assertEquals(await read(pipes.withCrlf(lines())), ["a\r\n", "\r\n"]);
  });

  it("is cut into lines with numbers, however it comes; the last may have no end", async () => {
    for (const pieces of [["a\r\nb\n\nc"], ["a", "\r", "\n", "b\n\n", "c"], ["a\r\nb", "\n\nc"]]) {
      const lines: string[] = [];
      const cutter = pipes.cutIntoLines((line, seq) =>
        Promise.resolve(void lines.push(`${seq} ${text(line)}`))
      );
      for (const piece of pieces) {
        const bytes = latin1(piece);
        await cutter.write(bytes);
        bytes.fill(0); // it is the reader's own buffer
      }
      await cutter.end();
      assertEquals(lines, ["1 a", "2 b", "3 ", "4 c"]);
    }
    const ended = pipes.cutIntoLines(() => Promise.resolve());
    await ended.end();
  });

  it("has as many lines as LFs, wherever they are", () => {
    for (const near of ["\x00", "\x8a", "\x0b", "\x09", "\n"]) {
      for (let length = 0; length < 20; length++) {
        for (let at = 0; at < length; at++) {
          const bytes = latin1("x" + near.repeat(at) + "\n" + near.repeat(length - at - 1));
          const lfs = near === "\n" ? length : 1;
          assertEquals(pipes.countLines(bytes.subarray(1)), lfs, `${length} ${at}`);
        }
      }
    }
  });
});

describe("the end of standard input", () => {
  /** Waits for the end while standard input is read so; `opened` settles once it is waited for. */
  async function waitForEnd(
    read: (reads: number, opened: Promise<void>) => Promise<number | null>,
  ): Promise<void> {
    const opened = Promise.withResolvers<void>();
    let reads = 0;
    const readable = new ReadableStream({
      async pull(controller) {
        const count = await read(++reads, opened.promise);
        if (count === null) controller.close();
        else controller.enqueue(new Uint8Array(count));
      },
    });
    Object.defineProperty(Deno.stdin, "readable", { value: readable, configurable: true });
    try {
      const { promise: ended, resolve } = Promise.withResolvers<void>();
      await pipes.onInputEnd(resolve);
      opened.resolve();
      await ended;
    } finally {
      Reflect.deleteProperty(Deno.stdin, "readable"); // the class has it
    }
  }

  it("is called back, of one that fails too; what is read is discarded", async () => {
    for (const end of [() => Promise.resolve(null), () => Promise.reject(new Error("broken"))]) {
      await waitForEnd((reads, opened) => reads === 1 ? Promise.resolve(5) : opened.then(end));
    }
  });

  it("is no end to wait for if it has come already", async () => {
    const why = "cannot use --until-eof: standard input has already ended; give it a pipe that " +
      "stays open, as the program that starts the server can";
    await assertRejects(() => waitForEnd(() => Promise.resolve(null)), UsageError, why);
  });
});
