/** What a system must have for a test; where it lacks that, the test is skipped, and says why. */

const { os } = Deno.build;

/** What is no program: whether it is here, and what is to be said if not. */
const KINDS: Readonly<Record<string, readonly [() => boolean, string]>> = {
  linux: [() => os === "linux" && has("sh"), "no Linux with a shell: no /proc, no prlimit"],
  root: [() => os === "linux" && shell("id -u").trim() === "0", "only root can do this"],
  signals: [() => os !== "windows", "a program can't be asked to end here"],
  "unix sockets": [() => os !== "windows", "no Unix sockets here"],
};
/** Where every program must be there, and to lack one is a failure. */
const COMPLETE = os === "linux" && Deno.env.get("CI") === "true";

/** A test's options: `node:test` calls it skip, and can say why; the `@std/testing` of JSR calls it ignore. */
export interface Needs {
  /** Why it is to be skipped, if so. */
  readonly skip: string | false;
  /** Whether it is. */
  readonly ignore: boolean;
}

/**
 * The options of a test that needs these.
 * @param names programs, or kinds of systems
 */
export function needs(...names: readonly string[]): Needs {
  for (const name of names) {
    const [isHere, lack] = KINDS[name] ?? [() => COMPLETE || has(name), `${name} is not installed`];
    if (!isHere()) return { skip: lack, ignore: true };
  }
  return { skip: false, ignore: false };
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
