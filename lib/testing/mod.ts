/**
 * For tests of programs that communicate, in any language: real programs, terminals as a person
 * sees them, literal bytes, and a network with faults. Everything started is gone at the end of its
 * block. Every wait is for words or bytes and has a time limit, and its error shows the output.
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
 * Programs and screens need `--allow-run`, sockets `--allow-net`. {@linkcode requires} in CI and
 * `clearEnv` read the environment and need `--allow-env`.
 *
 * @module
 */

export { type ConnHandler, FakeServer, type FakeServerOptions } from "./fake_server.ts";
export { type Requirement, requires } from "./requires.ts";
export { setTimeLimit, type Wait } from "./time_limit.ts";
export { Program, type ProgramOptions, type Signal } from "./program.ts";
export { Proxy, type ProxyFaults, type ProxyTarget } from "./proxy.ts";
export { ServerProgram, startClient, startServer } from "./readback.ts";
export { Screen, type ScreenOptions } from "./screen.ts";
export { Wire } from "./wire.ts";
