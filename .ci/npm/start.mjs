// deno-lint-ignore-file no-console -- a program of its own
/**
 * Starts a program of this package on the Deno that npm has installed with it, and stands
 * aside: its streams, its signals and its exit code are the program's.
 */

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import process from "node:process";
import { isatty } from "node:tty";
import { fileURLToPath } from "node:url";

/**
 * @param {string} program its file, beside this one
 * @param {readonly string[]} rights what Deno lets it do
 */
export function start(program, rights) {
  const file = fileURLToPath(new URL(program, import.meta.url));
  // What Deno would find in the user's folder, as a deno.json, is not meant for this program.
  const args = ["run", "--no-config", "--no-lock", ...rights, file, ...process.argv.slice(2)];
  const env = { ...process.env, DENO_NO_PACKAGE_JSON: "1", DENO_NO_UPDATE_CHECK: "1" };
  const child = spawn(findDeno(), args, { stdio: "inherit", env });
  child.on("error", (error) => fail(error));

  // Ctrl-C reaches the program by itself; a second SIGINT would end it at once.
  const fromKeyboard = [0, 1, 2].some((stream) => isatty(stream)) ? ["SIGINT", "SIGQUIT"] : [];
  for (const signal of ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => fromKeyboard.includes(signal) || child.kill(signal));
  }
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/** The native program: npm's command `deno` would not pass signals on. Made here if npm ran no install script. */
function findDeno() {
  try {
    return createRequire(import.meta.url)("deno/install_api.cjs").runInstall();
  } catch (error) {
    fail(error);
  }
}

function fail({ message }) {
  const [first] = message.split("\n");
  console.error(`readback: cannot start Deno on ${process.platform} ${process.arch}: ${first}`);
  process.exit(1);
}
