/** Builds the modules `readback` and `readback/testing` for Node, with their types. */

import { build } from "esbuild";

/** The modules' entry points, under `lib`. */
const ENTRIES = ["mod", "testing/mod"];
/** Types that are not yet in TypeScript's default library: `Disposable` and `AsyncDisposable`. */
const REFERENCE = '/// <reference lib="esnext.disposable" />\n';

/**
 * Builds them under a folder's `lib`.
 * @param into the folder
 * @param deno runs Deno with arguments
 */
export async function modules(
  into: string,
  deno: (...args: readonly string[]) => Promise<void>,
): Promise<void> {
  await build({
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
  await types(into, deno);
}

/** Takes the types that `deno pack` makes of what is exported, and of all that this mentions. */
async function types(
  into: string,
  deno: (...args: readonly string[]) => Promise<void>,
): Promise<void> {
  const packed = await Deno.makeTempDir({ prefix: "readback-types-" });
  try {
    await deno("pack", "--quiet", "--allow-dirty", "--no-source-maps", "-o", `${packed}/a.tgz`);
    await new Deno.Command("tar", { args: ["xzf", "a.tgz"], cwd: packed }).output();
    const seen = new Set<string>();
    for (const name of ENTRIES) {
      await copyTypes(new URL(`file://${packed}/package/lib/${name}.d.ts`), REFERENCE);
    }
    async function copyTypes(url: URL, head = ""): Promise<void> {
      if (seen.has(url.pathname)) return;
      seen.add(url.pathname);
      const text = await Deno.readTextFile(url);
      const file = url.pathname.replace(`${packed}/package`, into);
      await Deno.mkdir(file.replace(/[^/]*$/, ""), { recursive: true });
      const own = text.replaceAll("@readback/readback", "readback").replaceAll(
        /\*\/ (?=\S)/g,
        "*/\n",
      );
      await Deno.writeTextFile(file, head + own);
      for (const [, path = ""] of text.matchAll(/from "(\.{1,2}\/.*)\.js"/g)) {
        await copyTypes(new URL(`${path}.d.ts`, url));
      }
    }
  } finally {
    await Deno.remove(packed, { recursive: true });
  }
}
