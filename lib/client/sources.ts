/** Where messages come from: a list, standard input, or a clock. */

import { Framer, join, messagesOf } from "../wire/framing.ts";
import type { Input, Output } from "./pipes.ts";
import type { Source } from "./talk.ts";

/** The longest line that is read from a pipe, in bytes. */
export const LONGEST_LINE = 16 << 20;

const NONE = new Uint8Array(0);
const encoder = new TextEncoder();
const NEWLINE = encoder.encode("\n");

/** These messages, one after the other. */
export function saying(messages: readonly Uint8Array[]): Source {
  const left = messages.values();
  return { next: () => Promise.resolve(left.next().value ?? null) };
}

/**
 * The lines of an input, until a blank one.
 * @param prompt asks for each; with one, what is said is shown as a terminal would
 */
export function piped(input: Input, output: Output, prompt: string): Source {
  const lines = messagesOf(input, new Framer("line", LONGEST_LINE));
  const show = async (bytes: Uint8Array) => void (prompt && await output.write(bytes));
  return {
    async next() {
      await show(encoder.encode(prompt));
      const { value: line = NONE } = await lines.next();
      await show(join([line, NEWLINE]));
      return line.length > 0 ? line : null;
    },
    abandon: () => show(NEWLINE),
  };
}

/**
 * A message each time an interval has passed; where a reply takes longer, the next follows at once.
 * @param messages said in turn, over and over; without any, `ping 1`, `ping 2` and so on
 * @param interval from one to the next, in ms
 * @param signal ends them
 */
export function pinging(
  messages: readonly Uint8Array[],
  interval: number,
  signal: AbortSignal,
): Source {
  let due = performance.now();
  let said = 0;
  return {
    async next() {
      due = Math.max(due, performance.now());
      await until(due, signal);
      due += interval;
      if (signal.aborted) return null;
      return messages[said++ % messages.length] ?? encoder.encode(`ping ${said}`);
    },
  };
}

function until(due: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, Math.max(0, due - performance.now()));
  const stop = () => {
    clearTimeout(timer);
    resolve();
  };
  signal.addEventListener("abort", stop, { once: true });
  return promise.finally(() => signal.removeEventListener("abort", stop));
}
