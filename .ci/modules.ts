/** Builds the modules `readback` and `readback/testing` for Node, with their types. */

import { build, transform } from "esbuild";

/** The modules' entry points, under `lib`. */
const ENTRIES = ["mod", "testing/mod"];
/** Types that are not yet in TypeScript's default library: `Disposable` and `AsyncDisposable`. */
const REFERENCE = '/// <reference lib="esnext.disposable" />\n';

type RunDeno = (...args: readonly string[]) => Promise<void>;

/**
 * Builds them under a folder's `lib`.
 * @param into the folder
 * @param deno runs Deno with arguments
 */
export async function modules(into: string, deno: RunDeno): Promise<void> {
  const { outputFiles } = await build({
    write: false,
    entryPoints: Object.fromEntries(ENTRIES.map((name) => [name, `lib/${name}.ts`])),
    outdir: `${into}/lib`,
    bundle: true,
    splitting: true, // so that a class is the same in both
    format: "esm",
    platform: "node",
    target: "node22",
    inject: ["lib/node/errors.ts", "lib/node/deno.ts"],
    plugins: [{
      name: "node",
      setup: (build) => {
        const command = new URL("../lib/node/command.ts", import.meta.url).pathname;
        build.onResolve({ filter: /\/command\.ts$/ }, () => ({ path: command }));
      },
    }],
    logLevel: "warning",
  });
  for (const { path, text } of outputFiles) {
    await checkNames(text);
    await Deno.mkdir(path.replace(/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(path, text);
  }
  await types(into, deno);
}

/** Checks that every name of Deno's has been replaced. */
async function checkNames(code: string): Promise<void> {
  const { code: bare } = await transform(code, { minifyWhitespace: true }); // without comments
  const left = /\bDeno\.[\w.]+/.exec(bare);
  if (left) throw new Error(`lib/node/deno.ts lacks ${left[0]}`);
}

/** Takes the types that `deno pack` makes of what is exported, and of all that this mentions. */
async function types(into: string, deno: RunDeno): Promise<void> {
  const packed = await Deno.makeTempDir({ prefix: "readback-types-" });
  try {
    await deno("pack", "--quiet", "--allow-dirty", "--no-source-maps", "-o", `${packed}/a.tgz`);
    await new Deno.Command("tar", { args: ["xzf", "a.tgz"], cwd: packed }).output();
    const files = ENTRIES.map((name) => `lib/${name}.d.ts`);
    for (const file of files) { // grows
      const text = await Deno.readTextFile(`${packed}/package/${file}`);
      const folder = file.replace(/[^/]*$/, "");
      await Deno.mkdir(`${into}/${folder}`, { recursive: true });
      const own = text.replaceAll("@readback/readback", "readback")
        .replaceAll(/\*\/ (?=\S)/g, "*/\n")
        // Only constructors that are not for users take these; nobody needs @types/node for them.
        .replaceAll(/^import type \{ (\w+) \} from "node:\w+";$/gm, "type $1 = unknown;");
      await Deno.writeTextFile(`${into}/${file}`, REFERENCE + own);
      for (const [, path = ""] of text.matchAll(/from "(\.{1,2}\/.*)\.js"/g)) {
        const mentioned = new URL(`${path}.d.ts`, `file:///${file}`).pathname.slice(1);
        if (!files.includes(mentioned)) files.push(mentioned);
      }
    }
  } finally {
    await Deno.remove(packed, { recursive: true });
  }
}
