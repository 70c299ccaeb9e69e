/** The client of `--ping` and `--connect` in the test's own process: all but the start of the program. */

import { errorMessage } from "../../lib/checks.ts";
import { measure } from "../../lib/cli/measure.ts";
import { complain } from "../../lib/cli/program.ts";
import { formatEndpoint } from "../../lib/net/address.ts";
import { readTls } from "../../lib/net/pem.ts";
import { ReceivedText } from "../../lib/testing/received_text.ts";
import { asWritten, startTimeLimit } from "../../lib/testing/time_limit.ts";
import { InProcess, optionsOf } from "./in_process.ts";

const decoder = new TextDecoder();

/** Where a measurement prints. */
export interface MeasuringOptions {
  /** The width of a terminal, on which its progress is drawn. Without: there is none. */
  readonly columns?: number;
  /** Why its output can't be written. Without: it can. */
  readonly broken?: Error;
}

/** A running measurement, interrupted at the end of its block. Of several, one runs at a time. */
export class Measuring implements AsyncDisposable {
  /** Its standard error so far. */
  stderr = "";
  /** What it has drawn on the terminal beside its output so far. */
  drawn = "";
  readonly #output = new ReceivedText();
  #more = Promise.withResolvers<void>();
  #client: InProcess | undefined;
  readonly #code: Promise<number>;
  #isOver = false;

  private constructor(readonly args: readonly string[], options: MeasuringOptions) {
    this.#code = this.#run(options).finally(() => {
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
    this.#client?.signal(name);
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

  async #run({ columns, broken }: MeasuringOptions): Promise<number> {
    const options = optionsOf(this.args);
    const { host: hostname, port, timeout, wait, ipv4, ipv6, log } = options;
    const family = ipv4 ? 4 as const : ipv6 ? 6 as const : undefined;
    const tls = options.tls ? await readTls(options) : undefined;
    const where = { hostname, port, timeout, wait, tls, family };
    const write = (bytes: Uint8Array) => {
      if (broken) return Promise.reject(broken);
      this.#output.append(decoder.decode(bytes));
      this.#more.resolve();
      return Promise.resolve();
    };
    const complained = (line: string) => void (this.stderr += `${line}\n`);
    const draw = (text: string) => void (this.drawn += text);
    const streams = { write, columns, complain: complained, drawnColumns: columns, draw };
    const style = log === "json" ? "json" : "ping";
    using client = new InProcess(options, style, formatEndpoint(where), where, streams);
    this.#client = client;
    try {
      return await client.run(measure) ? 0 : 1;
    } catch (error) {
      complain("client", errorMessage(error));
      return 1;
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

/** The numbers from 1 on. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at + 1);
}
