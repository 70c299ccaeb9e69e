// deno-lint-ignore-file no-console -- a program by itself
/**
 * Builds the files of a release, under `dist` or another folder, and SHA256SUMS beside
 * them: `release.ts bundle`, two scripts that run on Deno alone; `release.ts npm`, a
 * package with the two as commands and the modules for Node; `release.ts compile`, two programs
 * for this machine; `release.ts all`, all of these, and programs for every system that Deno has.
 * `release.ts install` installs two commands that run this checkout, beside Deno's others.
 */

import { stop, transform } from "esbuild";
import config from "../deno.json" with { type: "json" };
import { OLDEST } from "../lib/cli/program.ts";
import { modules } from "./modules.ts";

const PROGRAMS = [
  {
    entry: "server",
    name: "readback-server",
    flags: ["--v8-flags=--max-semi-space-size=4"],
    run: ["--allow-run"], // for -- COMMAND; dropped where there is none
  },
  { entry: "client", name: "readback", flags: [], run: [] },
] as const;
const PERMISSIONS = ["--allow-net", "--allow-read", "--allow-write", "--no-prompt"];
const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
];

const onWindows = Deno.build.os === "windows";
/** The folders on PATH that are there tomorrow: not what npx has added for this run. */
const path = (Deno.env.get("PATH") ?? "").split(onWindows ? ";" : ":")
  .filter((folder) => !/[\\/]node_modules[\\/]\.bin$/.test(folder));
const home = Deno.env.get(onWindows ? "USERPROFILE" : "HOME") ?? ".";
/** Where Deno installs commands, in its folder `bin`. */
const root = Deno.env.get("DENO_INSTALL_ROOT") ?? `${home}/.deno`;
const [what = "", folder = "dist"] = Deno.args;

const bundles = new Map<string, string>();

/** Writes the bundles. */
async function bundle(into = folder): Promise<string[]> {
  const files = [];
  for (const { entry } of PROGRAMS) {
    const file = `${into}/${entry}.js`;
    const code = bundles.get(entry) ?? await bundleOf(entry, file);
    bundles.set(entry, code);
    await Deno.writeTextFile(file, code);
    if (!onWindows) await Deno.chmod(file, 0o755);
    files.push(file);
  }
  return files;
}

/** Bundles a program, in JavaScript that a Deno too old to run it can read: so it can report that. */
async function bundleOf(entry: string, file: string): Promise<string> {
  await deno("bundle", "--quiet", "--minify", "-o", file, `${entry}.ts`);
  const bundled = await Deno.readTextFile(file);
  const { code } = await transform(bundled, { minify: true, target: "es2022", format: "esm" });
  return code;
}

/** Runs a function with a new folder, which is removed afterwards. */
async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "readback-release-" });
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes the package for npm: modules for Node, and bundles that a few lines start on npm's Deno. */
async function writePackage(into = folder): Promise<string[]> {
  await modules(into, deno);
  await bundle(into);
  for (const file of ["LICENSE", ".ci/npm/README.md", ".ci/npm/start.mjs"]) {
    await Deno.copyFile(file, `${into}/${file.replace(/.*\//, "")}`);
  }
  for (const { entry, name, flags, run } of PROGRAMS) {
    const permissions = JSON.stringify([...PERMISSIONS, ...run, ...flags]);
    const lines = `import { start } from "./start.mjs";\n\nstart("${entry}.js", ${permissions});\n`;
    await Deno.writeTextFile(`${into}/${name}.mjs`, `#!/usr/bin/env node\n${lines}`);
  }
  await Deno.writeTextFile(`${into}/package.json`, JSON.stringify(npmPackage(), null, 2));
  return [into];
}

async function npm(): Promise<string[]> {
  await withFolder(async (files) => {
    await writePackage(files);
    const npm = onWindows ? "npm.cmd" : "npm";
    await run(npm, "pack", "--silent", "--pack-destination", folder, files);
  });
  return [`${folder}/readback-${config.version}.tgz`];
}

function npmPackage() {
  // npm vouches for where a package was built only if the package says the same.
  const site = Deno.env.get("GITHUB_SERVER_URL"), repository = Deno.env.get("GITHUB_REPOSITORY");
  return {
    name: "readback",
    version: config.version,
    description: "A TCP peer you can talk to, and test against",
    keywords: ["tcp", "udp", "tls", "echo", "ping", "testing"],
    license: config.license,
    ...repository && { repository: { type: "git", url: `git+${site}/${repository}.git` } },
    type: "module",
    bin: Object.fromEntries(PROGRAMS.map(({ name }) => [name, `${name}.mjs`])),
    exports: {
      ".": { types: "./lib/mod.d.ts", default: "./lib/mod.js" },
      "./testing": { types: "./lib/testing/mod.d.ts", default: "./lib/testing/mod.js" },
      // Where startServer and startClient find the commands.
      ...Object.fromEntries(PROGRAMS.map(({ name }) => [`./${name}.mjs`, `./${name}.mjs`])),
    },
    engines: { node: ">=22" },
    optionalDependencies: { deno: `^${OLDEST}` }, // for the commands alone
  };
}

