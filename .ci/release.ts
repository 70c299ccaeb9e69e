// deno-lint-ignore-file no-console -- a program of its own
/**
 * Makes the files to take away, under `dist` or another folder, and SHA256SUMS beside
 * them: `release.ts bundle`, two scripts that run on Deno alone; `release.ts compile`,
 * two programs for this machine; `release.ts all`, both, for every system that Deno has.
 */

const PROGRAMS = [
  { entry: "server", name: "readback-server", flags: ["--v8-flags=--max-semi-space-size=4"] },
  { entry: "client", name: "readback", flags: [] },
] as const;
const RIGHTS = ["--allow-net", "--allow-read", "--allow-write", "--no-prompt"];
const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
];

const [what = "", folder = "dist"] = Deno.args;

async function deno(...args: readonly string[]): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), { args: [...args] }).spawn().status;
  if (!success) throw new Error(`deno ${args.join(" ")} failed`);
}

async function bundle(): Promise<void> {
  for (const { entry } of PROGRAMS) {
    const file = `${folder}/${entry}.js`;
    await deno("bundle", "--quiet", "--minify", "-o", file, `${entry}.ts`);
    if (Deno.build.os !== "windows") await Deno.chmod(file, 0o755);
  }
}

/** Compiles for a system; for this one if none is named. */
async function compile(target?: string): Promise<void> {
  for (const { entry, name, flags } of PROGRAMS) {
    const [where, suffix] = target ? [["--target", target], `-${target}`] : [[], ""];
    const file = `${folder}/${name}${suffix}`; // on Windows, Deno adds .exe
    await deno("compile", "--quiet", ...RIGHTS, ...flags, ...where, "-o", file, `${entry}.ts`);
  }
}

/** Sums of all files in the folder, as sha256sum(1) reads them. */
async function checksums(): Promise<string> {
  const names = Array.from(Deno.readDirSync(folder), ({ name }) => name)
    .filter((name) => name !== "SHA256SUMS").toSorted();
  const lines = names.map(async (name) => {
    const bytes = await Deno.readFile(`${folder}/${name}`);
    return `${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}  ${name}\n`;
  });
  return (await Promise.all(lines)).join("");
}

try {
  if (!["bundle", "compile", "all"].includes(what)) {
    throw new Error("say bundle, compile or all, and a folder if it is not dist");
  }
  await Deno.mkdir(folder, { recursive: true });
  if (what !== "compile") await bundle();
  if (what === "compile") await compile();
  if (what === "all") { for (const target of TARGETS) await compile(target); }
  await Deno.writeTextFile(`${folder}/SHA256SUMS`, await checksums());
} catch (error) {
  console.error(`release: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
