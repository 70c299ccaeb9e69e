/** Readback's own two programs, as peers. */

import { fileURLToPath } from "node:url";
import type { Wait } from "./time_limit.ts";
import { Program, type ProgramOptions } from "./program.ts";

/** Where the programs are: in this checkout, or wherever this package was imported from. */
const ROOT = new URL("../../", import.meta.url);
const IS_HERE = ROOT.protocol === "file:";

/** A server that is ready: it has said where it listens. */
export class ServerProgram extends Program {
  /** The port that it listens on; 0 for a Unix socket. */
  port = 0;
}

/**
 * Starts the server on a free port and waits until it is ready.
 * @param args its options, as on the command line
 *
 * ```ts
 * import { startServer, Wire } from "@readback/readback/testing";
 *
 * await using server = await startServer(["--framing", "line"]);
 * using wire = await Wire.dial(server.port);
 * await wire.send("hello\n");
 * await wire.until(/^\[hello\] .*\n/);
 * await server.until('"hello"');
 * ```
 */
export async function startServer(
  args: readonly string[] = [],
  options: ProgramOptions & Wait = {},
): Promise<ServerProgram> {
  const where = args.includes("--unix") ? [] : ["--port", "0"];
  const command = [...program("server", args), ...where, ...args];
  const server = new ServerProgram(command, quiet(options));
  try {
    const [, port, jsonPort] = await server.until(
      /listening on .*?(?::(\d+))?\n|"event":"listening".*?(?:"port":(\d+))?\}/,
      options,
    );
    server.port = Number(port ?? jsonPort ?? 0);
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Starts the client.
 * @param args its options, as on the command line
 *
 * ```ts
 * import { FakeServer, startClient } from "@readback/readback/testing";
 *
 * await using server = FakeServer.start(async (conn) => {
 *   await conn.read(new Uint8Array(100));
 *   await conn.write(new TextEncoder().encode("who knows?\n"));
 * });
 * await using client = startClient(["--port", server.port, "--message", "hello"]);
 * await client.until("who knows?\n");
 * await client.ends(0);
 * ```
 */
export function startClient(
  args: readonly (string | number)[],
  options: ProgramOptions = {},
): Program {
  const words = args.map(String);
  return new Program([...program("client", words), ...words], quiet(options));
}

/**
 * The command that runs one of the two: its source; or, for this project's own tests, what was
 * built under `dist`, where the environment's READBACK says `bundle` or `compiled`.
 * @param args what it will be given: some want more permissions
 */
export function program(name: "server" | "client", args: readonly string[] = []): string[] {
  const files = ["--unix", "--tls-cert", "--ca", "--cert"].some((option) => args.includes(option));
  const rights = ["--allow-net", ...files ? ["--allow-read", "--allow-write"] : []];
  const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", ...rights];
  switch (built()) {
    case "bundle":
      return [...deno, file(`dist/${name}.js`)];
    case "compiled":
      return [file(`dist/${name === "server" ? "readback-server" : "readback"}`)];
    default:
      return [...deno, ...config(), file(`${name}.ts`)];
  }
}

/** What of a build is to be tested, if anything. */
function built(): string | undefined {
  const right = { name: "env", variable: "READBACK" } as const;
  const mayAsk = Deno.permissions.querySync(right).state === "granted";
  return mayAsk ? Deno.env.get("READBACK") : undefined;
}

/** Where the sources' imports are: with them, and never with who starts them. */
function config(): string[] {
  if (IS_HERE) return ["--frozen", "--config", file("deno.json")];
  const imports = ROOT.host === "jsr.io" ? [] : ["--import-map", file("deno.json")];
  return ["--no-config", "--no-lock", `--allow-import=${ROOT.host},jsr.io:443`, ...imports];
}

/** A file of this package, as a command names it. */
function file(path: string): string {
  const url = new URL(path, ROOT);
  return IS_HERE ? fileURLToPath(url) : url.href;
}

/** Deno looks for no update meanwhile. */
function quiet(options: ProgramOptions): ProgramOptions {
  return { ...options, env: { DENO_NO_UPDATE_CHECK: "1", ...options.env } };
}
