/** The files to take away: made in a folder of their own, used as their users would. */

import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { needs } from "../lib/testing/needs.ts";
import { Program, ServerProgram } from "../lib/testing/program.ts";
import { Screen } from "../lib/testing/screen.ts";
import { unstamped } from "../lib/testing/wire.ts";

const root = new URL("..", import.meta.url);
const { version } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
/** Where `deno` is the one that runs the tests. */
const PATH = `${Deno.execPath().replace(/[^/]*$/, "")}:${Deno.env.get("PATH")}`;
const RELEASE = ["run", "--frozen", "--allow-run", "--allow-read", "--allow-write"];

let folder = "";

/** Runs a command to its end; it must end well. */
async function run(command: readonly string[], env: Record<string, string> = {}): Promise<string> {
  await using program = new Program(command, { env: { PATH, ...env } });
  await program.endInput();
  await program.ends(0);
  return program.stdout;
}

/** Holds the sums against the files. */
async function assertSums(folder: string, names: readonly string[]): Promise<void> {
  const sums = (await Deno.readTextFile(`${folder}/SHA256SUMS`)).trimEnd().split("\n");
  assertEquals(sums.map((line) => line.slice(66)), names);
  for (const line of sums) {
    const bytes = await Deno.readFile(`${folder}/${line.slice(66)}`);
    const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    assertEquals(line.slice(0, 66), `${sum}  `);
  }
}

/** A server and a client, by the commands that start them, talk to each other. */
async function assertTalk(server: string, client: string): Promise<void> {
  await using running = new ServerProgram([server, "--port", "0"], { env: { PATH } });
  const [, port = ""] = await running.until(/listening on .*:(\d+)\n/);
  const replies = await run([client, "--port", port, "--message", "hello"]);
  assertEquals(unstamped(replies), "[hello] STAMP\n");
  running.signal("SIGTERM");
  await running.ends(0);
}

describe("files to take away", needs("sh"), () => {
  before(async () => {
    folder = await Deno.makeTempDir({ prefix: "readback-build-" });
    await run([Deno.execPath(), ...RELEASE, ".ci/release.ts", "bundle", folder]);
  });
  after(() => Deno.remove(folder, { recursive: true }));

  it("two scripts, each under 80 KB, with their sums", async () => {
    await assertSums(folder, ["client.js", "server.js"]);
    for (const name of ["client", "server"]) {
      const text = await Deno.readTextFile(`${folder}/${name}.js`);
      assert(text.length < 80_000, `${name}.js has ${text.length} bytes`);
      assert(!text.includes(root.pathname), `${name}.js names the folder it was made in`);
      assertEquals(await run([`${folder}/${name}.js`, "--version"]), `readback ${version}\n`);
    }
  });

  it("run by their names, they talk", () =>
    assertTalk(`${folder}/server.js`, `${folder}/client.js`));

  it("the client is whole: it has a terminal too", needs("tmux"), async () => {
    const client = [`${folder}/client.js`, "--loopback"];
    await using screen = await Screen.open(client, { env: { PATH } });
    await screen.shows(">>:");
    await screen.press("h", "i", "Enter");
    await screen.shows(/received data: \[hi\] .*\n>>:$/);
  });

  it("a release has a program for every system", async () => {
    // Deno's runtimes are not to be had everywhere: what would compile says what it was told.
    const fake = `${folder}/fake.ts`, deno = `${folder}/deno`, release = `${folder}/release`;
    const record =
      'printf "%s " "$@"; while [ "$1" != -o ]; do shift; done; echo "$@" > "$2"; echo';
    await Deno.writeTextFile(deno, `#!/bin/sh\n${record}\n`, { mode: 0o755 });
    await Deno.writeTextFile(fake, `Deno.execPath = () => ${JSON.stringify(deno)};`);
    const said = await run(
      [Deno.execPath(), ...RELEASE, "--preload", fake, ".ci/release.ts", "all", release],
    );
    const targets = [
      "aarch64-apple-darwin",
      "aarch64-unknown-linux-gnu",
      "x86_64-apple-darwin",
      "x86_64-pc-windows-msvc",
      "x86_64-unknown-linux-gnu",
    ];
    const named = (name: string) => targets.map((target) => `${name}-${target}`);
    await assertSums(
      release,
      ["client.js", ...named("readback"), ...named("readback-server"), "server.js"].toSorted(),
    );
    const compiled = said.split("\n").filter((line) => line.startsWith("compile "));
    assertEquals(compiled.length, 10);
    for (const line of compiled) {
      const [, target = "", file] = / --target (\S+) -o \S+\/(\S+) \w+\.ts $/.exec(line) ?? [];
      assert(file?.endsWith(`-${target}`), line);
      assert(line.includes("--allow-net --allow-read --allow-write --no-prompt "), line);
    }
  });

  it("installed, the commands are readback-server and readback", async () => {
    const DENO_INSTALL_ROOT = `${folder}/installed`;
    await run([Deno.execPath(), "task", "install"], { DENO_INSTALL_ROOT });
    const bin = `${DENO_INSTALL_ROOT}/bin`;
    await assertTalk(`${bin}/readback-server`, `${bin}/readback`);
  });

  it("the package could be published as it is", async () => {
    await run([Deno.execPath(), "publish", "--dry-run", "--allow-dirty", "--quiet"]);
  });

  it("what it can't make is said", async () => {
    await using release = new Program([Deno.execPath(), ...RELEASE, ".ci/release.ts", "bundel"]);
    await release.ends(1);
    assertEquals(
      release.stderr,
      "release: say bundle, compile or all, and a folder if it is not dist\n",
    );
  });
});
