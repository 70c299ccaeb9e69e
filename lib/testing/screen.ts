/**
 * A terminal and its screen: a program in it, typed at by keys, and what a person
 * would see. tmux is the terminal.
 *
 * ```ts ignore
 * await using screen = await Screen.open(["cat"], { columns: 20 });
 * await screen.type("hello");
 * await screen.shows("hello");
 * ```
 */

import { assert, assertEquals } from "@std/assert";

/** What no wait for words should take, in ms: only a failure does. */
const PATIENCE = 20_000;
/** The pause between two looks, in ms. */
const PAUSE = 20;

/** Runs a program, then says how it ended, and whether the terminal is as it was. */
const WITNESS = `before=$(stty -g)
"$@"
code=$?
[ "$(stty -g)" = "$before" ] || echo "the terminal has changed"
echo "exit code $code"
exec cat`;

const ROOT = new URL("../..", import.meta.url);

/** How the terminal is. */
export interface Look {
  /** @default {80} */
  columns?: number;
  /** @default {24} */
  rows?: number;
  /** Added to the environment of the program. */
  env?: Record<string, string>;
}

/** A program on a terminal. */
export class Screen implements AsyncDisposable {
  private constructor(readonly socket: string) {}

  /** Opens a terminal and starts a program in it. */
  static async open(command: readonly string[], look: Look = {}): Promise<Screen> {
    const { columns = 80, rows = 24, env = {} } = look;
    const screen = new Screen(`readback-${crypto.randomUUID()}`);
    const size = ["-x", String(columns), "-y", String(rows)];
    const variables = Object.entries(env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
    const options = ["-d", ...size, "-c", ROOT.pathname, ...variables];
    try {
      await screen.#tmux("new-session", ...options, "--", "sh", "-c", WITNESS, "sh", ...command);
      return screen;
    } catch (error) {
      await screen[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What is on the screen, a line a row, without what is blank at the ends. */
  async text(): Promise<string> {
    return (await this.#tmux("capture-pane", "-p")).trimEnd();
  }

  /** The same with its colours, as escape sequences. */
  async colours(): Promise<string> {
    return (await this.#tmux("capture-pane", "-p", "-e")).trimEnd();
  }

  /** Waits until the screen shows words; gives all of it. */
  async shows(words: string | RegExp): Promise<string> {
    const pattern = typeof words === "string" ? new RegExp(RegExp.escape(words)) : words;
    for (const late = performance.now() + PATIENCE; performance.now() < late;) {
      const text = await this.text();
      if (pattern.test(text)) return text;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    throw new Error(`has not shown ${pattern} in ${PATIENCE} ms:\n${await this.text()}`);
  }

  /** Types a text. */
  async type(text: string): Promise<void> {
    await this.#tmux("send-keys", "-l", "--", text);
  }

  /** Presses keys, by tmux's names: `Enter`, `Left`, `C-c`. */
  async press(...keys: readonly string[]): Promise<void> {
    await this.#tmux("send-keys", ...keys);
  }

  /** Pastes a text. */
  async paste(text: string): Promise<void> {
    await this.#tmux("set-buffer", "--", text);
    await this.#tmux("paste-buffer", "-p");
  }

  /** Makes the window wider or narrower. */
  async resize(columns: number): Promise<void> {
    await this.#tmux("resize-window", "-x", String(columns));
  }

  /** Waits until the program has ended; checks its exit code, and that the terminal is as it was. */
  async ends(code: number): Promise<string> {
    const text = await this.shows(/^exit code \d+$/m);
    const [said = "", is] = text.split(/\n?^exit code /m);
    assertEquals(is, String(code), text);
    assert(!said.includes("the terminal has changed"), text);
    return said;
  }

  /** Ends the program and the terminal. */
  async [Symbol.asyncDispose](): Promise<void> {
    await new Deno.Command("tmux", { args: ["-L", this.socket, "kill-server"] }).output();
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    const { success, stdout, stderr } = await new Deno.Command("tmux", {
      args: ["-L", this.socket, "-f", "/dev/null", ...args],
      env: { LC_ALL: "C.UTF-8", TERM: "xterm-256color" },
    }).output();
    assert(success, `tmux ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
    return new TextDecoder().decode(stdout);
  }
}
