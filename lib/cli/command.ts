/** A command that runs beside the server. No process of its group outlives the command or the server. */

import { type Addr, formatEndpoint } from "../net/address.ts";
import { quote } from "../wire/quote.ts";
import { UsageError } from "./options.ts";
import { onSignals } from "./program.ts";

/**
 * Reads numbers of processes, or of groups with a minus, and signals, and sends each signal to the
 * last of them. At the end of input it sends SIGKILL: the command has ended, or the server has.
 */
const WATCHER = 'while read -r word; do case $word in [A-Z]*) kill "-$word" "$target";; ' +
  '*) target=$word;; esac; done; kill -KILL "$target"';
/**
 * Becomes the command once the watcher knows its number. The server sends that number too, but may
 * be killed before it has; there is a second way only on Linux. `$0` begins error messages.
 */
const LAUNCHER = `
fail() { echo "$0: $2" >&2; exit "$1"; }
[ ! -e /proc/self/fd ] || echo "$2$$" 2>/dev/null >"/proc/$1/fd/0" || fail 126 "the server is gone"
shift 2
case $1 in
  */*) [ -e "$1" ] || fail 127 "there is no such command"
    [ -f "$1" ] && [ -x "$1" ] || fail 126 "it is not executable" ;;
  *) command -v -- "$1" >/dev/null || fail 127 "there is no such command" ;;
esac
exec "$@"`;

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

/**
 * Runs a command to its end, on the standard streams of this program. Unless standard input is a
 * terminal, the command has a process group of its own, of which nothing is left. Once it runs, the
 * permission to run is given up.
 * @param grace the time from the first signal to SIGKILL, in ms
 * @param env variables that are added to its environment
 * @returns the exit code, or 128 and the number of the signal that ended the command. The
 *   code is 127 if it is not found, 126 if it can't be executed; standard error explains both
 */
export async function runCommand(
  command: readonly string[],
  grace: number,
  env: Record<string, string>,
): Promise<number> {
  const onWindows = Deno.build.os === "windows"; // which has neither groups nor sh
  const onTerminal = Deno.stdin.isTerminal();
  const minus = onTerminal ? "" : "-"; // makes the number of a process that of its group
  const watcher = onWindows ? undefined : new Deno.Command("sh", {
    args: ["-c", WATCHER],
    detached: true,
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const pipe = watcher?.stdin.getWriter();
  const tell = (word: string) => pipe?.write(new TextEncoder().encode(`${word}\n`)).catch(() => {});
  const error = `server: cannot run ${quote(command[0] ?? "")}`;
  const launcher = watcher ? ["sh", "-c", LAUNCHER, error, `${watcher.pid}`, minus] : [];
  const [name = "", ...args] = [...launcher, ...command];
  try {
    let killing: ReturnType<typeof setTimeout> | undefined;
    // Before the command can cause a signal; they are delivered after this.
    onSignals(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"], (_code, signal) => {
      if (onTerminal && signal !== "SIGTERM") return; // the terminal sends it to the command too
      void tell(killing === undefined ? signal.slice("SIG".length) : "KILL");
      killing ??= setTimeout(() => tell("KILL"), grace);
    });
    const detached = !onTerminal && !onWindows;
    const child = new Deno.Command(name, { args, env, detached }).spawn();
    void tell(`${minus}${child.pid}`);
    await Deno.permissions.revoke({ name: "run" });
    const { code } = await child.status;
    clearTimeout(killing);
    return code;
  } finally {
    // On a terminal only the process was watched, and its number may be another's soon.
    if (onTerminal) watcher?.kill("SIGKILL");
    await pipe?.close().catch(() => {});
    await watcher?.status;
  }
}

/** Returns a file's path from the root, or as it is if Deno lacks the permission. */
export function absolute(path: string): Promise<string> {
  return Deno.realPath(path).catch(() => path);
}

/** Returns the variables that contain the address of the server. */
export async function environmentFor(addr: Addr, logPath?: string) {
  const log: Record<string, string> = logPath === undefined ? {} : { READBACK_LOG: logPath };
  if (!("hostname" in addr)) return { READBACK_PATH: await absolute(addr.path), ...log };
  const { port } = addr;
  const hostname = { "0.0.0.0": "127.0.0.1", "::": "::1" }[addr.hostname] ?? addr.hostname;
  const address = formatEndpoint({ hostname, port });
  return { READBACK_HOST: hostname, READBACK_PORT: `${port}`, READBACK_ADDRESS: address, ...log };
}
