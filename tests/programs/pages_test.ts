/** The pages say what is: options, files, tasks and links are there, and the code does what they say. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type Framing, readback, serve } from "../../lib/mod.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, startServer } from "../../lib/testing/readback.ts";
import { experimentsIn } from "../support/experiments.ts";
import { pages, readme, replaced } from "../support/pages.ts";
import { examples } from "../support/examples.ts";
import { OUTAGE } from "../support/pictures.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";

const root = new URL("../..", import.meta.url);
const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
/** Where `deno` is the one that runs the tests. */
const PATH = `${Deno.execPath().replace(/[^/\\]*$/, "")}:${Deno.env.get("PATH")}`;

/** Services that other tests run. */
const SERVICES = ["stamp", "sum", "slow", "chat", "netstring", "calculator"]
  .map((name) => new URL(`tests/support/services/${name}.ts`, root));

/** How each block of code is tried, by its page, section and language; what is only shown has no language. */
const TRIALS: Readonly<Record<string, (code: string) => Promise<void>>> = {
  "README.md, readback: sh": async (code) => {
    const [, name = ""] = /^npx -y deno@[\d.]+ task (\w+)\n$/.exec(code) ?? [];
    assert(name in tasks, code);
    if (name === "test") return; // this is it
    await using talk = new Program(["deno", "task", name], { env: { PATH } });
    await talk.type("hello\n");
    await talk.endInput();
    await talk.ends(0);
    assertMatch(unstamped(talk.stdout), /^>>:hello\nClient received data: \[hello\] STAMP\n>>:\n$/);
  },
  "README.md, Learn sockets: console": session("line", "raw"),
  "README.md, In your tests: console": async (code) => {
    const [command = "", ...shown] = code.split("\n");
    const python = blockOf("README.md", "In your tests", "python");
    await withFile(".py", python, async (file) => {
      const here = command.slice(2).replace("deno", Deno.execPath()).replace("test_reset.py", file);
      await using server = new Program(["sh", "-c", here]);
      await server.endInput();
      await server.ends(0);
      const plain = (text: string) => text.replace(/(?<=:|seed )\d+/g, "N");
      assertEquals(plain(server.stderr), plain(shown.join("\n")));
    });
  },
  "README.md, In your tests: python": runElsewhere, // by the command above
  "README.md, In your tests: ts": asExample,
  "README.md, Measure: sh": (code) => {
    // pictures_test.ts runs it.
    const [server, client] = [OUTAGE.server.join(" "), OUTAGE.client.join(" ")];
    assertEquals(code, `deno task server ${server}\ndeno task client ${client}\n`);
    return Promise.resolve();
  },
  "README.md, Build: console": async (code) => {
    await using service = await startBlock(blockOf("README.md", "Build", "ts ignore"));
    await session()(code.replace("6969", `${service.port}`));
  },
  "README.md, Build: ts ignore": runElsewhere,
  "docs/wire.md, The wire: console": session("auto"),
  "docs/wire.md, Messages and replies: mermaid": diagram,
  "docs/inside.md, Inside: mermaid": diagram,
  "docs/library.md, The library: ts": asExample,
  "docs/cli.md, The command line: console": async (code) => {
    const [, script = "", reply = ""] = /^\$ readback-server -- sh -c '(.*)'\n(.*\n)$/.exec(code) ??
      [];
    await using server = new Program([...program("server", ["--"]), "--", "sh", "-c", script]);
    await server.endInput();
    await server.ends(0);
    assertEquals(unstamped(server.stdout), unstamped(reply));
  },
  "docs/library.md, Services: ts ignore": isService,
  "docs/learn.md, A calculator: ts ignore": isService,
  "docs/learn.md, A chat: ts ignore": isService,
  "docs/learn.md, A calculator: console": async (code) => {
    await using service = startService("calculator");
    const [, port] = await service.until(/listening on .*:(\d+)/);
    await session()(code.replaceAll("6969", `${port}`));
  },
  "docs/learn.md, A calculator: python": async (code) => {
    const words = {
      6969: "0",
      "server.serve_forever()":
        "print(server.server_address[1], flush=True)\n    server.serve_forever()",
    };
    await using service = new Program(["python3", "-S", "-c", replaced(code, words)]);
    const [, port] = await service.until(/(\d+)\n/);
    using wire = await Wire.dial(Number(port));
    await wire.send("2 + 3\n6 * 7\n");
    assertEquals(await wire.until("42\n"), "5\n42\n");
  },
  "docs/learn.md, A chat: python": async (code) => {
    await using service = startService("chat");
    const [, port = ""] = await service.until(/listening on .*:(\d+)/);
    await using client = new Program(["python3", "-S", "-c", replaced(code, { 6969: port })]);
    await client.until("welcome, guest 1\n");
    await client.type("hello\n");
    await client.until("guest 1: hello\n");
    await client.endInput();
    await client.ends(0);
  },
  "docs/library.md, In your tests: ts": asExample,
  "docs/library.md, In your tests: sh": async (code) => {
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
  "docs/measure.md, Why a round trip counts from when it was due: mermaid": diagram,
  "docs/faults.md, A relay: mermaid": diagram,
  "docs/faults.md, A relay: sh": async (code) => {
    await using behind = serve(readback(), { framing: "line" });
    const here = replaced(code, {
      "deno task server": "",
      "127.0.0.1:6379": `127.0.0.1:${behind.port}`,
    });
    const args = here.trim().replaceAll("'", "").split(" ");
    await using relay = await startServer(args);
    const ask = () => ["nc", "-N", "127.0.0.1", `${relay.port}`];
    for (const reply of ["[he", "[hello] STAMP\n"]) {
      await using nc = new Program(ask());
      await nc.type("hello\n");
      await nc.endInput();
      await nc.exitCode();
      assertEquals(unstamped(nc.stdout), reply);
    }
    await relay.until("fault reset=3 for 127.0.0.1:");
  },
  "docs/faults.md, In tests: ts": asExample,
  "docs/faults.md, Three uses: python": async (code) => {
    const [, name] = /^def (test_\w+)/m.exec(code) ?? [];
    await using python = new Program(["python3", "-S", "-c", `${code}\n${name}()`], {
      env: { PATH },
    });
    await python.ends(0);
    assertEquals(python.stderr, "");
  },
  "docs/faults.md, Three uses: ts": asExample,
  "docs/faults.md, Three uses: sh": async (code) => {
    await using server = await startServer(["--orders"]);
    const said = await shell(replaced(code, { 6969: `${server.port}` }));
    assertEquals(said, "no reply within a second: 124\n");
    await server.until("fault delay=9s for 127.0.0.1:");
  },
  "CONTRIBUTING.md, How to write a test: ts": asExample,
};

/** Checks that a block is one of the services that other tests run. */
async function isService(code: string): Promise<void> {
  const services = await Promise.all(SERVICES.map((name) => Deno.readTextFile(name)));
  const texts = services.map((text) => text.slice(text.indexOf("\n") + 1)); // without the lint directive
  assert(texts.includes(code), `no such service in tests/support/services:\n${code}`);
}

/** Starts one of the services; its first line says where it listens. */
function startService(name: string): Program {
  const file = new URL(`tests/support/services/${name}.ts`, root).pathname;
  return new Program([Deno.execPath(), "run", "--frozen", "--allow-net", file]);
}

/** Returns a block of a page. */
function blockOf(path: string, section: string, language: string): string {
  const block = pages.flatMap(({ blocks }) => blocks).find((block) =>
    block.path === path && block.section === section && block.language === language
  );
  assert(block !== undefined, `${path}, ${section}: ${language}`);
  return block.code;
}

/** Runs a service that a page shows, on a free port. */
async function startBlock(code: string): Promise<Program & { port: number }> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  const options = "port: 0, onListen: (addr) => console.log(JSON.stringify(addr))";
  await Deno.writeTextFile(file, replaced(code, { "port: 6969": options }));
  const args = ["run", "--frozen", "--config", "deno.json", "--allow-net", file];
  const service = new Program([Deno.execPath(), ...args]);
  const [, port] = await service.until(/"port":(\d+)/).finally(() => Deno.remove(file));
  return Object.assign(service, { port: Number(port) });
}

