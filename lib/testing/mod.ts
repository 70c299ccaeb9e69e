/**
 * For tests of programs that talk, in whatever language they are written: real programs, what a
 * person would see on a terminal, literal bytes, and a network that has its faults. All is gone at
 * the end of the block that it is used in; every wait is for words or bytes, and a failure shows
 * what was said.
 *
 * ```ts
 * import { Program, startServer } from "@readback/readback/testing";
 *
 * await using server = await startServer();
 * await using program = new Program(["bash", "-c", `
 *   exec 3<>/dev/tcp/127.0.0.1/${server.port}
 *   echo hello >&3
 *   head -1 <&3
 * `]);
 * await program.until(/\[hello\] .{24}\n/);
 * await program.ends(0);
 * await server.until('"hello"');
 * ```
 *
 * Programs and screens take `--allow-run`, sockets `--allow-net`; {@linkcode requires} in CI and
 * `clearEnv` read the environment, with `--allow-env`.
 *
 * @module
 */

export { FakeServer, type FakeServerOptions, type Talk } from "./fake_server.ts";
export { type Requirement, requires } from "./requires.ts";
export { setTimeLimit, type Wait } from "./time_limit.ts";
export { Program, type ProgramOptions, type Signal } from "./program.ts";
export {
  bandwidth,
  type Bytes,
  type Fault,
  type Faults,
  latency,
  limit,
  Proxy,
  resetAfter,
  slices,
  slowClose,
  stall,
} from "./proxy.ts";
export { ServerProgram, startClient, startServer } from "./readback.ts";
export { Screen, type ScreenOptions } from "./screen.ts";
export { Wire } from "./wire.ts";
