/** A program on a terminal: keys go in, and the screen is seen as a person sees it. */

import { sleep } from "../wait.ts";
import { Program } from "./program.ts";
import { patternOf } from "./received_text.ts";
import { picture, plain } from "./screen_picture.ts";
import { asWritten, startTimeLimit, type Wait } from "./time_limit.ts";

/** Milliseconds between two looks at the screen at most: the first are closer together. */
const PAUSE = 20;
/** The characters of one line that a terminal keeps, unless the program has switched that off. */
const LONGEST_LINE = 4095;
/** Milliseconds that a program has for this after its start, before a longer text is typed. */
const START_TIME = 200;

/**
 * Runs inside the terminal. Starts the program, then hides the cursor and sets the terminal's title. That
 * has the shell's process id, the exit code, and the terminal's settings before and after. A title arrives in
 * order with the output and changes nothing on the screen. Keys that send a signal reach the program, and do not end this.
 */
const RUN = `trap : INT QUIT
before=$(stty -g)
exec 3>&2 2>/dev/null
(exec env "$@" 2>&3 3>&-)
printf '\\033\\\\\\033[?25l\\033]2;ended %s %s %s %s\\033\\\\' "$$" "$?" "$before" "$(stty -g)"
trap '' INT QUIT TSTP
exec sleep 2147483647`;

/**
 * Runs tmux, which is the terminal and takes commands from standard input. At the end of that,
 * also if the test is killed, kills everything that was started in the terminal. On Linux that is what has
 * its session, or tmux's socket in the environment, elsewhere what has its tty.
 */
const TERMINAL = `command -v tmux >/dev/null ||
  { echo 'Screen needs tmux, which is not on PATH: install the package tmux' >&2; exit 1; }
folder=$(mktemp -d "\${TMPDIR:-/tmp}/screen-XXXXXXXX") || exit
trap : INT TERM HUP QUIT
unset TMUX TMUX_PANE NO_COLOR
tmux="tmux -u -S $folder/tmux"
echo 'set -g history-limit 100000; set -g remain-on-exit on; set -g status off
set -g default-terminal screen-256color; set -gq remain-on-exit-format ""' >"$folder/conf"
$tmux -f "$folder/conf" -C new-session -f no-output "$@"
pane=$($tmux display-message -p '#{pane_pid} #{pane_tty}')
started() {
  [ -d /proc/self ] || { ps -o pid= -t "\${pane#* }"; return; }
  grep -lsF "$folder/tmux," /proc/[0-9]*/environ | cut -d/ -f3
  cat /proc/[0-9]*/stat 2>/dev/null |
    awk -v leader="\${pane% *}" '{ pid = $1; sub(/.*\\) /, "") } $1 != "Z" && $4 == leader { print pid }'
}
kill -9 "\${pane% *}" 2>/dev/null # often nothing else is left, and one look is enough
for try in $(seq 99); do
  pids=$(started) && [ -n "$pids" ] || break
  kill -9 $pids
done 2>/dev/null
$tmux kill-server 2>/dev/null
rm -rf "$folder"`;

/** Waits until a terminal has so many columns: tmux tells the program up to 250 ms later. */
const RESIZED = 'while [ "$(stty size <"$1" | cut -d" " -f2)" != "$2" ]; do sleep 0.01; done';

/** The time limit of tmux itself, whatever that of the test is. */
const LIMIT: Wait = { timeout: 20_000 };
/** A reply of tmux to one command. */
const REPLY = /^%begin (\d+ \d+ \d+)\n([^]*?)^%(end|error) \1$/m;

/** Options of {@linkcode Screen.open}. */
export interface ScreenOptions {
  /** Its width in characters. @default {80} */
  readonly columns?: number;
  /** Its height in lines. @default {24} */
  readonly rows?: number;
  /** The directory that the program runs in. @default {the test's own} */
  readonly cwd?: string | URL;
  /** Variables added to its environment. `TERM` is `screen-256color` unless set here. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * A program on a terminal, until the end of its block, where everything started in it is killed.
 * Needs tmux, and `--allow-run`.
 *
 * A wait fails at its time limit, and at once when the program has ended. Its error shows what was
 * expected, and the screen.
 *
 * ```ts
 * import { requires, Screen } from "@readback/readback/testing";
 *
 * if (!requires("tmux").skip) {
 *   await using screen = await Screen.open(["sh", "-c", 'printf "your name? "; read name']);
 *   await screen.shows("your name? ");
 *   await screen.type("Ada");
 *   await screen.press("BSpace", "Enter");
 *   await screen.shows(/\? Ad$/);
 *   await screen.ends(0);
 * }
 * ```
 */
export class Screen implements AsyncDisposable {
  readonly #terminal: Program;
  readonly #ready = performance.now() + START_TIME; // for a longer text
  #last = Promise.resolve(""); // commands run one at a time

