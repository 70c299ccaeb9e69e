/** The client's parts in the test's own process, with what they print in the test's hands. */

import { type Context, OPTIONS, type Options } from "../../lib/cli/client_options.ts";
import { parse } from "../../lib/cli/options.ts";
import { Report, type Style } from "../../lib/cli/output/report.ts";
import { StandardOutput } from "../../lib/cli/output/standard_output.ts";
import { StatusLine } from "../../lib/cli/output/status_line.ts";
import { errors } from "../../lib/cli/program.ts";
import type { FamilyOptions } from "../../lib/net/connect.ts";

const decoder = new TextDecoder();
/** The program's name is red where the test's own standard error is a terminal. */
// deno-lint-ignore no-control-regex -- escape sequences
const COLOURS = /\x1b\[\d+m/g;

/** Standard output and standard error of the client. */
export interface Streams {
  /** Takes what is written to standard output. */
  write(bytes: Uint8Array): Promise<void>;
  /** The width of standard output, if it is a terminal. */
  readonly columns?: number | undefined;
  /** Takes a line of standard error. */
  complain(line: string): void;
  /** The width of standard error, if it is a terminal. */
  readonly drawnColumns?: number | undefined;
  /** Takes what is drawn on standard error. */
  draw(text: string): void;
}

class Captured extends StandardOutput {
  override readonly emphasis = false;

  constructor(readonly streams: Streams) {
    super();
  }

  override get columns(): number | undefined {
    return this.streams.columns;
  }

  override write(bytes: Uint8Array): Promise<void> {
    return this.streams.write(bytes);
  }
}

/** Parses the client's arguments. */
export function optionsOf(args: readonly string[]): Options {
  const options = parse(OPTIONS, [...args]);
  if (typeof options !== "string") return options;
  throw new TypeError(`${args.join(" ")} only prints the ${options}`);
}

/** A client, until the end of its block. Of several, one runs at a time. */
export class InProcess implements Disposable {
  readonly context: Context;
  readonly #line = errors.line;
  readonly #listeners = new Map<Deno.Signal, () => void>();

  /** @param name the server's place as it is printed */
  constructor(
    options: Options,
    style: Style,
    name: string,
    where: FamilyOptions,
    streams: Streams,
  ) {
    const report = new Report(name, { ...options, style, summaryAlone: options.quiet });
    Object.defineProperty(report, "output", { value: new Captured(streams) });
    const { drawnColumns } = streams;
    const status = new StatusLine({
      isTerminal: () => drawnColumns !== undefined,
      writeSync(bytes) {
        streams.draw(decoder.decode(bytes));
        return bytes.length;
      },
    }, () => ({ columns: drawnColumns ?? 0 }));
    this.context = { options, where, report, status };
    errors.line = (line) => streams.complain(line.replace(COLOURS, ""));
  }

  /** Runs a part of the client, and keeps the listeners for signals that it adds at once. */
  run<T>(part: (context: Context) => T): T {
    const { addSignalListener } = Deno;
    Deno.addSignalListener = (signal, listener) => void this.#listeners.set(signal, listener);
    try {
      return part(this.context);
    } finally {
      Deno.addSignalListener = addSignalListener;
    }
  }

  /** Does what the client does at a signal. */
  signal(name: Deno.Signal): void {
    this.#listeners.get(name)?.();
  }

  [Symbol.dispose](): void {
    errors.line = this.#line;
  }
}
