/** Sources of messages: a list, or standard input. */

import { concat, Framer, messagesOf } from "../wire/framing.ts";
import type { Input, Output } from "./pipes.ts";
import type { MessageSource } from "./talk.ts";

/** The longest line that is read from a pipe, in bytes. */
export const MAX_LINE: number = 16 << 20;
/** The size of a read of bytes that are sent as they are, in bytes. */
const READ = 65536;

const CR = 13, LF = 10;
const NONE = new Uint8Array(0);
const encoder = new TextEncoder();
const NEWLINE = encoder.encode("\n");

/** The messages of a list. */
export function listed(messages: readonly Uint8Array[]): MessageSource {
  const left = messages.values();
  return { next: () => Promise.resolve(left.next().value ?? null) };
}

/**
 * The lines of an input, until a blank one.
 * @param prompt written before each line, which is then written too, as a terminal shows it
 */
export function piped(input: Input, output: Output, prompt: string): MessageSource {
  const lines = messagesOf(input, new Framer("line", MAX_LINE));
  const show = async (bytes: Uint8Array) => void (prompt && await output.write(bytes));
  let isAsking = false;
  return {
    async next() {
      isAsking = true;
      await show(encoder.encode(prompt));
      const { value: line = NONE } = await lines.next();
      isAsking = false;
      await show(concat([line, NEWLINE]));
      return line.length > 0 ? line : null;
    },
    abandon: () => show(NEWLINE),
    async interrupt(write) {
      if (isAsking) await show(NEWLINE);
      await write();
      if (isAsking) await show(encoder.encode(prompt));
    },
  };
}

/** Ends a source at its first blank message. */
export function untilBlank(source: MessageSource): MessageSource {
  const next = async () => {
    const message = await source.next();
    return message?.length ? message : null;
  };
  return { ...source, next };
}

/** The bytes of an input as they are read: views, each valid until the next. */
export async function* piecesOf(input: Input): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(READ);
  for (let count; (count = await input.read(buffer)) !== null;) yield buffer.subarray(0, count);
}

/** The messages of a source, each with a line ending. */
export async function* linesOf(source: MessageSource): AsyncGenerator<Uint8Array> {
  for (let line; (line = await source.next()) !== null;) yield concat([line, NEWLINE]);
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