/** The trial of another block on the page runs this one. */
function runElsewhere(): Promise<void> {
  return Promise.resolve();
}

/** examples_test.ts runs these. */
function asExample(code: string): Promise<void> {
  assert(examples.some((example) => example.code === code), code);
  return Promise.resolve();
}

/** recipes_test.ts runs the recipes, and installs the package. */
function inRecipes(section: string): () => Promise<void> {
  return async () => {
    const tests = await Deno.readTextFile(new URL("../deploy/recipes_test.ts", import.meta.url));
    assert(section === "Install" || tests.includes(`recipe("${section}")`), section);
  };
}

/** Checks that a diagram is one; how it looks is for people to see. */
function diagram(code: string): Promise<void> {
  assertMatch(code, /^(flowchart (LR|TD)|sequenceDiagram)\n/);
  return Promise.resolve();
}

/**
 * Runs a session at a prompt: each command, and what it printed.
 * @param framings of the server on port 6969 and, if there is one, on 7070
 */
function session(...framings: readonly Framing[]): (code: string) => Promise<void> {
  return async (code) => {
    await using stack = new AsyncDisposableStack();
    let here = code;
    for (const [at, framing] of framings.entries()) {
      const { port } = stack.use(serve(readback(), { framing }));
      here = here.replaceAll(` ${[6969, 7070][at]}`, ` ${port}`);
    }
    const exchanges = here.split(/^\$ /m).slice(1);
    assert(exchanges.length > 0, code);
    for (const exchange of exchanges) {
      const [command = "", ...shown] = exchange.split("\n");
      // After raw replies there is no newline; the page has one there.
      const printed = unstamped(await shell(command)).trimEnd();
      assertEquals(printed, unstamped(shown.join("\n")).trimEnd(), command);
    }
  };
}

