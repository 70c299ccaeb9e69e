/** The package for npm: made, installed in an empty folder, and used as its users would. */

import { assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { Screen } from "../../lib/testing/screen.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { isNode22, NPM_INSTALL, packFor } from "../support/npm.ts";
import { unstamped } from "../support/replies.ts";

const root = new URL("../..", import.meta.url);
const { version } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
const README = await Deno.readTextFile(new URL(".ci/npm/README.md", root));
/** The folder of somebody who has Node and nothing of ours. */
let app = "";

/** A command in that folder. */
function inApp(...command: readonly string[]): string[] {
  return ["sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", app, ...command];
}

/** Runs a command there to its end; gives what it printed. */
async function run(...command: readonly string[]): Promise<string> {
  await using program = new Program(inApp(...command), { env: NPM_INSTALL });
  await program.endInput();
  await program.ends(0, { timeout: 60_000 }); // npm may have to download
  return program.stdout;
}

/** One of the installed commands, running. */
class Installed extends Program {
  constructor(name: string, args: readonly string[], env: Record<string, string> = {}) {
    super(inApp(`node_modules/.bin/${name}`, ...args), { env });
  }
}

/** The two ways in which a command runs Deno, by the Node options that make it so. */
const WAYS = {
  "as the program itself": "",
  "beside the program, as before Node 22.15": "--import=./no_execve.mjs",
};
const newNode = { ignore: !isNode22 };

/** The server on a terminal, which first prints its process id. */
function onTerminal(args: readonly string[], options: string): string[] {
  const command = `cd ${app}; echo pid $$; NODE_OPTIONS=${options} exec ` +
    `node_modules/.bin/readback-server ${args.join(" ")}`;
  return ["script", "-qec", command, "/dev/null"];
}

/** Waits until a server is ready; returns its port. */
async function ready(server: Program): Promise<number> {
  const [, port] = await server.until(/(?:listening on .*:|"port":)(\d+)/);
  return Number(port);
}

describe("the package for npm", requires("sh", "npm", "signals"), () => {
  before(async () => {
    app = await Deno.makeTempDir({ prefix: "readback-npm-" });
    assertEquals(await packFor(app), `${app}/dist/readback-${version}.tgz`);
    await Deno.writeTextFile(`${app}/no_execve.mjs`, "delete process.execve;");
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

  it("the example in a Node test passes", newNode, async () => {
    const [, example = ""] = /^```js\n([^]*?)^```$/m.exec(README) ?? [];
    await Deno.writeTextFile(`${app}/readback.test.mjs`, example);
    assertMatch(await run("node", "--test", "readback.test.mjs"), /pass 1\n/);
  });

  it("the types need neither Deno's nor skipLibCheck, nor those of Node", async () => {
    await run("npm", "install", "typescript@5", "@types/node@22");
    await Deno.writeTextFile(`${app}/consumer.mts`, CONSUMER);
    for (const [types, lib] of [[["node"], ["es2023"]], [[], ["es2023", "dom"]]]) {
      const compilerOptions = { ...STRICT, types, lib };
      const settings = JSON.stringify({ compilerOptions, files: ["consumer.mts"] });
      await Deno.writeTextFile(`${app}/tsconfig.json`, settings);
      await using check = new Program(inApp("node_modules/.bin/tsc", "--project", "."));
      assertEquals([await check.exitCode(), check.stdout], [0, ""]);
    }
  });

  it("is not disturbed by what is meant for other programs", async () => {
    for (const file of ["deno.json", "deno.lock"]) await Deno.writeTextFile(`${app}/${file}`, "{");
    try {
      await run("node_modules/.bin/readback", "--loopback", "--message", "hello");
    } finally {
      for (const file of ["deno.json", "deno.lock"]) await Deno.remove(`${app}/${file}`);
    }
  });

  it("has the permission for files, for a Unix socket", async () => {
    await using server = new Installed("readback-server", ["--unix", "socket"]);
    await server.until(/listening on .*\n/);
    const reply = await run("node_modules/.bin/readback", "--unix", "socket", "--message", "hello");
    assertEquals(unstamped(reply), "[hello] STAMP\n");
  });

  for (const [way, NODE_OPTIONS] of Object.entries(WAYS)) {
    const env = { NODE_OPTIONS };
    const here = NODE_OPTIONS === "" ? newNode : {};
    const SERVER = ["--port", "0", "--log", "json"];

    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      it(`${signal}, ${way}: the server stops, and its exit code is 0`, here, async () => {
        await using server = new Installed("readback-server", SERVER, env);
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

    it(`exit codes, ${way}`, here, async () => {
      for (const [code, args] of [[2, ["--pork"]], [1, ["127.0.0.1", "1"]]] as const) {
        await using client = new Installed("readback", args, env);
        await client.ends(code);
        assertMatch(client.stderr, /^client: .*\n$/);
      }
    });

    it(`SIGKILL, ${way}: nothing is left running`, here, async () => {
      await using server = new Installed("readback-server", SERVER, env);
      using wire = await Wire.dial(await ready(server));
      server.signal("SIGKILL");
      assertEquals(await wire.rest().catch(() => ""), ""); // also a reset is an end
      await server.ends(128 + 9);
    });

    it(`Ctrl-C on a terminal, ${way}, comes once`, { ...here, ...requires("script") }, async () => {
      await using terminal = new Program(onTerminal(SERVER, NODE_OPTIONS));
      using wire = await Wire.dial(await ready(terminal));
      await wire.send("hello\n");
      await wire.until(/\n/);
      await terminal.type("\x03");
      await terminal.until('"event":"stopping"');
      await run("node_modules/.bin/readback", "--version"); // takes longer than a second signal would
      await wire.end();
      await terminal.ends(0);
    });

    it(`SIGINT for the command alone on a terminal, ${way}, comes too`, {
      ...here,
      ...requires("script"),
    }, async () => {
      await using terminal = new Program(onTerminal(SERVER, NODE_OPTIONS));
      const [, pid = ""] = await terminal.until(/pid (\d+)\r\n/);
      await ready(terminal);
      Deno.kill(Number(pid), "SIGINT");
      await terminal.until('"event":"stopping"');
      await terminal.ends(0);
    });
  }

  it("gives the signal that ended the program", requires("linux"), async () => {
    const NODE_OPTIONS = WAYS["beside the program, as before Node 22.15"];
    await using server = new Installed("readback-server", ["--port", "0"], { NODE_OPTIONS });
    await ready(server);
    await run("sh", "-c", `kill -KILL $(cat /proc/${server.pid}/task/*/children)`);
    await server.ends(128 + 9);
  });

  it("on a terminal, it is a line editor", requires("tmux"), async () => {
    await using talk = await Screen.open(inApp("node_modules/.bin/readback", "--loopback"));
    await talk.shows(">>:");
    await talk.press("h", "x", "BSpace", "i", "Enter");
    await talk.shows(/received data: \[hi\] .*\n>>:$/);
    await talk.press("C-c");
    await talk.ends(130);
  });

  it("without Deno, the commands report it, and the modules work", newNode, async () => {
    const deno = `${app}/node_modules/deno`;
    await Deno.rename(deno, `${deno}-elsewhere`);
    try {
      await using client = new Installed("readback", ["--version"]);
      await client.ends(1);
      assertMatch(
        client.stderr,
        /^readback: this command runs on Deno, which is not installed for \w+ \w+: npm install deno \(.*\)\n$/,
      );
      await run("node", "--test", "readback.test.mjs");
    } finally {
      await Deno.rename(`${deno}-elsewhere`, deno);
    }
  });
});

const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  module: "nodenext",
  target: "es2022",
  noEmit: true,
};

/** A TypeScript program of somebody who uses both modules. */
const CONSUMER = `
import { listen, Peer, serve, type ServeOptions } from "readback";
import { FakeServer, Program, Proxy, Screen, startServer, Wire } from "readback/testing";

const options: ServeOptions = { listeners: await listen({ hostname: "localhost" }) };
const server = serve((message, reply) => reply.write(message), options);
const peer = await Peer.connect({ port: 1, signal: AbortSignal.timeout(1000) });
peer[Symbol.dispose]();
await server[Symbol.asyncDispose]();
export const harness = [FakeServer, Program, Proxy, Screen, startServer, Wire];
`;
