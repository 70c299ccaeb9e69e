/** A program on a terminal: typed at by keys, and seen as a person sees it. tmux is the terminal. */

import { asWritten, patternOf, TimeLimit, type Wait } from "./time_limit.ts";
import { sleep } from "../wait.ts";

/** The pause between two looks, in ms. */
const PAUSE = 20;

/**
 * Runs a program; when it has ended, names the terminal's title after that: how, and whether the
 * terminal is as it was. A title comes in order with what was printed, and nobody sees it.
 */
const WITNESS = `mark=$1
shift
before=$(stty -g)
"$@"
code=$?
[ "$(stty -g)" = "$before" ] && terminal=same || terminal=changed
printf '\\033\\\\\\033]2;%s %s %s\\033\\\\' "$mark" "$code" "$terminal"
exec cat`;

/** How the terminal is, and the program in it started. */
export interface ScreenOptions {
  /**
   * How wide it is, in characters.
   * @default {80}
   */
  readonly columns?: number;
  /**
   * How many lines it has.
   * @default {24}
   */
  readonly rows?: number;
  /** The folder that the program runs in. Without, the test's own. */
  readonly cwd?: string;
  /** Added to its environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What is on a screen at one moment. */
interface Sight {
  /** Without blanks at the ends of its lines. */
  readonly text: string;
  /** With them. */
  readonly blank: string;
  /** How the program ended, if it has. */
  readonly end?: { readonly code: number; readonly isSame: boolean };
}

/**
 * A program on a terminal, until the end of the block that it is used in. It takes tmux, and
 * `--allow-run`.
 *
 * ```ts
 * import { Screen } from "@readback/readback/testing";
 *
 * await using screen = await Screen.open(["sh", "-c", 'printf "your name? "; read name']);
 * await screen.shows("your name? ");
 * await screen.type("Ada");
 * await screen.press("BSpace", "Enter");
 * await screen.shows(/\? Ad$/);
 * await screen.ends(0);
 * ```
 *
 * A wait fails once its patience is over, and at once when the program has ended; it says what was
 * expected, and what the screen shows.
 */
export class Screen implements AsyncDisposable {
  readonly #name = `screen-${crypto.randomUUID()}`;

  private constructor(readonly command: readonly string[]) {}

  /** Opens a terminal and starts a program in it. */
  static async open(command: readonly string[], options: ScreenOptions = {}): Promise<Screen> {
    const { columns = 80, rows = 24, cwd, env = {} } = options;
    const screen = new Screen(command);
    const size = ["-x", String(columns), "-y", String(rows)];
    const folder = cwd === undefined ? [] : ["-c", cwd];
    const variables = Object.entries(env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
    const witness = ["sh", "-c", WITNESS, "sh", screen.#name];
    try {
      await screen.#tmux(
        ["new-session", "-d", ...size, ...folder, ...variables, "--", ...witness, ...command],
      );
      return screen;
    } catch (error) {
      await screen[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What is on the screen, a line a row, without blanks at the ends of lines and of all. */
  async text(): Promise<string> {
    return (await this.#look()).text;
  }

  /** The same with its colours, as escape sequences. */
  async colours(): Promise<string> {
    return (await this.#tmux(["capture-pane", "-p", "-e"])).trimEnd();
  }

  /**
   * Waits until the screen shows words: in its {@linkcode text}, or in that with the blanks at the
   * ends of lines, so that `"your name? "` is found.
   * @return all that is on the screen then, without these blanks
   */
  async shows(words: string | RegExp, wait: Wait = {}): Promise<string> {
    const pattern = patternOf(words);
    const isShown = ({ text, blank }: Sight) => pattern.test(text) || pattern.test(blank);
    const sight = await this.#until(
      (sight) => isShown(sight) || sight.end !== undefined,
      `has not shown ${asWritten(words)}`,
      wait,
    );
    if (isShown(sight)) return sight.text;
    const end = `has ended with exit code ${sight.end?.code}`;
    throw new Error(this.#account(`${end} and never showed ${asWritten(words)}`, sight.text));
  }

  /** Types a text. */
  async type(text: string): Promise<void> {
    await this.#tmux(["send-keys", "-l", "--", text]);
  }

  /** Presses keys, by tmux's names: `Enter`, `Left`, `C-c`. */
  async press(...keys: readonly string[]): Promise<void> {
    await this.#tmux(["send-keys", ...keys]);
  }

  /** Pastes a text. */
  async paste(text: string): Promise<void> {
    await this.#tmux(["set-buffer", "--", text]);
    await this.#tmux(["paste-buffer", "-p"]);
  }

  /** Makes the window wider or narrower. */
  async resize(columns: number): Promise<void> {
    await this.#tmux(["resize-window", "-x", String(columns)]);
  }

  /**
   * Waits until the program has ended; fails unless it did with this exit code, and left the
   * terminal as it was.
   * @return what is on the screen then
   */
  async ends(code: number, wait: Wait = {}): Promise<string> {
    const { text, end } = await this.#until(({ end }) => !!end, "has not ended", wait);
    if (end?.code !== code) {
      throw new Error(this.#account(`has ended with exit code ${end?.code}, not ${code}`, text));
    }
    if (!end.isSame) {
      throw new Error(this.#account("has not left the terminal's settings as they were", text));
    }
    return text;
  }

  /** Ends the program and the terminal. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tmux(["kill-server"]).catch(() => {}); // it may not have begun
  }

  /** Looks until it is so. */
  async #until(isSo: (sight: Sight) => boolean, complaint: string, wait: Wait): Promise<Sight> {
    let text = "";
    using deadline = new TimeLimit(wait, (time) => this.#account(`${complaint} ${time}`, text));
    for (;;) {
      const sight = await this.#look();
      if (isSo(sight)) return sight;
      text = sight.text;
      await deadline.before(sleep(PAUSE));
    }
  }

  async #look(): Promise<Sight> {
    const title = ["display-message", "-p", "#{pane_title}"];
    const all = await this.#tmux(title, ["capture-pane", "-p", "-N"]);
    const [mark = "", ...lines] = all.split("\n");
    const blank = lines.join("\n");
    const text = lines.map((line) => line.trimEnd()).join("\n").trimEnd();
    const [, code, terminal] = new RegExp(`^${this.#name} (\\d+) (\\w+)$`).exec(mark) ?? [];
    if (code === undefined) return { text, blank };
    return { text, blank, end: { code: Number(code), isSame: terminal === "same" } };
  }

  #account(complaint: string, text: string): string {
    return `${this.command.join(" ")}: ${complaint}\n--- screen\n${text}\n---`;
  }

  async #tmux(...commands: readonly (readonly string[])[]): Promise<string> {
    const words = commands.flatMap((command, at) => {
      const literal = command.map((word) => word.replace(/;$/, "\\;")); // else it ends a command
      return at === 0 ? literal : [";", ...literal];
    });
    const { success, stdout, stderr } = await run(["-L", this.#name, "-f", "/dev/null", ...words]);
    if (success) return new TextDecoder().decode(stdout);
    throw new Error(`tmux ${words.join(" ")}: ${new TextDecoder().decode(stderr).trimEnd()}`);
  }
}

/** Runs tmux. */
async function run(args: string[]): Promise<Deno.CommandOutput> {
  try {
    const env = { LC_ALL: "C.UTF-8", TERM: "xterm-256color" };
    return await new Deno.Command("tmux", { args, env }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error("Screen needs tmux, which is not on PATH: install the package tmux");
  }
}
