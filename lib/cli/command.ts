/** A command that runs beside the server. No process of its group outlives the command or the server. */

import { errorMessage } from "../checks.ts";
import type { Addr } from "../net/addr.ts";
import { formatEndpoint } from "../net/address.ts";
import { quote } from "../wire/quote.ts";
import { UsageError } from "./options.ts";

/** The signals that are passed on to the command. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
/**
 * Sends each signal that it reads to a process or a group, then SIGKILL at the end of input: when
 * the command has ended, or when the server has, however it did.
 */
const WATCHER = 'read -r target; while read -r signal; do kill "-$signal" "$target"; done; ' +
  'kill -KILL "$target"';

const encoder = new TextEncoder();

/**
 * Checks that a command may be run.
 * @throws {UsageError}
 */
export async function checkRunPermission(command: string): Promise<void> {
  for (const name of [command, "sh"]) {
    const { state } = await Deno.permissions.query({ name: "run", command: name });
    if (state === "granted") continue;
    throw new UsageError(`cannot run ${quote(name)}: give Deno the permission with --allow-run`);
  }
}

/** What happens around a command. */
export interface CommandOptions {
  /** Variables that are added to its environment. */
  readonly env: Record<string, string>;
  /** Called once it runs: from then on no permission is needed. */
  readonly onStart: () => Promise<void>;
  /** Called when it has ended, or could not be started. */
  readonly onEnd: () => Promise<void>;
}

/**
 * Runs a command to its end, on the standard streams of this program. Unless standard input is a
 * terminal, the command has a process group of its own, of which nothing is left.
 * @param grace the time from the first signal to SIGKILL, in ms
 * @return the exit code, or 128 and the number of the signal that ended the command
 * @throws {UsageError} with exit code 127 if it is not found, 126 if it can't be executed
 */
export async function runCommand(
  [command = "", ...args]: readonly string[],
  grace: number,
  { env, onStart, onEnd }: CommandOptions,
): Promise<number> {
  const onWindows = Deno.build.os === "windows";
  const onTerminal = Deno.stdin.isTerminal();
  const detached = !onTerminal && !onWindows;
  const watcher = onWindows ? undefined : spawn("sh", {
    ...{ args: ["-c", WATCHER], detached: true },
    ...{ stdin: "piped", stdout: "null", stderr: "null" },
  });
  const pipe = watcher?.stdin.getWriter();
  const tell = (line: string) => pipe?.write(encoder.encode(`${line}\n`)).catch(() => {});
  try {
    const streams = { stdin: "inherit", stdout: "inherit", stderr: "inherit" } as const;
    const child = spawn(command, { args, env, detached, ...streams });
    void tell(`${detached ? "-" : ""}${child.pid}`);
    let killing: ReturnType<typeof setTimeout> | undefined;
    for (const signal of onWindows ? [] : SIGNALS) {
      Deno.addSignalListener(signal, () => {
        if (onTerminal && signal !== "SIGTERM") return; // the terminal sends it to the command too
        if (killing !== undefined) return void tell("KILL");
        killing = setTimeout(() => tell("KILL"), grace);
        void tell(signal.slice("SIG".length));
      });
    }
    await onStart();
    const { code } = await child.status;
    clearTimeout(killing);
    return code;
  } finally {
    // On a terminal only the process was watched, and its number may be another's soon.
    if (onTerminal) watcher?.kill("SIGKILL");
    await pipe?.close().catch(() => {});
    await watcher?.status;
    await onEnd();
  }
}

function spawn(command: string, options: Deno.CommandOptions): Deno.ChildProcess {
  try {
    return new Deno.Command(command, options).spawn();
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound;
    const why = isMissing
      ? "there is no such command"
      : error instanceof Deno.errors.PermissionDenied
      ? "it is not executable"
      : errorMessage(error);
    throw new UsageError(`cannot run ${quote(command)}: ${why}`, isMissing ? 127 : 126);
  }
}

/** A file's path from the root, if that may be found out. */
export function absolute(path: string): Promise<string> {
  return Deno.realPath(path).catch(() => path);
}

/** The environment that tells a command where the server is. */
export async function environmentFor(
  addr: Addr,
  logFile?: string,
): Promise<Record<string, string>> {
  const log = logFile === undefined ? {} : { READBACK_LOG: logFile };
  if (!("hostname" in addr)) return { READBACK_PATH: await absolute(addr.path), ...log };
  const { port } = addr;
  const hostname = { "0.0.0.0": "127.0.0.1", "::": "::1" }[addr.hostname] ?? addr.hostname;
  const address = formatEndpoint({ hostname, port });
  return { READBACK_HOST: hostname, READBACK_PORT: `${port}`, READBACK_ADDRESS: address, ...log };
}
