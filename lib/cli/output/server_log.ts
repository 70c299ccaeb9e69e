/** The destination of the server's lines: standard output, standard error beside a command, or a file. */

import { errorMessage } from "../../checks.ts";
import { Log } from "../../log.ts";
import { asJson, quote } from "../../wire/quote.ts";
import { TraceText } from "./trace.ts";
import { asText, asTrace, type Format, type TranscriptOptions } from "./transcript.ts";

/** The options that say what is printed. */
export interface LogOptions extends Pick<TranscriptOptions, "quiet" | "once"> {
  readonly log: "text" | "json" | undefined;
  readonly trace: boolean;
}

/**
 * Opens a log file. Its content is kept until it is truncated.
 * @throws {Error} a sentence
 */
export async function openLogFile(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { write: true, create: true });
  } catch (error) {
    throw new Error(`cannot write to ${quote(path)}: ${errorMessage(error)}`);
  }
}

/**
 * Opens the log of a server.
 * @param file the log file, if there is one
 * @param hasCommand a command has standard output for itself
 * @param fail prints a sentence on standard error
 */
export function openLog(
  { log: style, trace: isTraced, ...options }: LogOptions,
  file: Deno.FsFile | undefined,
  hasCommand: boolean,
  fail: (sentence: string) => void,
): TranscriptOptions & { flush(): Promise<unknown> } {
  const out = file ?? (hasCommand ? Deno.stderr : Deno.stdout);
  const name = file ? "the log file" : `standard ${hasCommand ? "error" : "output"}`;
  const columns = () => out.isTerminal() ? Deno.consoleSize().columns : undefined;
  const trace = isTraced && style !== "json" ? new TraceText("peer", columns) : undefined;
  const format: Format = style === "json" ? asJson : trace ? asTrace(trace) : asText;
  const dropped = (lines: number) => format({ event: "dropped", lines }, new Date(), 0);
  const log = new Log(
    out,
    dropped,
    (error) => fail(`cannot write to ${name}: ${errorMessage(error)}; the conversations go on`),
  );
  // A program that starts the server reads the address from its output.
  const ready = file && !hasCommand ? new Log(Deno.stdout, dropped) : undefined;
  const isPrinted = !hasCommand || style !== undefined || isTraced || file !== undefined;
  return {
    ...{ ...options, format, trace, quiet: options.quiet || !isPrinted },
    print(line, event) {
      if (isPrinted) log.line(line);
      if (event === "listening") ready?.line(line);
    },
    flush: () => Promise.all([log.flush(), ready?.flush()]),
  };
}
