/**
 * What others may build on: a line service is a handler given to {@linkcode serve}.
 *
 * ```ts
 * const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const server = serve([listener], (message, reply) => reply.write(message));
 * await server.shutdown();
 * ```
 *
 * @module
 */

export type { Connection, Ending, Handler, Reply, Terms, Witness } from "./answer.ts";
export { Framer, type Framing, Message, MessageTooLong } from "./framing.ts";
export { type Listener, serve, type ServeOptions, Server } from "./serve.ts";
export { type Stamp, stamper } from "./stamp.ts";