/** Runs a script as its reader would; gives what it printed. */
async function shell(script: string): Promise<string> {
  await using sh = new Program(["sh", "-e", "-c", script], { env: { PATH } });
  await sh.ends(0);
  return sh.stdout;
}

/** Does something with a file that is gone after it. */
async function withFile(
  suffix: string,
  text: string,
  does: (path: string) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempFile({ suffix });
  try {
    await Deno.writeTextFile(path, text);
    await does(path);
  } finally {
    await Deno.remove(path);
  }
}

/** The folders in a folder of the project, and in those. */
function foldersIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].filter(({ isDirectory }) => isDirectory)
    .flatMap(({ name }) => [`${folder}${name}/`, ...foldersIn(`${folder}${name}/`)]);
}

/** The modules in a folder of the project, and not in those below. */
function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].map(({ name }) => `${folder}${name}`)
    .filter((name) => name.endsWith(".ts"));
}

/** What a module imports of the project; not what its examples do. */
async function importsOf(name: string): Promise<string[]> {
  const text = await Deno.readTextFile(new URL(name, root));
  return [...text.matchAll(/^(?:import|export)\b[^;]*? from "(\.[^"]+)"|\bimport\("(\.[^"]+)"\)/gm)]
    .map(([, first, later]) => new URL(first ?? later ?? "", new URL(name, root)).href)
    .map((url) => url.slice(root.href.length))
    .filter((path) => path.endsWith(".ts"));
}

const LACKING = requires("sh", "nc", "python3");

/** What the programs print for `--help`; each is asked once. */
const helps: Partial<Record<"server" | "client", Promise<string>>> = {};

async function printHelp(name: "server" | "client"): Promise<string> {
  await using help = new Program([...program(name), "--help"]);
  await help.ends(0);
  return help.stdout;
}

/** The options of a program, or the faults, as `--help` lists them. */
async function helpOf(name: "server" | "client", part: RegExp): Promise<string[]> {
  const help = await (helps[name] ??= printHelp(name));
  for (const line of help.split("\n")) assert(line.length <= 80, line);
  assertMatch(help, /\ndocs\/cli\.md describes every option\.\n$/);
  const [, rows = ""] = part.exec(help) ?? [];
  return rows.replace(/\n {20,}/g, " ").split("\n").filter((line) => line.startsWith(" "))
    .map((line) => line.trim().replace(/ {2,}/, " "));
}

