/**
 * Runs in Node, against the package as it is installed: the examples of its types, and the tests
 * named below, bundled with what stands in for Deno. `deno task node`; arguments go to `node --test`.
 */

import { build, stop, transform } from "esbuild";
import config from "../../deno.json" with { type: "json" };
import { examplesIn } from "../../tests/support/examples.ts";

/** The tests: the harness, the properties, and what is done in-process with sockets. */
const TESTS = new RegExp(`/(${
  [
    "programs/(harness|faulty_network)",
    "deploy/harness_transfers",
    "properties/(faults|framing|peer|server)",
    "unit/(conversation|custom_framing|datagram_socket|failing_callbacks|faulty_server)",
    "unit/(filter|leaks|peer_requests|proxy|proxy_protocol|relay|reply_format|serve)",
    "unit/(socketserver_promises|talk|traced)",
  ].join("|")
})_test\.ts$`);
/** Everything is built here; `node_modules` has the package. */
const FOLDER = "dist/node";
/** What the examples know as `@std/assert`. */
const ASSERT = ".ci/node/assert";
const PACKAGE = `${FOLDER}/node_modules/readback`;

async function run(command: string, ...args: readonly string[]): Promise<boolean> {
  const runs = Deno.env.get("READBACK_RUNS") ?? "0.3"; // of each property: all of this takes a minute
  const how = { args: [...args], env: { READBACK_RUNS: runs } };
  const { success } = await new Deno.Command(command, how).spawn().status;
  return success;
}

async function deno(...args: readonly string[]): Promise<void> {
  if (!await run(Deno.execPath(), ...args)) throw new Error(`deno ${args.join(" ")} failed`);
}

/** Installs the package, and this Deno in place of npm's. */
async function installPackage(): Promise<void> {
  const release = ["--frozen", "-A", ".ci/release.ts"];
  await deno("run", "--quiet", ...release, "package", PACKAGE);
  const stub = `${FOLDER}/node_modules/deno`;
  await Deno.mkdir(stub, { recursive: true });
  await Deno.writeTextFile(`${stub}/package.json`, '{ "name": "deno" }');
  const api = `exports.runInstall = () => ${JSON.stringify(Deno.execPath())};`;
  await Deno.writeTextFile(`${stub}/install_api.cjs`, api);
  await Deno.writeTextFile(`${FOLDER}/package.json`, '{ "type": "module" }');
}

function* filesUnder(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) yield* filesUnder(`${folder}/${name}`);
    else yield `${folder}/${name}`;
  }
}

/** Bundles TypeScript for Node; `settings` is a deno.json. */
async function bundle(files: readonly string[], into: string): Promise<void> {
  const settings = ".node.deno.json"; // beside deno.json: its paths are relative
  const imports = { ...config.imports, "./lib/testing/command.ts": "./lib/node/command.ts" };
  await Deno.writeTextFile(settings, JSON.stringify({ ...config, imports }));
  try {
    const how = [
      "--quiet",
      "--config",
      settings,
      "--no-lock",
      "--code-splitting",
      "--sourcemap=inline",
    ];
    await deno("bundle", ...how, "--outdir", `${into}/deno`, ...files);
  } finally {
    await Deno.remove(settings);
  }
  await build({
    entryPoints: [...filesUnder(`${into}/deno`)].filter((file) => !/\/chunk-\w+\.js$/.test(file)),
    outdir: into,
    inject: [".ci/node/deno_test.ts", "lib/node/errors.ts", "lib/node/deno.ts"],
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node22",
    sourcemap: "inline",
    logLevel: "warning",
  });
}

/** Writes a test for each example in the package's types. */
async function writeExamples(): Promise<void> {
  const tests = ['import { test } from "node:test";'];
  for (const file of [...filesUnder(`${PACKAGE}/lib`)].filter((name) => name.endsWith(".d.ts"))) {
    const types = await Deno.readTextFile(file);
    for (const source of examplesIn(types)) {
      const { code } = await transform(source, { loader: "ts", target: "node22", format: "esm" });
      const name = `example_${tests.length}.js`;
      await Deno.writeTextFile(
        `${FOLDER}/${name}`,
        code.replaceAll("@std/assert", `./${ASSERT}.js`),
      );
      const title = JSON.stringify(
        `${file.replace(`${PACKAGE}/`, "")}: ${source.split("\n").at(-2)}`,
      );
      tests.push(`test(${title}, () => import("./${name}"));`);
    }
  }
  await Deno.writeTextFile(`${FOLDER}/examples_test.js`, tests.join("\n"));
}

await Deno.remove(FOLDER, { recursive: true }).catch(() => {});
await installPackage();
await writeExamples();
const tests = [...filesUnder("tests")].filter((file) => TESTS.test(file));
await bundle([`${ASSERT}.ts`, ...tests], FOLDER);
await stop();
const files = tests.map((file) => `${FOLDER}/${file.replace(/\.ts$/, ".js")}`);
const how = [
  "--test",
  "--enable-source-maps",
  "--test-timeout=60000",
  "--test-concurrency=2",
  ...Deno.args,
];
if (!await run("node", ...how, `${FOLDER}/examples_test.js`, ...files)) Deno.exit(1);
