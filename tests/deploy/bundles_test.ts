/** The files to take away: made in a folder of their own, used as their users would. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { ServerProgram } from "../../lib/testing/readback.ts";
import { Screen } from "../../lib/testing/screen.ts";
import { npmSettings } from "../support/npm_settings.ts";
import { unstamped } from "../support/replies.ts";

const root = new URL("../..", import.meta.url);
const { version, publish } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
const RELEASE = ["run", "--frozen", "--allow-run", "--allow-read", "--allow-write", "--allow-env"];

let folder = "";
/** Where `deno` is the one that runs the tests, however that is called and wherever it is. */
let PATH = "", bin = "";

/** Runs a command to its end; it must end well. */
async function run(
  command: readonly string[],
  env: Record<string, string> = {},
  cwd = ".",
): Promise<string> {
  await using program = new Program(command, { env: { PATH, ...env }, cwd });
  await program.endInput();
  await program.ends(0, { timeout: 100_000 }); // a build is no exchange of words
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

/** Makes a command that pretends to be Deno, and what makes the release use it. */
async function pretend(deno: string, preload: string, script: string): Promise<void> {
  await Deno.writeTextFile(deno, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  await Deno.writeTextFile(preload, `Deno.execPath = () => ${JSON.stringify(deno)};`);
}

describe("files to take away", requires("sh"), () => {
  before(async () => {
    folder = await Deno.makeTempDir({ prefix: "readback-build-" });
    bin = await Deno.makeTempDir({ prefix: "readback-deno-" });
    await Deno.symlink(Deno.execPath(), `${bin}/deno`);
    PATH = `${bin}:${Deno.env.get("PATH")}`;
    const said = await run([Deno.execPath(), ...RELEASE, ".ci/release.ts", "bundle", folder]);
    assertEquals(
      said,
      `made ${folder}/server.js\nmade ${folder}/client.js\n` +
        "they start with deno, which is on PATH\n",
    );
  });
  after(async () => {
    for (const made of [folder, bin]) await Deno.remove(made, { recursive: true });
  });

  it("two scripts with their sums; the client's is larger, for it has a server for --loopback", async () => {
    await assertSums(folder, ["client.js", "server.js"]);
    for (const [name, most] of [["client", 140_000], ["server", 120_000]] as const) {
      const text = await Deno.readTextFile(`${folder}/${name}.js`);
      assert(text.length < most, `${name}.js has ${text.length} bytes`);
      assert(!text.includes(root.pathname), `${name}.js names the folder it was made in`);
      assertEquals(await run([`${folder}/${name}.js`, "--version"]), `readback ${version}\n`);
      // An older Deno that could not read it could not say that it is too old.
      assert(!/\busing [\w$]+=/.test(text), `${name}.js is not in older JavaScript`);
    }
  });

  it("run by their names, they talk", () =>
    assertTalk(`${folder}/server.js`, `${folder}/client.js`));

  it("the client is whole: it has a terminal too", requires("tmux"), async () => {
    const client = ["env", `PATH=${PATH}`, `${folder}/client.js`, "--loopback"];
    await using screen = await Screen.open(client);
    await screen.shows(">>:");
    await screen.press("h", "i", "Enter");
    await screen.shows(/received data: \[hi\] .*\n>>:$/);
  });

  it("a release has a program for every system", requires("npm"), async () => {
    // Not every machine can reach Deno's runtimes: what would compile records its arguments.
    const fake = `${folder}/fake.ts`, deno = `${folder}/deno`, release = `${folder}/release`;
    const record = `[ "$1" = compile ] || exec ${Deno.execPath()} "$@"
      echo "$@" >> "$0.log"; while [ "$1" != -o ]; do shift; done; echo "//" "$@" > "$2"`;
    await pretend(deno, fake, record);
    await run([Deno.execPath(), ...RELEASE, "--preload", fake, ".ci/release.ts", "all", release]);
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
      [
        ...["client.js", `readback-${version}.tgz`, "server.js"],
        ...[...named("readback"), ...named("readback-server")],
      ].toSorted(),
    );
    const compiled = (await Deno.readTextFile(`${deno}.log`)).trimEnd().split("\n");
    assertEquals(compiled.length, 10);
    for (const line of compiled) {
      const [, target = "", file] = / --target (\S+) -o \S+\/(\S+) \S+\/\w+\.js$/.exec(line) ?? [];
      assert(file?.endsWith(`-${target}`), line);
    }
  });

  it(
    "a compiled program embeds its bundle alone, with its permissions",
    requires("linux"),
    async () => {
      // Any program stands in for Deno's runtime: what is embedded is added to it.
      const DENORT_BIN = await Deno.realPath("/bin/true");
      const made = `${folder}/compiled`;
      await run([Deno.execPath(), ...RELEASE, ".ci/release.ts", "compile", made], { DENORT_BIN });
      const { size } = await Deno.stat(DENORT_BIN);
      for (const name of ["readback-server", "readback"]) {
        const program = await Deno.readFile(`${made}/${name}`);
        assert(program.length - size < 200_000, `${name} embeds ${program.length - size} bytes`);

        const text = new TextDecoder("latin1").decode(program);
        const [, metadata = "", files = ""] =
          /(\{"argv".*?\})\0[^]*?(\[\{"File":.*?\}\])/.exec(text) ??
            [];
        const isServer = name === "readback-server";
        assertEquals(
          JSON.parse(files).map(({ File: { n } }: { File: { n: string } }) => n),
          [isServer ? "server.js" : "client.js"],
        );
        const { argv, permissions, v8_flags, workspace_resolver, node_modules } = JSON.parse(
          metadata,
        );
        assertEquals(argv, []);
        assertEquals(node_modules, null);
        assertEquals([workspace_resolver.import_map, workspace_resolver.jsr_pkgs], [null, []]);
        assertEquals(v8_flags.includes("--max-semi-space-size=4"), isServer);
        const { prompt, ...lists } = permissions;
        assertEquals(prompt, false);
        const allowed = Object.keys(lists)
          .filter((key) => lists[key] !== null && key !== "allow_import"); // Deno's default: nothing imports
        assertEquals(allowed.toSorted(), [
          "allow_net",
          "allow_read",
          ...isServer ? ["allow_run"] : [],
          "allow_write",
        ]);
        for (const key of allowed) assertEquals(lists[key], [], key);
      }
    },
  );

  it("without Deno's runtime, it says what it needs", async () => {
    const fake = `${folder}/fake.ts`, deno = `${folder}/deno`;
    const refuse = `[ "$1" = compile ] || exec ${Deno.execPath()} "$@"
      echo 'error sending request for denort-x.zip' >&2; exit 1`;
    await pretend(deno, fake, refuse);
    await using compile = new Program(
      [...[Deno.execPath(), ...RELEASE, "--preload", fake], ".ci/release.ts", "compile", folder],
    );
    await compile.ends(1);
    assertMatch(compile.stderr, /^release: cannot compile without Deno's runtime, .*\n$/);
  });

  it("installed, the commands are readback-server and readback, and where is said", async () => {
    const DENO_INSTALL_ROOT = `${folder}/installed`, bin = `${DENO_INSTALL_ROOT}/bin`;
    const install = [Deno.execPath(), "task", "--quiet", "install"];
    const said = await run(install, { DENO_INSTALL_ROOT });
    assertEquals(
      said,
      `made ${bin}/readback-server\nmade ${bin}/readback\n` +
        "they start with deno, which is on PATH\n" +
        `${bin} is not on PATH: export PATH="${bin}:$PATH"\n`,
    );
    await assertTalk(`${bin}/readback-server`, `${bin}/readback`);

    // What npx adds to PATH is not there any more when the commands are run.
    const elsewhere = { DENO_INSTALL_ROOT, PATH: `${bin}:/x/node_modules/.bin` };
    const advice = `not on PATH; put a link to ${Deno.execPath()} there`;
    const lines = (await run(install, elsewhere)).split("\n");
    assertEquals(lines.slice(2), [
      `they start with deno, which is ${advice}`,
      `${bin} is on PATH`,
      "",
    ]);
  });

  it("the package could be published as it is", async () => {
    const copy = `${folder}/copy`; // linked packages can't be published
    await Deno.mkdir(copy);
    await run(["cp", "-R", ...publish.include, copy]);
    await Deno.writeTextFile(`${copy}/deno.json`, await npmSettings());
    const dry = ["publish", "--dry-run", "--quiet", "--no-check"]; // the gate checks
    assertEquals(await run([Deno.execPath(), ...dry], {}, copy), "");
  });

  it("what it can't make is said", async () => {
    await using release = new Program([Deno.execPath(), ...RELEASE, ".ci/release.ts", "bundel"]);
    await release.ends(1);
    assertEquals(
      release.stderr,
      "release: say bundle, npm, compile, all or install, and a folder if it is not dist\n",
    );
  });
});