  private constructor(readonly command: readonly string[], options: ScreenOptions) {
    const { columns = 80, rows = 24, cwd, env = {} } = options;
    const variables = Object.entries(env).map((variable) => variable.join("="));
    const size = ["-x", `${columns}`, "-y", `${rows}`];
    const inside = ["--", "sh", "-c", RUN, "sh", ...variables, ...command];
    const how = { ...cwd && { cwd }, env: { LC_ALL: "C.UTF-8" } };
    this.#terminal = new Program(["/bin/sh", "-c", TERMINAL, "sh", ...size, ...inside], how);
  }

  /**
   * Opens a terminal and starts a program in it.
   *
   * @param command its name and its arguments
   * @throws {Error} whose name is `NotFound`, if there is no such directory
   * @throws {Error} if tmux is not installed, or can't open such a terminal
   */
  static async open(command: readonly string[], options: ScreenOptions = {}): Promise<Screen> {
    const screen = new Screen(command, options);
    await screen.#reply("new-session").catch(async (error) => {
      await screen.close();
      throw error;
    });
    return screen;
  }

  /** Returns the screen's lines, without blanks at their ends and without empty ones at the end. */
  async text(): Promise<string> {
    return (await this.#look()).text;
  }

  /** Returns the same with its colours, as escape sequences. */
  async colours(): Promise<string> {
    return (await this.#tmux("capture-pane -p -e")).trimEnd();
  }

  /** Returns the lines that have scrolled off the top of the screen: the last 100,000. */
  async history(): Promise<string> {
    const size = Number(await this.#tmux('display-message -p "#{history_size}"'));
    return size === 0 ? "" : plain(await this.#tmux("capture-pane -p -e -S - -E -1"));
  }

  /**
   * Returns a picture of the screen with its colours and the cursor, without empty lines at the
   * end. It is readable on light and on dark pages.
   *
   * ```ts
   * import { requires, Screen } from "@readback/readback/testing";
   *
   * if (!requires("tmux").skip) {
   *   const green = ["printf", "\\033[32mgreen\\033[m"];
   *   await using screen = await Screen.open(green, { columns: 40 });
   *   await screen.ends(0);
   *   const svg = await screen.svg();
   *   console.assert(svg.startsWith("<svg ") && svg.includes(">green</text>"));
   * }
   * ```
   *
   * @returns an SVG document
   */
  async svg(): Promise<string> {
    const format = "#{pane_width} #{cursor_flag} #{cursor_x} #{cursor_y}";
    const state = await this.#tmux(`display-message -p "${format}"`);
    const [columns = 80, isVisible, ...cursor] = state.split(" ").map(Number);
    return picture(await this.#tmux("capture-pane -p -e"), columns, isVisible ? cursor : undefined);
  }

  /**
   * Waits until the screen shows words in its {@linkcode text}. Blanks at the ends of lines count
   * too, so that `"your name? "` is found.
   *
   * @returns the screen's text at that moment
   */
  async shows(words: string | RegExp, wait: Wait = {}): Promise<string> {
    const wanted = asWritten(words);
    const pattern = patternOf(words, /[gy]/g);
    const { isShown, text, code } = await this.#until(`has not shown ${wanted}`, wait, pattern);
    if (isShown) return text;
    return this.#fail(`has ended with exit code ${code} and never showed ${wanted}`, text);
  }

  /** Types a text of any length. */
  async type(text: string): Promise<void> {
    await this.#paste(text, "-r");
  }

  /** Presses keys, by tmux's names: `Enter`, `Left`, `C-c`. */
  async press(...keys: readonly string[]): Promise<void> {
    await this.#tmux(`send-keys ${keys.map(quoted).join(" ")}`);
  }

  /** Pastes a text of any length, marked as pasted if the program has asked for that. */
  async paste(text: string): Promise<void> {
    await this.#paste(text, "-p");
  }

  /** Changes the width, in characters. Resolves once the program's terminal has it. */
  async resize(columns: number): Promise<void> {
    await this.#tmux(`resize-window -x ${columns}`);
    const terminal = await this.#tmux('display-message -p "#{pane_tty}"');
    await using resized = new Program(["sh", "-c", RESIZED, "sh", terminal.trim(), `${columns}`]);
    await resized.ends(0, LIMIT);
  }

  /**
   * Waits until the program has ended.
   *
   * @returns the screen's text at that moment
   * @throws {Error} if its exit code is another one, or it has not restored the terminal's settings
   */
  async ends(code: number, wait: Wait = {}): Promise<string> {
    const { text, code: is, isRestored } = await this.#until("has not ended", wait);
    if (is !== `${code}`) this.#fail(`has ended with exit code ${is}, not ${code}`, text);
    if (!isRestored) this.#fail("has not left the terminal's settings as they were", text);
    return text;
  }

  /** Kills everything that was started in the terminal, and closes it. */
  async close(): Promise<void> {
    await using terminal = this.#terminal;
    await terminal.endInput(LIMIT);
    await terminal.exitCode(LIMIT);
  }

  /** Closes it. */
  readonly [Symbol.asyncDispose]: () => Promise<void> = this.close;

  /** Looks until the words are shown, or the program has ended. */
  async #until(problem: string, wait: Wait, words?: RegExp) {
    let text = "";
    using limit = startTimeLimit(wait, (time) => this.#report(`${problem} ${time}`, text));
    for (let pause = 2;; pause = Math.min(2 * pause, PAUSE)) {
      const sight = await this.#look(words);
      if (sight.isShown || sight.code !== undefined) return sight;
      text = sight.text;
      await limit.before(sleep(pause));
    }
  }

  /** Returns the screen, whether it shows the words, and the exit code once the program has ended. */
  async #look(words = /(?!)/) {
    const state = await this.#tmux('display-message -p "#{pane_dead} #{pane_pid} #{pane_title}"');
    const padded = plain(await this.#tmux("capture-pane -p -e -N"));
    const text = padded.replace(/ +$/gm, "").trimEnd();
    const [, , code, before, after] = /(\d+) ended \1 (\d+) (\S+) (\S+)$/m.exec(state) ?? [];
    const wasKilled = code === undefined && !state.startsWith("0");
    if (wasKilled) this.#fail("has ended, and its terminal's shell was killed", text);
    const isShown = words.test(text) || words.test(padded);
    return { text, isShown, code, isRestored: before === after };
  }

  async #paste(text: string, how: string): Promise<void> {
    if (text === "") return;
    if (text.length > LONGEST_LINE) await sleep(Math.max(0, this.#ready - performance.now()));
    await this.#tmux(`set-buffer -b text -- ${quoted(text)}`);
    await this.#tmux(`paste-buffer -b text -d ${how}`);
  }

  #fail(problem: string, text: string): never {
    throw new Error(this.#report(problem, text));
  }

  #report(problem: string, text: string): string {
    return `${this.command.join(" ")}: ${problem}\n--- screen\n${text}\n---`;
  }

  #tmux(command: string): Promise<string> {
    this.#terminal.type(`${command}\n`, LIMIT).catch(() => {}); // the reply reports it
    return this.#last = this.#last.catch(() => {}).then(() => this.#reply(command));
  }

  async #reply(command: string): Promise<string> {
    const [, , output = "", how] = await this.#terminal.until(REPLY, LIMIT).catch(() => {
      const gone = `${this.command.join(" ")}: its terminal is gone`;
      throw new Error(this.#terminal.stderr.trim() || gone);
    });
    if (how === "end") return output;
    throw new Error(`tmux ${command.slice(0, 80)}: ${output.trim()}`);
  }
}

/** Quotes a word for tmux. */
function quoted(word: string): string {
  if (word.includes("\0")) throw new TypeError('a NUL can\'t be typed: press("C-Space")');
  const octal = (character: string) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`;
  return `"${word.replace(/[^\w .\/:\x80-\u{10ffff}]/gu, octal)}"`;
}
