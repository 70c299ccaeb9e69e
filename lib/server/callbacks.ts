/** What went wrong, to whoever asked to be told; and somebody else's functions, called without risk. */

import { escape } from "../wire/quote.ts";
import { Log } from "../log.ts";

/** Tells what went wrong. Never throws. */
export type ReportError = (sentence: string, cause?: unknown) => void;

/** Complaints go to `onError`, whatever it does then; without one they are printed, as `Deno.serve` does. */
export function errorReporter(onError: ((error: Error) => void) | undefined): ReportError {
  const tell = onError ?? errorPrinter();
  return (sentence, cause) => safely(() => tell(new Error(sentence, { cause })), () => {});
}

/**
 * Calls a function that is somebody else's.
 * @param failed is told what it throws, or rejects with
 */
export function safely(call: () => unknown, failed: (error: unknown) => void): void {
  try {
    catchRejection(call(), failed);
  } catch (error) {
    failed(error);
  }
}

/** Tells what the result of such a function rejects with: where none is wanted, it may still be a promise. */
export function catchRejection(result: unknown, failed: (error: unknown) => void): void {
  if (result !== undefined) void (async () => await result)().catch(failed);
}

/** Whoever reads standard error never holds the server up, and what can't be written is lost. */
const printed = new Log(
  { write: (bytes) => Deno.stderr.write(bytes).catch(() => bytes.length) },
  (lines) => `(${lines} errors were not told)`,
  () => {},
);
const encoder = new TextEncoder();

/** Prints an error's sentence, and where its cause was thrown. */
function errorPrinter(): (error: Error) => void {
  return ({ message, cause }) => printed.line(escape(encoder.encode(message)) + placeOf(cause));
}

/** The lines of an error's stack that say where it was thrown. */
function placeOf(cause: unknown): string {
  try {
    const stack = cause instanceof Error ? String(cause.stack) : "";
    return stack.split("\n").filter((line) => /^ +at /.test(line)).map((line) => `\n${line}`)
      .join("");
  } catch {
    return ""; // a stack that is somebody's own
  }
}
