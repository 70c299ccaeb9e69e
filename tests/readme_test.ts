/** The README says what is: its options, files and tasks are there, its code does what it says. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { needs } from "../lib/testing/needs.ts";
import { Program, program, startServer } from "../lib/testing/program.ts";
import { type Block, blocks, rows, section } from "./readme.ts";
import { unstamped } from "../lib/testing/wire.ts";

const root = new URL("..", import.meta.url);
const { tasks, imports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
/** Where `deno` is the one that runs the tests. */
const PATH = `${Deno.execPath().replace(/[^/\\]*$/, "")}:${Deno.env.get("PATH")}`;

/** Services that other tests run. */
const SERVICES = ["stamp", "sum", "slow", "chat"]
  .map((name) => new URL(`tests/services/${name}.ts`, root));

/** How each block of code is tried, by its section and language; what is only shown has no language. */
const TRIALS: Readonly<Record<string, (code: string) => Promise<void>>> = {
  "readback: sh": async (code) => {
    const [, name = ""] = /^npx -y deno@[\d.]+ task (\w+)\n$/.exec(code) ?? [];
    assert(name in tasks, code);
    if (name === "test") return; // this is it
    await using talk = new Program(["deno", "task", name], { env: { PATH } });
    await talk.type("hello\n");
    await talk.endInput();
    await talk.ends(0);
    assertMatch(unstamped(talk.stdout), /^>>:hello\nClient received data: \[hello\] STAMP\n>>:\n$/);
  },
  "A conversation: sh": async (code) => {
    await using server = await startServer();
    const here = code.replaceAll("6969", `${server.port}`)
      .replaceAll("task client", `task client --port ${server.port}`)
      .replace("seq 200000", "seq 2000");
    const replies = unstamped(await shell(here)).split("\n");
    assertEquals(replies.at(0), "[i am binary] STAMP");
    assertEquals(
      replies.slice(1, 2001),
      Array.from({ length: 2000 }, (_, at) => `[${at + 1}] STAMP`),
    );
    assertEquals(replies.slice(2001), ["[hello] STAMP", ""]);
  },
  "In your tests: python": async (code) => {
    await using python = new Program(["python3", "-c", code], { env: { PATH } });
    await python.ends(0);
    assertEquals(python.stderr, "");
  },
  "In your tests: sh": async (code) => {
    const folder = await Deno.makeTempDir({ prefix: "readback-readme-" });
    try {
      const said = await shell(code.replaceAll("transcript.txt", `${folder}/transcript.txt`));
      assertMatch(
        unstamped(said),
        /^\[hello\] STAMP\n\[hello again\] STAMP\nServer received data: "hello again" from .*\n$/,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
  "In your tests: ts": async (code) => {
    const file = await Deno.makeTempFile({ suffix: "_test.ts" });
    try {
      await Deno.writeTextFile(file, code);
      const args = ["test", "--frozen", "--config", "deno.json", "--allow-net", file];
      await using test = new Program([Deno.execPath(), ...args]);
      await test.ends(0);
      await test.until("1 passed");
    } finally {
      await Deno.remove(file);
    }
  },
  "Build on it: ts": async (code) => {
    const services = await Promise.all(SERVICES.map((name) => Deno.readTextFile(name)));
    const here = services.map((text) => text.slice(text.indexOf("\n") + 1)); // less what is for lint
    assert(here.includes(code), `no such service in tests/services:\n${code}`);
  },
  // haproxy_test.ts and systemd_test.ts run these, where those programs are.
  "More than one machine: haproxy": () => Promise.resolve(),
  "More than one machine: systemd": () => Promise.resolve(),
  "The house: json": (code) => {
    assertEquals(Object.keys(JSON.parse(`{${code}}`)), Object.keys(imports).toSorted());
    return Promise.resolve();
  },
};

/** Runs a script as its reader would; gives what it printed. */
async function shell(script: string): Promise<string> {
  await using sh = new Program(["sh", "-e", "-c", script], { env: { PATH } });
  await sh.ends(0);
  return sh.stdout;
}

/** The files below a folder of the project. */
function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesIn(`${folder}/${name}`) : [`${folder}/${name}`]
  );
}

const LACKING = needs("sh", "nc", "python3");

describe("README", () => {
  for (const [title, name] of [["The server", "server"], ["The client", "client"]] as const) {
    it(`has ${name}.ts's options as --help has them`, async () => {
      await using help = new Program([...program(name), "--help"]);
      await help.ends(0);
      const [, ...options] = help.stdout.trim().split("\n").filter((line) => line !== "");
      const table = rows(title).map(([option, meaning, fallback]) =>
        `${option} ${meaning}${fallback ? ` (${fallback})` : ""}`
      );
      assertEquals(table, options.map((line) => line.trim().replace(/ {2,}/, " ")));
    });
  }

  it("has every file of lib/, and no other", () => {
    const named = [...section("The house").matchAll(/`lib\/([\w/]+\.ts)`/g)].map(([, name]) =>
      name
    );
    const there = filesIn("lib").map((name) => name.slice("lib/".length));
    assertEquals([...new Set(named)].toSorted(), there.toSorted());
  });

  it("names no task that is not there", () => {
    const text = blocks().map(({ code }) => code).join("") + section("The house");
    for (const [, name = ""] of text.matchAll(/deno task (\w+)/g)) assert(name in tasks, name);
  });

  const tried = blocks().filter(({ language }) => language !== "");
  tried.forEach(({ section, language, code }: Block, at) => {
    it(`block ${at + 1}, in "${section}": ${language}`, LACKING, async () => {
      const trial = TRIALS[`${section.replace(/^# /, "")}: ${language}`];
      assert(trial !== undefined, `nobody tries this block:\n${code}`);
      await trial?.(code);
    });
  });
});
