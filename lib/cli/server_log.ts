/** The destination of the server's lines: standard output, standard error beside a command, or a file. */

import { errorMessage } from "../checks.ts";
import { Log } from "../log.ts";
import { asJson, quote } from "../wire/quote.ts";
import { columnsOf } from "./output/standard_output.ts";
import { TraceText } from "./output/trace.ts";
import { asText, type Format } from "./output/transcript.ts";
import { command, type Options } from "./server_options.ts";

/**
 * Opens the log of a server. What its file holds is kept until that is truncated.
 * @param fail prints a sentence on standard error
 * @returns the options of a transcript, the file if there is one, and what writes the last lines
 * @throws {Error} a sentence
 */
export async function openLog(options: Options, fail: (sentence: string) => void) {
  const { log: style, logFile, trace: isTraced, quiet, once } = options;
  const open = (path: string) =>
    Deno.open(path, { write: true, create: true }).catch((error) => {
      throw new Error(`cannot write to ${quote(path)}: ${errorMessage(error)}`);
    });
  const file = logFile === undefined ? undefined : await open(logFile);
  const out = file ?? (command ? Deno.stderr : Deno.stdout);
  const name = file ? "the log file" : `standard ${command ? "error" : "output"}`;
  const failed = (error: unknown) =>
    fail(`cannot write to ${name}: ${errorMessage(error)}; the conversations go on`);
  const isJson = style === "json";
  const trace = isTraced && !isJson ? new TraceText("peer", () => columnsOf(out)) : undefined;
  const format: Format = isJson ? asJson : asText;
  const dropped = (lines: number) => format({ event: "dropped", lines });
  const log = new Log(out, dropped, failed);
  // A program that starts the server reads the address from its output.
  const ready = file && !command ? new Log(Deno.stdout, dropped) : undefined;
  const isPrinted = !command || style !== undefined || isTraced || file !== undefined;
  return {
    file,
    format,
    trace,
    quiet: quiet || !isPrinted,
    once,
    print(line: string, event?: string) {
      if (isPrinted) log.line(line);
      if (event === "listening") ready?.line(line);
    },
    flush: () => Promise.all([log.flush(), ready?.flush()]),
  };
}
