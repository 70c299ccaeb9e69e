/** The package for npm: made, installed in an empty folder, and used as its users would. */

import { assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { requires } from "../lib/testing/requires.ts";
import { Program } from "../lib/testing/program.ts";
import { Screen } from "../lib/testing/screen.ts";
import { Wire } from "../lib/testing/wire.ts";
import { unstamped } from "./replies.ts";

const root = new URL("..", import.meta.url);
const { version } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
const README = await Deno.readTextFile(new URL(".ci/npm/README.md", root));
const RELEASE = ["run", "--frozen", "--allow-run", "--allow-read", "--allow-write", "--allow-env"];
// No install script has run: the package must do without.
const INSTALL = ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];

/** The folder of somebody who has Node and nothing of ours. */
let app = "";

/** A command in that folder. */
function inApp(...command: readonly string[]): string[] {
  return ["sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", app, ...command];
}

/** Runs a command there to its end; gives what it printed. */
async function run(...command: readonly string[]): Promise<string> {
  await using program = new Program(inApp(...command));
  await program.endInput();
  await program.ends(0);
  return program.stdout;
}

/** What npm has installed, running. It is asked to end: killed, it would leave its program behind. */
class Installed extends Program {
  constructor(name: string, ...args: readonly string[]) {
    super(inApp(`node_modules/.bin/${name}`, ...args));
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.signal("SIGTERM");
      await this.exitCode();
    } catch {
      // It had ended.
    }
    await super[Symbol.asyncDispose]();
  }
}

/** Waits until a server is ready; gives its port. */
async function ready(server: Program): Promise<number> {
  const [, port] = await server.until(/(?:listening on .*:|"port":)(\d+)/);
  return Number(port);
}

describe("the package for npm", requires("sh", "npm", "signals"), () => {
  before(async () => {
    app = await Deno.makeTempDir({ prefix: "readback-npm-" });
    await using release = new Program(
      [Deno.execPath(), ...RELEASE, ".ci/release.ts", "npm", `${app}/dist`],
    );
    await release.ends(0);
    assertEquals(release.stdout, `made ${app}/dist/readback-${version}.tgz\n`);
    await run("npm", ...INSTALL, `./dist/readback-${version}.tgz`);
  });
  after(() => Deno.remove(app, { recursive: true }));

  it("npx readback --loopback", async () => {
    await using talk = new Program(inApp("npx", "readback", "--loopback"));
    await talk.type("hello\n");
    await talk.endInput();
    await talk.ends(0);
    assertEquals(unstamped(talk.stdout), ">>:hello\nClient received data: [hello] STAMP\n>>:\n");
  });

  it("the commands know their names and their version", async () => {
    for (const name of ["readback", "readback-server"]) {
      assertEquals(await run(`node_modules/.bin/${name}`, "-V"), `readback ${version}\n`);
      assertMatch(await run(`node_modules/.bin/${name}`, "--help"), new RegExp(`^usage: ${name} `));
    }
  });

  it("the example in a Node test passes", async () => {
    const [, example = ""] = /^```js\n([^]*?)^```$/m.exec(README) ?? [];
    await Deno.writeTextFile(`${app}/readback.test.mjs`, example);
    assertMatch(await run("node", "--test", "readback.test.mjs"), /pass 1\n/);
  });

  it("is not disturbed by what is meant for other programs", async () => {
    for (const file of ["deno.json", "deno.lock"]) await Deno.writeTextFile(`${app}/${file}`, "{");
    try {
      await run("node_modules/.bin/readback", "--loopback", "--message", "hello");
    } finally {
      for (const file of ["deno.json", "deno.lock"]) await Deno.remove(`${app}/${file}`);
    }
  });

  it("has the right to files, for a Unix socket", async () => {
    await using server = new Installed("readback-server", "--unix", "socket");
    await server.until(/listening on .*\n/);
    const said = await run("node_modules/.bin/readback", "--unix", "socket", "--message", "hello");
    assertEquals(unstamped(said), "[hello] STAMP\n");
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`passes ${signal} on: the server stops, and its exit code is 0`, async () => {
      await using server = new Installed("readback-server", "--port", "0", "--log", "json");
      using wire = await Wire.dial(await ready(server));
      await wire.send("hello\n");
      await wire.until(/\n/);
      server.signal(signal);
      await server.until('"event":"stopping"');
      await wire.end();
      assertEquals(await wire.rest(), "");
      await server.ends(0);
    });
  }

  it("gives the exit code, or the signal that ended the program", async () => {
    for (const [code, args] of [[2, ["--pork"]], [1, ["127.0.0.1", "1"]]] as const) {
      await using client = new Installed("readback", ...args);
      await client.ends(code);
      assertMatch(client.stderr, /^client: .*\n$/);
    }
    await using server = new Installed("readback-server", "--port", "0");
    await ready(server);
    await run("pkill", "-KILL", "-P", String(server.pid));
    await server.ends(128 + 9);
  });

  it("on a terminal, Ctrl-C comes to the program once", requires("script"), async () => {
    // The launcher is slow: what it passed on would be a signal of its own, which ends the server.
    const slow =
      "process.on('SIGINT', () => { for (const t = Date.now(); Date.now() < t + 200;); })";
    await Deno.writeTextFile(`${app}/slow.mjs`, slow);
    const server = "node_modules/.bin/readback-server --port 0 --log json";
    const command = `cd ${app}; NODE_OPTIONS=--import=./slow.mjs exec ${server}`;
    await using terminal = new Program(["script", "-qec", command, "/dev/null"]);
    using wire = await Wire.dial(await ready(terminal));
    await wire.send("hello\n");
    await wire.until(/\n/);
    await terminal.type("\x03");
    await terminal.until('"event":"stopping"');
    await run("node_modules/.bin/readback", "--version"); // takes longer than the launcher
    await wire.end();
    await terminal.ends(0);
  });

  it("on a terminal, it is a line editor", requires("tmux"), async () => {
    await using talk = await Screen.open(inApp("node_modules/.bin/readback", "--loopback"));
    await talk.shows(">>:");
    await talk.press("h", "x", "BSpace", "i", "Enter");
    await talk.shows(/received data: \[hi\] .*\n>>:$/);
    await talk.press("C-c");
    await talk.ends(130);
  });

  it("says in a sentence that there is no Deno for this system", async () => {
    const deno = `${app}/node_modules/@deno`;
    await Deno.remove(`${app}/node_modules/deno/deno`);
    await Deno.rename(deno, `${deno}-elsewhere`);
    try {
      await using client = new Installed("readback", "--version");
      await client.ends(1);
      assertMatch(client.stderr, /^readback: cannot start Deno on \w+ \w+: Cannot find .*\n$/);
    } finally {
      await Deno.rename(`${deno}-elsewhere`, deno);
    }
  });
});
