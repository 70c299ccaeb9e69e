/** The frame of both programs: reads the command line, reports what went wrong, and exits. */

import config from "../../deno.json" with { type: "json" };
import { errorMessage, isOlder } from "../checks.ts";
import { Log } from "../log.ts";
import { escape, quote } from "../wire/quote.ts";
import { help, type HelpRow, parse, type Table, UsageError, type Values } from "./options.ts";

/** The oldest version of Deno that the programs run on. */
export const OLDEST = "2.4.0";
/** The signals that the programs handle, and the exit codes that they stand for. */
const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGQUIT: 131, SIGTERM: 143, SIGXFSZ: 153 } as const;
type Signal = keyof typeof EXIT_CODES;
type OnSignal = (code: number, signal: Signal) => void;

/** The end of the help. */
const LAST = "\ndocs/cli.md describes every option.";

/** Standard error, written in the background: console.error would block while nobody reads. */
export const errors: Log = new Log(Deno.stderr, (lines) => `(${lines} lines were dropped)`);

/** Prints the sentence that says what went wrong, after the program's name. Words of a peer may be in it. */
export function complain(program: string, sentence: string): void {
  const isColoured = Deno.stderr.isTerminal() && !Deno.noColor;
  const name = isColoured ? `\x1b[31m${program}:\x1b[0m` : `${program}:`;
  errors.line(`${name} ${escape(new TextEncoder().encode(sentence))}`);
}

/** Calls back at each of these signals, with its exit code. Windows has only SIGINT. */
export function onSignals(signals: readonly Signal[], callback: OnSignal): void {
  for (const signal of signals) {
    if (Deno.build.os === "windows" && signal !== "SIGINT") continue;
    Deno.addSignalListener(signal, () => callback(EXIT_CODES[signal], signal));
  }
}

/** Aborts at the first SIGINT or SIGTERM; the second one ends the program. */
export function stopAtSignals(stop: AbortController): AbortSignal {
  onSignals(["SIGINT", "SIGTERM"], (code) => stop.signal.aborted ? Deno.exit(code) : stop.abort());
  return stop.signal;
}

/**
 * Runs a program and exits.
 * @param about the help before the options: the usage in one line, a sentence, two examples
 * @param args the arguments; the operands are a host and a port
 * @param main resolves to the exit code
 * @param more rows of the help after the options
 */
export async function run<T extends Table>(
  program: "server" | "client",
  about: string,
  table: T,
  args: string[],
  main: (options: Values<T>) => Promise<number>,
  more: readonly HelpRow[] = [],
): Promise<never> {
  let code = 0;
  try {
    checkRuntime();
    const garbled = Deno.args.find((arg) => arg.includes("\ufffd"));
    if (garbled !== undefined) {
      const why = "it is not UTF-8, and would not be sent as typed";
      throw new UsageError(`cannot use the argument ${quote(garbled)}: ${why}`);
    }
    const options = parse(table, args);
    const isHelp = options === "help";
    if (typeof options !== "string") code = await main(options);
    // deno-lint-ignore no-console -- the output of a program
    else console.log(isHelp ? about + help(table, more) + LAST : `readback ${config.version}`);
  } catch (error) {
    complain(program, errorMessage(error));
    code = error instanceof UsageError ? 2 : 1;
  }
  await errors.flush();
  Deno.exit(code);
}

/**
 * Checks that this Deno is new enough.
 * @throws {UsageError} instead of an error about whatever an older one lacks
 */
export function checkRuntime(version: string = Deno.version.deno): void {
  if (!isOlder(version, OLDEST)) return;
  throw new UsageError(`cannot run on Deno ${version}: it must be ${OLDEST} or newer`);
}

const ALL = ["run", "read", "write", "net", "env", "sys", "ffi", "import"] as const;

/** Gives up every permission but these, also one that was given by `--allow-all`. */
export async function keepOnly(kept: { readonly [Name in typeof ALL[number]]?: boolean }) {
  for (const name of ALL) {
    // A Deno that does not know a permission rejects its name.
    if (!kept[name]) await Deno.permissions.revoke({ name }).catch(() => {});
  }
}
