/** The client of `--ping` and `--connect` in the test's own process: all but the start of the program. And servers for it. */

import { errorMessage } from "../../lib/checks.ts";
import { OPTIONS } from "../../lib/cli/client_options.ts";
import { measure } from "../../lib/cli/measure.ts";
import { parse } from "../../lib/cli/options.ts";
import { Report } from "../../lib/cli/output/report.ts";
import { StandardOutput } from "../../lib/cli/output/standard_output.ts";
import { StatusLine } from "../../lib/cli/output/status_line.ts";
import { complain, errors } from "../../lib/cli/program.ts";
import { formatEndpoint } from "../../lib/net/address.ts";
import { readTls } from "../../lib/net/pem.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { ReceivedText } from "../../lib/testing/received_text.ts";
import { asWritten, startTimeLimit } from "../../lib/testing/time_limit.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { Framer, messagesOf } from "../../lib/wire/framing.ts";

const decoder = new TextDecoder();
/** The program's name is red where the test's own standard error is a terminal. */
// deno-lint-ignore no-control-regex -- escape sequences
const COLOURS = /\x1b\[\d+m/g;

/** Where a measurement prints. */
export interface MeasuringOptions {
  /** The width of a terminal, on which its progress is drawn. Without: there is none. */
  readonly columns?: number;
  /** Why its output can't be written. Without: it can. */
  readonly broken?: Error;
}

/** Standard output that a test reads. */
class Captured extends StandardOutput {
  override readonly emphasis = false;

  constructor(readonly print: (text: string) => void, readonly options: MeasuringOptions) {
    super();
  }

  override get columns(): number | undefined {
    return this.options.columns;
  }

  override write(bytes: Uint8Array): Promise<void> {
    if (this.options.broken) return Promise.reject(this.options.broken);
    this.print(decoder.decode(bytes));
    return Promise.resolve();
  }
}

/** A running measurement, interrupted at the end of its block. Of several, one runs at a time. */
export class Measuring implements AsyncDisposable {
  /** Its standard error so far. */
  stderr = "";
  /** What it has drawn on the terminal beside its output so far. */
  drawn = "";
  readonly #output = new ReceivedText();
  #more = Promise.withResolvers<void>();
  readonly #listeners = new Map<Deno.Signal, () => void>();
  readonly #code: Promise<number>;
  #isOver = false;

  private constructor(readonly args: readonly string[], options: MeasuringOptions) {
    const { line } = errors;
    errors.line = (text) => void (this.stderr += `${text.replace(COLOURS, "")}\n`);
    this.#code = this.#run(options).finally(() => {
      errors.line = line;
      this.#isOver = true;
      this.#more.resolve();
    });
  }

  /**
   * Starts a measurement.
   * @param args as on the command line, with `--ping` or `--connect`
   */
  static start(args: readonly (string | number)[], options: MeasuringOptions = {}): Measuring {
    return new Measuring(args.map(String), options);
  }

  /** Its standard output so far. */
  get stdout(): string {
    return this.#output.slice();
  }

  /** Waits for words on standard output, after the ones of the last such wait. */
  async until(words: string | RegExp): Promise<void> {
    const problem = `has not printed ${asWritten(words)}`;
    using limit = startTimeLimit({}, (time) => this.#failure(`${problem} ${time}`));
    for (const search = this.#output.search(words); search() === null;) {
      if (this.#isOver) throw new Error(this.#failure(problem));
      this.#more = Promise.withResolvers();
      await limit.before(this.#more.promise);
    }
  }

  /** Interrupts it as a signal does. */
  signal(name: Deno.Signal): void {
    this.#listeners.get(name)?.();
  }

  /** Waits until it has ended with this exit code. */
  async ends(code: number): Promise<void> {
    using limit = startTimeLimit({}, (time) => this.#failure(`has not ended ${time}`));
    const is = await limit.before(this.#code);
    if (is !== code) throw new Error(this.#failure(`has ended with exit code ${is}, not ${code}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOver) this.signal("SIGINT");
    await this.#code;
  }

  async #run(how: MeasuringOptions): Promise<number> {
    const options = parse(OPTIONS, [...this.args]);
    if (typeof options === "string") throw new TypeError(`${this.args} is no measurement`);
    const { host: hostname, port, timeout, wait, ipv4, ipv6, quiet, log } = options;
    const family = ipv4 ? 4 as const : ipv6 ? 6 as const : undefined;
    const tls = options.tls ? await readTls(options) : undefined;
    const where = { hostname, port, timeout, wait, tls, family };
    const style = log === "json" ? "json" : "ping";
    const report = new Report(formatEndpoint(where), { ...options, style, summaryAlone: quiet });
    const print = (text: string) => {
      this.#output.append(text);
      this.#more.resolve();
    };
    Object.defineProperty(report, "output", { value: new Captured(print, how) });
    const { columns } = how;
    const status = new StatusLine({
      isTerminal: () => columns !== undefined,
      writeSync: (bytes) => (this.drawn += decoder.decode(bytes), bytes.length),
    }, () => ({ columns: columns ?? 0 }));
    try {
      return await this.#listening(() => measure({ options, where, report, status })) ? 0 : 1;
    } catch (error) {
      complain("client", errorMessage(error));
      return 1;
    }
  }

  /** Keeps the listeners for signals that a function adds at once. */
  #listening<T>(run: () => T): T {
    const { addSignalListener } = Deno;
    Deno.addSignalListener = (signal, listener) => void this.#listeners.set(signal, listener);
    try {
      return run();
    } finally {
      Deno.addSignalListener = addSignalListener;
    }
  }

  #failure(problem: string): string {
    const outputs = `--- stdout\n${this.stdout}\n--- stderr\n${this.stderr}\n---`;
    return `${this.args.join(" ")}: ${problem}\n${outputs}`;
  }
}

/** The events that a client printed. */
export function events(stdout: string): Record<string, unknown>[] {
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

/**
 * A server of lines.
 * @param answer sends anything for a line; false closes the connection
 */
export function lines(
  answer: (line: string, send: (text: string) => Promise<void>) => Promise<boolean | void>,
): FakeServer {
  return FakeServer.start(async (conn) => {
    const send = async (text: string) => void await conn.write(latin1(text));
    for await (const message of messagesOf(conn, new Framer("line", 1 << 20))) {
      if (await answer(text(message), send) === false) return;
    }
  });
}

/** A reply as our server sends it; to `ping 1` it has 33 bytes. */
export const reply = (line: string) => `[${line}] Mon Dec  9 18:15:50 2019\n`;

/** Sends back what it receives, from the connection of this number on; drops those before. */
export function echo(options: { port?: number; from?: number } = {}): FakeServer {
  let connections = 0;
  return FakeServer.start(async (conn) => {
    const isDropped = ++connections < (options.from ?? 1);
    const buffer = new Uint8Array(65536);
    for (let size; (size = await conn.read(buffer)) !== null && !isDropped;) {
      for (let left = buffer.subarray(0, size); left.length > 0;) {
        left = left.subarray(await conn.write(left));
      }
    }
  }, options);
}

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  await using server = echo();
  return server.port;
}

/** The numbers from 1 on. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at + 1);
}

/** Measures to the end; addresses become HERE, times T. */
export async function ping(
  port: number,
  args: readonly (string | number)[],
  code: number,
): Promise<{ lines: string[]; summary: string; stderr: string }> {
  await using client = Measuring.start(["-p", port, "--ping", ...args]);
  await client.ends(code);
  const output = client.stdout.replaceAll(/127\.0\.0\.1:\d+/g, "HERE")
    .replaceAll(/time=[\d.]+/g, "time=T");
  const [lines = "", end = ""] = output.split("--- HERE ---\n");
  const [summary = ""] = end.split("\n");
  return { lines: lines.split("\n").slice(0, -1), summary, stderr: client.stderr };
}
