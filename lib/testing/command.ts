/** The commands that run readback's two programs, in Deno. In Node, lib/node/command.ts takes its place. */

import { fileURLToPath } from "node:url";
import { variable } from "./requires.ts";

/** The folder of the programs: this checkout, or the URL that this package was imported from. */
const ROOT = new URL("../../", import.meta.url);
const IS_HERE = ROOT.protocol === "file:";

/**
 * Returns the command that runs one of the two programs from its source. In this project's own tests,
 * the environment's READBACK may be `bundle` or `compiled`, for the files under `dist`.
 * @param args its arguments: some take more permissions
 */
export function program(name: "server" | "client", args: readonly string[] = []): string[] {
  const files = ["--unix", "--tls-cert", "--ca", "--cert", "--log-file"]
    .some((option) => args.includes(option));
  const run = args.includes("--") ? ["--allow-run"] : [];
  const permissions = ["--allow-net", ...files ? ["--allow-read", "--allow-write"] : [], ...run];
  const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", ...permissions];
  const kind = variable("READBACK");
  if (kind === "bundle") return [...deno, file(`dist/${name}.js`)];
  if (kind !== "compiled") return [...deno, ...config(), file(`${name}.ts`)];
  return [file(`dist/${name === "server" ? "readback-server" : "readback"}`)];
}

/** Options that find the sources' imports: beside the sources, not in the caller's folder. */
function config(): string[] {
  if (IS_HERE) return ["--frozen", "--config", file("deno.json")];
  const imports = ROOT.host === "jsr.io" ? [] : ["--import-map", file("deno.json")];
  return ["--no-config", "--no-lock", `--allow-import=${ROOT.host},jsr.io:443`, ...imports];
}

/** Returns the path or the URL of one of this package's files. */
const file = (path: string) => IS_HERE ? fileURLToPath(`${ROOT}${path}`) : `${ROOT}${path}`;
