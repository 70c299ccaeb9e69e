/** Where the server's lines go: standard output, standard error beside a command, or a file. */

import { errorMessage } from "../checks.ts";
import { Log } from "../log.ts";
import { asJson, quote } from "../wire/quote.ts";
import { TraceText } from "./trace.ts";
import { asText, asTrace, type Format, type TranscriptOptions } from "./transcript.ts";

/** The options that say what is printed, and where. */
export interface LogOptions {
  readonly log: "text" | "json" | undefined;
  readonly trace: boolean;
  readonly quiet: boolean;
  readonly once: boolean;
  readonly hideSilent: boolean;
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

/** The log of a server. */
export class ServerLog {
  readonly transcript: TranscriptOptions;
  readonly #logs: Log[];

  /**
   * @param hasCommand the command has standard output for itself
   * @param fail prints a sentence on standard error
   */
  constructor(
    options: LogOptions,
    hasCommand: boolean,
    file: Deno.FsFile | undefined,
    fail: (sentence: string) => void,
  ) {
    const out = file ?? (hasCommand ? Deno.stderr : Deno.stdout);
    const name = file ? "the log file" : `standard ${hasCommand ? "error" : "output"}`;
    const columns = () => out.isTerminal() ? Deno.consoleSize().columns : undefined;
    const isText = options.log !== "json";
    const trace = options.trace && isText ? new TraceText("peer", columns) : undefined;
    const format: Format = trace ? asTrace(trace) : isText ? asText : asJson;
    const dropped = (lines: number) => format({ event: "dropped", lines }, new Date(), 0);
    const failed = (error: unknown) =>
      fail(`cannot write to ${name}: ${errorMessage(error)}; the conversations go on`);
    const isPrinted = !hasCommand || options.log !== undefined || options.trace || file;
    const log = new Log(out, dropped, failed);
    // A program that starts the server reads the address from its output.
    const ready = file && !hasCommand ? new Log(Deno.stdout, dropped) : undefined;
    this.#logs = ready ? [log, ready] : [log];
    const print: TranscriptOptions["print"] = (line, event) => {
      log.line(line);
      if (event === "listening") ready?.line(line);
    };
    this.transcript = { ...options, format, trace, print: isPrinted ? print : () => {} };
  }

  /** Waits until all lines are written, at most a second. */
  async flush(): Promise<void> {
    await Promise.all(this.#logs.map((log) => log.flush()));
  }
}
