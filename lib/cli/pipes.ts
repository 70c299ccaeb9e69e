/** Standard input, and what it is cut into: lines, messages of a conversation, bytes as they are. */

import { errorMessage } from "../checks.ts";
import type { Conn } from "../net/conn.ts";
import { isPending } from "../wait.ts";
import { BY_LF, concat, CR, Framer, LF, messagesOf } from "../wire/framing.ts";
import { NONE, utf8 } from "../wire/message.ts";
import { nextReply } from "../wire/replies.ts";
import { UsageError } from "./options.ts";

/** A source of bytes. */
export type Input = Pick<Conn, "read">;
/** A destination of bytes, all of which are written. */
export type Output = { write(bytes: Uint8Array): Promise<unknown> };

/** Standard input. Its end is final: a terminal could be read again after Ctrl-D. */
export function standardInput(input: Input): Input {
  let count: number | null = 0;
  return {
    async read(into) {
      if (count === null) return null;
      count = await input.read(into).catch((error) => {
        throw new Error(`cannot read standard input: ${errorMessage(error)}`);
      });
      return count;
    },
  };
}

/** The time in which an input that has already ended shows that, in ms. */
const ENDED = 50;
const HAS_ENDED = "cannot use --until-eof: standard input has already ended; give it a pipe " +
  "that stays open, as the program that starts the server can";

/**
 * Calls back at the end of standard input, which is discarded.
 * @throws {UsageError} if it has already ended
 */
export async function onInputEnd(callback: () => void): Promise<void> {
  const end = Deno.stdin.readable.pipeTo(new WritableStream()).catch(() => {});
  if (!await isPending(end, ENDED)) throw new UsageError(HAS_ENDED);
  void end.then(callback);
}

/** Messages that are typed, or shown as if they were. */
export interface TypedMessages {
  /** The next message; null at the end. */
  next(): Promise<Uint8Array | null>;
  /** Gives up the pending call of `next`, if there is one: the conversation has ended. */
  abandon(): Promise<void> | void;
  /** Writes something else without breaking the line that is being typed. */
  interrupt(write: () => Promise<void>): Promise<void>;
}

/** The messages of a conversation. */
export type Messages = Pick<TypedMessages, "next">;

/** The longest line that is read from a pipe, in bytes. */
export const MAX_LINE: number = 16 << 20;
/** The size of a read of bytes that are sent as they are, in bytes. */
const READ = 262144;

/** The messages of a list. */
export function listed(messages: readonly Uint8Array[]): Messages {
  const left = messages.values();
  return { next: () => Promise.resolve(left.next().value ?? null) };
}

/**
 * The lines of an input.
 * @param prompt written before each line, which is then written too, as a terminal shows it
 */
export function piped(input: Input, output: Output, prompt: string): TypedMessages {
  const lines = messagesOf(input, new Framer("line", MAX_LINE));
  const show = async (bytes: Uint8Array) => void (prompt && await output.write(bytes));
  let isAsking = false;
  return {
    async next() {
      isAsking = true;
      await show(utf8(prompt));
      const { value: line = null } = await lines.next();
      isAsking = false;
      await show(concat([line ?? NONE, BY_LF]));
      return line;
    },
    async abandon() {
      if (isAsking) await show(BY_LF);
    },
    async interrupt(write) {
      if (isAsking) await show(BY_LF);
      await write();
      if (isAsking) await show(utf8(prompt));
    },
  };
}

/** The bytes of an input as they are read: views, each valid until the next. */
export async function* piecesOf(input: Input): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(READ);
  for (let count; (count = await input.read(buffer)) !== null;) yield buffer.subarray(0, count);
}

/** The messages of a source, each with a line ending. */
export async function* linesOf(source: Messages): AsyncGenerator<Uint8Array> {
  for (let line; (line = await source.next()) !== null;) yield concat([line, BY_LF]);
}

/** Ends every line with CRLF. */
export async function* withCrlf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let last = 0;
  for await (const piece of pieces) {
    const bytes = [];
    for (const byte of piece) {
      if (byte === LF && last !== CR) bytes.push(CR);
      bytes.push(byte);
      last = byte;
    }
    yield Uint8Array.from(bytes);
  }
}

/**
 * Cuts what is written into lines, and passes them on with their numbers.
 * @param onLine receives each line without its ending
 * @returns also `end`, which passes on the last line if it has no ending
 */
export function cutIntoLines(onLine: (line: Uint8Array, seq: number) => Promise<void>) {
  const held: Uint8Array[] = []; // pieces of a line: joined once, however many there are
  let count = 0;
  return {
    async write(bytes: Uint8Array): Promise<void> {
      let rest = bytes.includes(LF) && held.length > 0 ? concat([...held.splice(0), bytes]) : bytes;
      for (let line; (line = nextReply(rest, { framing: "line" })) !== null;) {
        await onLine(line.reply, ++count);
        rest = rest.subarray(line.length);
      }
      if (rest.length > 0) held.push(rest.slice());
    },
    async end(): Promise<void> {
      if (held.length > 0) await onLine(concat(held), ++count);
    },
  };
}

/** LF in each byte of a word; and the lower seven bits of each byte. */
const LFS = 0x0a0a0a0a, LOW = 0x7f7f7f7f;

/** Counts LFs, four bytes at a time: byte by byte took a tenth of the filter's time. */
export function countLines(bytes: Uint8Array): number {
  const { buffer, byteOffset, length } = bytes;
  const view = new DataView(buffer, byteOffset, length);
  const whole = length & ~3; // the bytes in whole words
  let count = 0;
  for (let at = 0; at < whole; at += 4) {
    const word = view.getUint32(at, true) ^ LFS; // an LF is now a zero byte
    const low = (word & LOW) + LOW; // only a zero byte leaves bit 7 clear, here and in the word
    count += Math.imul(~(low | word | LOW) >>> 7, 0x01010101) >>> 24; // the sum of four bytes
  }
  for (let at = whole; at < length; at++) if (bytes[at] === LF) count++;
  return count;
}
