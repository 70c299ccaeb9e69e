/** The frame of both programs: reads the command line, reports what went wrong, and exits. */

import config from "../../deno.json" with { type: "json" };
import { errorMessage } from "../checks.ts";
import { Log } from "../log.ts";
import { quote } from "../wire/quote.ts";
import { help, parse, type Table, UsageError, type Values } from "./options.ts";
import { checkRuntime } from "./runtime.ts";

/** The texts of a program's help, and its options. */
export interface ProgramOptions<T extends Table> {
  /** The command line in one line. */
  readonly usage: string;
  /** A sentence that says what the program is, and two examples. */
  readonly about: string;
  readonly options: T;
  /** The part of the help that follows the options. */
  readonly more?: string;
  /** The options that may also be given by position, in order. */
  readonly operands: readonly (keyof T & string)[];
  /** Splits an operand into several. */
  readonly cut: (operand: string) => string[];
}

/** Writes to standard error in the background: console.error would block while nobody reads. */
const errors = new Log(Deno.stderr, (lines) => `(${lines} lines were dropped)`);

/** Prints a line on standard error. */
export function printError(line: string): void {
  errors.line(line);
}

/** Prints the sentence that says what went wrong, after the program's name. */
export function complain(program: string, sentence: string): void {
  const isColoured = Deno.stderr.isTerminal() && !Deno.noColor;
  printError(`${isColoured ? `\x1b[31m${program}:\x1b[0m` : `${program}:`} ${sentence}`);
}

/** Runs a program and exits. `main` resolves to the exit code. */
export async function run<T extends Table>(
  program: ProgramOptions<T>,
  args: readonly string[],
  main: (options: Values<T>) => Promise<number>,
  complain: (sentence: string) => void,
): Promise<never> {
  const code = await start(program, args, main).catch((error) => {
    complain(errorMessage(error));
    return error instanceof UsageError ? 2 : 1;
  });
  await errors.flush();
  Deno.exit(code);
}

async function start<T extends Table>(
  { usage, about, options: table, more = "", operands, cut }: ProgramOptions<T>,
  args: readonly string[],
  main: (options: Values<T>) => Promise<number>,
): Promise<number> {
  checkRuntime();
  const garbled = Deno.args.find((arg) => arg.includes("\ufffd"));
  if (garbled !== undefined) {
    throw new UsageError(
      `cannot use the argument ${quote(garbled)}: it is not UTF-8, and would not be sent as typed`,
    );
  }
  const options = parse(table, args, operands, cut);
  if (typeof options !== "string") return await main(options);
  const text = options === "version"
    ? `readback ${config.version}`
    : `usage: ${usage}\n\n${about}${help(table)}${more}\ndocs/cli.md describes every option.`;
  // deno-lint-ignore no-console -- the output of a program
  console.log(text);
  return 0;
}
