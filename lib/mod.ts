/**
 * What others may build on: a line service is a handler given to {@linkcode serve}.
 *
 * ```ts
 * const server = serve((message, reply) => reply.write(message), { port: 0 });
 * await server.shutdown();
 * ```
 *
 * @module
 */

export type { Client, Connection, Ending, Handler, Reply, Terms, Witness } from "./answer.ts";
export { Framer, type Framing, Message, MessageTooLong } from "./framing.ts";
export { type Accepted, type Listener, serve, type ServeOptions, Server } from "./serve.ts";
export { type Stamp, stamper } from "./stamp.ts";