describe("docs/cli.md and docs/faults.md", () => {
  for (const [title, name] of [["The server", "server"], ["The client", "client"]] as const) {
    it(`have ${name}.ts's options as --help has them`, async () => {
      const page = pages.find(({ path }) => path === "docs/cli.md");
      const table = page?.rows(title).map(([option, meaning, fallback]) =>
        `${option} ${meaning}${fallback ? ` (${fallback})` : ""}`
      );
      assertEquals(table, await helpOf(name, /\n(Where [^]*)\nOther options:\n/));
    });
  }

  it("have the faults as --help has them", async () => {
    const table = pages.find(({ path }) => path === "docs/faults.md")?.rows("Faults");
    assertEquals(
      table?.map(([fault, meaning]) => `${fault} ${meaning}`),
      await helpOf("server", /\nFAULTS.*:\n([^]*)\n\n/),
    );
  });
});

describe("README", () => {
  it("is short: it is the first page, not the only one", () => {
    assert(readme.text.split("\n").length <= 171, "README.md has more than 170 lines: move some");
  });
});

describe("docs/inside.md's directories", () => {
  const library = pages.find(({ path }) => path === "docs/inside.md");
  const uses =
    library?.rows("The house").map(([room = "", , used = ""]) =>
      [room, used.split(/[`, ]+/)] as const
    ) ?? [];

  it("are the folders of lib/, and lib/ itself", () => {
    assertEquals(uses.map(([room]) => room).toSorted(), ["lib/", ...foldersIn("lib/")].toSorted());
  });

  for (const [room, used] of uses) {
    it(`${room} uses what it may: ${used.filter((name) => name !== "").join(", ") || "nothing"}`, async () => {
      for (const name of filesIn(room)) {
        if (name === "lib/mod.ts") continue; // the names of all that is public
        for (const imported of await importsOf(name)) {
          const other = imported.slice(0, imported.lastIndexOf("/") + 1);
          assert(other === room || used.includes(other), `${name} uses ${imported}`);
        }
      }
    });
  }

  it("have no circle: no file comes back to itself", async () => {
    const done = new Set<string>();
    const visit = async (name: string, way: readonly string[]): Promise<void> => {
      assert(!way.includes(name), [...way, name].join(" -> "));
      if (done.has(name)) return;
      for (const imported of await importsOf(name)) await visit(imported, [...way, name]);
      done.add(name);
    };
    await visit("server.ts", []);
    await visit("client.ts", []);
    await visit("lib/mod.ts", []);
  });
});

describe("the pages", () => {
  it("name no task that is not there", () => {
    for (const { text, path } of pages) {
      for (const [, name = ""] of text.matchAll(/deno task (\w+)/g)) {
        assert(name in tasks, `${path}: deno task ${name}`);
      }
    }
  });

  it("name no file that is not there", async () => {
    for (const { text, path } of pages) {
      for (const [, name = ""] of text.matchAll(/`((?:lib|tests)\/[\w./]*)`/g)) {
        assert(await exists(new URL(name, root)), `${path}: ${name}`);
      }
    }
  });

  it("have no link that leads nowhere", async () => {
    for (const page of pages) {
      for (const link of page.links) {
        const [path = "", anchor] = link.split("#");
        const target = new URL(path, new URL(page.path, root));
        assert(path === "" || await exists(target), `${page.path}: ${link}`);
        if (anchor === undefined) continue;
        const other = path === ""
          ? page
          : pages.find(({ path }) => new URL(path, root).href === target.href);
        assert(other?.anchors.includes(anchor), `${page.path}: ${link}`);
      }
    }
  });

  const experiments = pages.flatMap(experimentsIn).map(({ title }) => title);
  const tried = pages.flatMap(({ blocks }) => blocks).filter(({ language }) => language !== "");
  tried.forEach(({ path, section, language, code }, at) => {
    it(`block ${at + 1}, in "${section}" of ${path}: ${language}`, LACKING, async () => {
      if (experiments.includes(section)) return; // experiments_test.ts runs it
      const byRecipe = path === "docs/testing.md" ? inRecipes(section) : undefined;
      const trial = TRIALS[`${path}, ${section}: ${language}`] ?? byRecipe;
      assert(trial !== undefined, `nobody tries this block:\n${code}`);
      await trial?.(code);
    });
  });
});

function exists(url: URL): Promise<boolean> {
  return Deno.stat(url).then(() => true, () => false);
}