/** Compiles for some systems: from the bundles, so that nothing else is embedded. */
function compile(...targets: readonly string[]): Promise<string[]> {
  return withFolder(async (bundled) => {
    const made = [];
    await bundle(bundled);
    for (const target of targets) {
      for (const { entry, name, flags, run } of PROGRAMS) {
        const file = `${folder}/${name}${target && `-${target}`}`; // on Windows, Deno adds .exe
        const how = ["--quiet", "--no-config", "--no-lock", ...PERMISSIONS, ...run, ...flags];
        const where = target ? ["--target", target] : [];
        await deno("compile", ...how, ...where, "-o", file, `${bundled}/${entry}.js`);
        made.push(file);
      }
    }
    return made;
  });
}

async function all(): Promise<string[]> {
  return [...await bundle(), ...await npm(), ...await compile(...TARGETS)];
}

/** Installs the commands that run this checkout. */
async function install(): Promise<string[]> {
  const settings = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(settings, JSON.stringify({ imports: await linkedImports() }));
    const how = ["--global", "--force", "--quiet", "--root", root, "--config", settings];
    for (const { entry, name, flags } of PROGRAMS) {
      await deno("install", ...how, ...PERMISSIONS, ...flags, "--name", name, `${entry}.ts`);
    }
  } finally {
    await Deno.remove(settings);
  }
  return PROGRAMS.map(({ name }) => `${root}/bin/${name}`);
}

/** The import map with what the links replace: an installed command has its own copy, and can't link. */
async function linkedImports(): Promise<Record<string, string>> {
  const imports: Record<string, string> = { ...config.imports };
  for (const link of config.links) {
    const { default: linked } = await import(`../${link}/deno.json`, { with: { type: "json" } });
    Object.assign(imports, linked.imports);
    for (const [name, file] of Object.entries<string>(linked.exports)) {
      imports[`${linked.name}${name.slice(1)}`] = import.meta.resolve(`../${link}/${file}`);
    }
  }
  return imports;
}

/** Says whether what starts with `deno` can. */
function tellDeno(): void {
  const name = onWindows ? "deno.exe" : "deno";
  const isOnPath = path.some((folder) => exists(`${folder}/${name}`));
  const advice = isOnPath ? "" : `; put a link to ${Deno.execPath()} there`;
  console.log(`they start with deno, which is ${isOnPath ? "" : "not "}on PATH${advice}`);
}

/** Says whether installed commands are found by their names. */
function tellPath(): void {
  const isOnPath = path.includes(`${root}/bin`);
  const advice = isOnPath ? "" : `: export PATH="${root}/bin:$PATH"`;
  console.log(`${root}/bin is ${isOnPath ? "" : "not "}on PATH${advice}`);
}

function exists(file: string): boolean {
  try {
    return Deno.statSync(file).isFile;
  } catch {
    return false;
  }
}

function deno(...args: readonly string[]): Promise<void> {
  return run(Deno.execPath(), ...args);
}

/** Runs a command to its end; what it complains of is shown, or said in words. */
async function run(command: string, ...args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args: [...args] }).output();
  const complaints = new TextDecoder().decode(stderr);
  if (!success && /\bdenort\b/.test(complaints)) {
    throw new Error(
      "cannot compile without Deno's runtime, which deno gets from Deno's site, dl.deno.land: " +
        "compile where that can be reached, or see deno task bundle",
    );
  }
  await Deno.stderr.write(stderr);
  if (!success) throw new Error(`${command} ${args.join(" ")} failed`);
}

/** Sums of all files in the folder, as sha256sum(1) reads them. */
async function checksums(): Promise<string> {
  const names = Array.from(Deno.readDirSync(folder))
    .filter(({ isFile, name }) => isFile && name !== "SHA256SUMS")
    .map(({ name }) => name).toSorted();
  const lines = names.map(async (name) => {
    const bytes = await Deno.readFile(`${folder}/${name}`);
    return `${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}  ${name}\n`;
  });
  return (await Promise.all(lines)).join("");
}

const MAKERS: Record<string, () => Promise<string[]>> = {
  bundle,
  npm,
  package: () => writePackage(), // the same, not packed
  compile: () => compile(""), // for this system
  all,
  install,
};

try {
  const make = MAKERS[what];
  if (!make) {
    throw new Error("say bundle, npm, compile, all or install, and a folder if it is not dist");
  }
  if (what !== "install") await Deno.mkdir(folder, { recursive: true });
  for (const file of await make()) console.log(`made ${file}`);
  if (what === "bundle" || what === "install") tellDeno();
  if (what === "install") tellPath();
  else if (what !== "package") await Deno.writeTextFile(`${folder}/SHA256SUMS`, await checksums());
  await stop();
} catch (error) {
  console.error(`release: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
