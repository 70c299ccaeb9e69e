/** Where messages come from: a list, or standard input. */

import { concat, Framer, messagesOf } from "../wire/framing.ts";
import type { Input, Output } from "./pipes.ts";
import type { MessageSource } from "./talk.ts";

/** The longest line that is read from a pipe, in bytes. */
export const LONGEST_LINE = 16 << 20;

const NONE = new Uint8Array(0);
const encoder = new TextEncoder();
const NEWLINE = encoder.encode("\n");

/** These messages, one after the other. */
export function saying(messages: readonly Uint8Array[]): MessageSource {
  const left = messages.values();
  return { next: () => Promise.resolve(left.next().value ?? null) };
}

/**
 * The lines of an input, until a blank one.
 * @param prompt asks for each; with one, what is said is shown as a terminal would
 */
export function piped(input: Input, output: Output, prompt: string): MessageSource {
  const lines = messagesOf(input, new Framer("line", LONGEST_LINE));
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
