/** Readback's own two programs, as peers. */

import { program } from "./command.ts";
import { Program, type ProgramOptions } from "./program.ts";
import type { Wait } from "./time_limit.ts";

export { program };

/** The line that a server prints once it listens, as text or as JSON. */
const READY = /listening on .*?(?::(\d+))?\n|"event":"listening".*?(?:"port":(\d+))?\}/;

/** A server that has printed where it listens. */
export class ServerProgram extends Program {
  /** Its port; 0 for a Unix socket. */
  port = 0;
}

/**
 * Starts the server on a free port and waits until it is ready. When it is stopped, it cuts all
 * connections at once, unless `--grace` says otherwise.
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
 *
 * @param args its options, as on the command line
 */
export async function startServer(
  args: readonly string[] = [],
  options: ProgramOptions & Wait = {},
): Promise<ServerProgram> {
  const has = (option: string) => args.some((arg) => arg.split("=")[0] === option);
  const where = has("--unix") ? [] : ["--port", "0"];
  const grace = has("--grace") ? [] : ["--grace", "0"];
  // It ends if the test's own process is killed, and with it the pipe to the server.
  const end = has("--until-eof") || has("--") ? [] : ["--until-eof"];
  const command = [...program("server", args), ...where, ...grace, ...end, ...args];
  const server = new ServerProgram(command, quiet(options));
  const [, port, jsonPort] = await server.until(READY, options).catch(async (error) => {
    await server.close();
    throw error;
  });
  server.port = Number(port ?? jsonPort ?? 0);
  return server;
}

/**
 * Starts the client.
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
 *
 * @param args its options, as on the command line
 */
export function startClient(
  args: readonly (string | number)[],
  options: ProgramOptions = {},
): Program {
  const words = args.map(String);
  return new Program([...program("client", words), ...words], quiet(options));
}

/** Keeps Deno from looking for an update. */
function quiet(options: ProgramOptions): ProgramOptions {
  return { ...options, env: { DENO_NO_UPDATE_CHECK: "1", ...options.env } };
}
