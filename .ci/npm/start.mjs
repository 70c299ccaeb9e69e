// deno-lint-ignore-file no-console -- a program by itself
/**
 * Starts a program of this package on the Deno that npm has installed with it. Its streams,
 * signals and exit code are the program's, and the program ends when this does.
 */

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import process from "node:process";
import { fileURLToPath } from "node:url";

const SIGNALS = ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP"];
/** The time that a signal to the whole process group takes to reach all of it, in ms. */
const SPREAD = 100;
/**
 * Runs in the process group of this program: prints a line for a signal to the whole group, as
 * Ctrl-C sends, and kills the program if this one is gone, however it ended.
 */
const WATCHER = `trap 'echo; signal=1' INT QUIT TERM HUP
while signal=; read -r _ || [ "$signal" ]; do :; done
kill -9 "$1"`;

/**
 * @param {string} program the file's name, beside this one
 * @param {readonly string[]} permissions Deno's options
 */
export function start(program, permissions) {
  const file = fileURLToPath(new URL(program, import.meta.url));
  // A deno.json in the user's folder is not meant for this program.
  const args = ["run", "--no-config", "--no-lock", ...permissions, file, ...process.argv.slice(2)];
  const env = { ...process.env, DENO_NO_PACKAGE_JSON: "1", DENO_NO_UPDATE_CHECK: "1" };
  const deno = findDeno();
  try {
    process.execve(deno, [deno, ...args], env); // from Node 22.15 on: this process becomes Deno
  } catch {
    beside(spawn(deno, args, { stdio: "inherit", env }));
  }
}

/** Stays beside the program: passes on signals and the exit code. */
function beside(child) {
  child.on("error", ({ message }) => fail(`cannot start Deno: ${message}`));
  let lastToAll = -Infinity;
  const watcher = process.platform === "win32" ? undefined : watch(child);
  watcher?.stdout.on("data", () => lastToAll = performance.now());

  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // A signal to the whole group has reached the program; a second one would end it at once.
      const since = performance.now() - SPREAD;
      setTimeout(() => lastToAll > since || child.kill(signal), SPREAD);
    });
  }
  child.on("exit", (code, signal) => {
    watcher?.kill("SIGKILL");
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function watch(child) {
  const how = { stdio: ["pipe", "pipe", "ignore"] };
  return spawn("sh", ["-c", WATCHER, "sh", String(child.pid)], how).on("error", () => {});
}

/** Finds the native program: npm's command `deno` would not pass signals on. Made here if npm ran no install script. */
function findDeno() {
  try {
    return createRequire(import.meta.url)("deno/install_api.cjs").runInstall();
  } catch ({ message }) {
    const [reason] = message.split("\n");
    fail(
      `this command runs on Deno, which is not installed for ${process.platform} ` +
        `${process.arch}: npm install deno (${reason})`,
    );
  }
}

function fail(sentence) {
  console.error(`readback: ${sentence}`);
  process.exit(1);
}
