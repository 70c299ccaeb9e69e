/** Of a command and its server, nothing is left running, whichever ends first and however it ends. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Program } from "../../lib/testing/program.ts";
import { program } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";

/** How long a process may outlive the one that it depends on, in ms. */
const MOST = 1000;

/** Starts a server that runs a shell script. */
export function beside(script: string, ...options: readonly string[]): Program {
  const args = [...options, "--", "sh", "-c", script];
  return new Program([...program("server", args), ...args]);
}

/** A time for sleep(1) by which a process is found again. */
function marker(): string {
  return `600.${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
}

/** Waits until no process has a word among its arguments. */
async function gone(word: string): Promise<void> {
  const latest = performance.now() + MOST;
  for (;;) {
    const { stdout } = await new Deno.Command("pgrep", { args: ["-f", word] }).output();
    const left = new TextDecoder().decode(stdout).trim();
    if (left === "") return;
    assert(performance.now() < latest, `still running after ${MOST} ms: ${left}`);
    await sleep(20);
  }
}

/** Runs commands that leave a process behind. */
export async function commandsEnd(times: number): Promise<string> {
  for (let time = 0; time < times; time++) {
    const word = marker();
    await using server = beside(`sleep ${word} >/dev/null & echo $READBACK_PORT; exit 3`);
    const [, port] = await server.until(/(\d+)\n/);
    await server.ends(3);
    await gone(word);
    await assertRejects(() => Wire.dial(Number(port)));
  }
  return `${times} runs left no process and no port`;
}

/** Kills a server, or its command, while both run. */
export async function killed(which: "server" | "command", times: number): Promise<string> {
  for (let time = 0; time < times; time++) {
    const word = marker();
    await using server = beside(`sleep ${word} & echo $$; sleep ${word}`);
    const [, command] = await server.until(/(\d+)\n/);
    Deno.kill(which === "server" ? server.pid : Number(command), "SIGKILL");
    await gone(word);
    assertEquals(await server.exitCode(), 137);
  }
  return `${times} kills left no process`;
}

/** Kills a server at any time while it starts its command. */
export async function killedEarly(times: number): Promise<string> {
  for (let time = 0; time < times; time++) {
    const word = marker();
    await using server = beside(`sleep ${word} & sleep ${word}`);
    await sleep(50 + 150 * time / times); // from before it listens to after the command runs
    server.signal("SIGKILL");
    await gone(word);
  }
  return `${times} kills left no process`;
}

/** Kills the process that holds the other end of a server's standard input. */
export async function parentKilled(times: number): Promise<string> {
  const parent =
    "import subprocess, sys; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE).wait()";
  for (let time = 0; time < times; time++) {
    const word = marker();
    const args = ["--until-eof", "--port", "0", "--reply", word];
    await using python = new Program(["python3", "-c", parent, ...program("server"), ...args]);
    await python.until(/listening on .*\n/);
    python.signal("SIGKILL");
    await gone(word);
  }
  return `${times} kills left no server`;
}
