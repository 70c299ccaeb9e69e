/** Calls functions of the user safely, and reports their errors. */

import { Log } from "../log.ts";
import { escape } from "../wire/quote.ts";

/** Reports an error in a sentence. Never throws. */
export type ReportError = (sentence: string, cause?: unknown) => void;

/** Reports errors to `onError`, whose own errors are dropped; without one, prints them. */
export function errorReporter(onError: ((error: Error) => void) | undefined): ReportError {
  const report = onError ?? printError;
  return (sentence, cause) => safely(() => report(new Error(sentence, { cause })), () => {});
}

/**
 * Calls a function.
 * @param failed called with the error that it throws, or with which it rejects
 */
export function safely(call: () => unknown, failed: (error: unknown) => void): void {
  try {
    catchRejection(call(), failed);
  } catch (error) {
    failed(error);
  }
}

/** Reports the rejection of a callback's result, which may be a promise even if none is expected. */
export function catchRejection(result: unknown, failed: (error: unknown) => void): void {
  if (result !== undefined) void (async () => await result)().catch(failed);
}

/** Never delays the server; drops what can't be written to standard error. */
const printed = new Log(
  { write: (bytes) => Deno.stderr.write(bytes).catch(() => bytes.length) },
  (lines) => `(${lines} errors were dropped)`,
);
const encoder = new TextEncoder();

/** Prints an error's message, and the place where its cause was thrown. */
function printError({ message, cause }: Error): void {
  printed.line(escape(encoder.encode(message)) + placeOf(cause));
}

/** Returns the lines of an error's stack that name places. */
function placeOf(cause: unknown): string {
  try {
    const stack = cause instanceof Error ? String(cause.stack) : "";
    return stack.split("\n").filter((line) => /^ +at /.test(line)).map((line) => `\n${line}`)
      .join("");
  } catch {
    return ""; // the stack is a getter that throws
  }
}
