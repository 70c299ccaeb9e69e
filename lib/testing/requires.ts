/** Requirements of tests: a test that needs what the system lacks is skipped, with the reason. */

const { os } = Deno.build;

/** Requirements other than programs: whether they are met, and the reason to skip if not. */
const KINDS: Readonly<Record<string, readonly [() => boolean, string]>> = {
  linux: [() => os === "linux" && has("sh"), "needs Linux with a shell"],
  root: [() => os === "linux" && shell("id -u").trim() === "0", "needs root"],
  signals: [() => os !== "windows", "needs signals"],
  "unix sockets": [() => os !== "windows", "needs Unix sockets"],
};

/** Returns whether every program must be there. */
const hasAll = () => os === "linux" && variable("CI") === "true";

/** Options of a test: `node:test` and the harness's own read `skip`, `@std/testing` reads `ignore`. */
export interface Requirement {
  /** The reason to skip the test, or false. */
  readonly skip: string | false;
  /** True if the test is to be skipped. */
  readonly ignore: boolean;
}

/**
 * Returns the options of a test that needs these programs or abilities of the system: if one is
 * missing, the test is skipped. In CI on Linux (`CI=true` in the environment), a missing program is
 * not a reason to skip, so the test fails. Elsewhere this needs `--allow-run`.
 *
 * ```ts
 * import { Program, requires } from "@readback/readback/testing";
 *
 * const { skip } = requires("bc"); // as a test's options: test("adds", requires("bc"), ...)
 * if (!skip) {
 *   await using bc = new Program(["bc"]);
 *   await bc.type("1 + 1\n");
 *   await bc.until("2\n");
 * }
 * ```
 *
 * @param names programs on PATH, or `linux`, `root`, `signals`, `unix sockets`
 */
export function requires(...names: readonly string[]): Requirement {
  for (const name of names) {
    const [isMet, reason] = KINDS[name] ??
      [() => hasAll() || has(name), `needs ${name}, which is not installed`];
    if (!isMet()) return { skip: reason, ignore: true };
  }
  return { skip: false, ignore: false };
}

/** Returns a variable of the environment, if it may be read. */
export function variable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/** The answers about programs on PATH, so that each is looked for once. */
const found: Record<string, boolean> = {};
const has = (program: string) => found[program] ??= shell(`command -v ${program}`) !== "";

/** Returns what a command prints; nothing if there is no shell. */
function shell(command: string): string {
  try {
    const { stdout } = new Deno.Command("sh", { args: ["-c", command] }).outputSync();
    return new TextDecoder().decode(stdout);
  } catch {
    return "";
  }
}
