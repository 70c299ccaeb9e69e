/** What a system must have for a test; where it lacks that, the test is skipped, and says why. */

const { os } = Deno.build;

/** What is no program: whether it is here, and what is to be said if not. */
const KINDS: Readonly<Record<string, readonly [() => boolean, string]>> = {
  linux: [() => os === "linux" && has("sh"), "no Linux with a shell: no /proc, no prlimit"],
  root: [() => os === "linux" && shell("id -u").trim() === "0", "only root can do this"],
  signals: [() => os !== "windows", "a program can't be asked to end here"],
  "unix sockets": [() => os !== "windows", "no Unix sockets here"],
};
/** A test's options: `node:test` calls it skip, and can say why; the `@std/testing` of JSR calls it ignore. */
export interface Requirement {
  /** Why it is to be skipped, if so. */
  readonly skip: string | false;
  /** Whether it is. */
  readonly ignore: boolean;
}

/**
 * The options of a test that needs these. In CI on Linux (where `CI` is `true` in the environment)
 * every program is taken to be there, so that to lack one is a failure. Elsewhere it takes
 * `--allow-run`, and a shell that knows `command -v`.
 * @param names programs; or `linux`, `root`, `signals`, `unix sockets` for what a system can do
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
 */
export function requires(...names: readonly string[]): Requirement {
  for (const name of names) {
    const [isHere, lack] = KINDS[name] ??
      [() => isComplete() || has(name), `${name} is not installed`];
    if (!isHere()) return { skip: lack, ignore: true };
  }
  return { skip: false, ignore: false };
}

/** Whether every program must be there. */
function isComplete(): boolean {
  const right = { name: "env", variable: "CI" } as const;
  const mayAsk = Deno.permissions.querySync(right).state === "granted";
  return os === "linux" && mayAsk && Deno.env.get("CI") === "true";
}

/** Whether a program is on the path. */
function has(program: string): boolean {
  return shell(`command -v ${program}`) !== "";
}

/** What a command prints; nothing where there is no shell. */
function shell(command: string): string {
  try {
    const { stdout } = new Deno.Command("sh", { args: ["-c", command] }).outputSync();
    return new TextDecoder().decode(stdout);
  } catch {
    return "";
  }
}
