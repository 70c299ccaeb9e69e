/**
 * What others may build on. A line service is a handler given to {@linkcode serve};
 * who talks to one, if it says a line for each message, is a {@linkcode Peer}.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, serve } from "@readback/readback";
 *
 * await using server = serve((message, reply) => reply.write(message.text.toUpperCase()));
 * const { port } = server.addr as Deno.NetAddr;
 * using peer = await Peer.connect({ port });
 * const reply = await peer.say("hello");
 * assertEquals(new TextDecoder().decode(reply), "HELLO");
 * ```
 *
 * @module
 */

export { type Connection, type ConnectOptions, listen, type Place, showAddr } from "./address.ts";
export type { Client, Ending, Handler, Terms, Witness } from "./answer.ts";
export { Peer, type PeerOptions, Refused } from "./converse.ts";
export { DatagramPeer, type DatagramPeerOptions, Lost } from "./datagram_peer.ts";
export { type DatagramOptions, DatagramServer, serveDatagrams } from "./datagrams.ts";
export { Framer, type Framing, Message, MessageTooLong } from "./framing.ts";
export { proxyProtocol } from "./proxy_protocol.ts";
export type { Reply } from "./reply.ts";
export { type Accepted, type Listener, serve, type ServeOptions, Server } from "./serve.ts";
export { isReply, type Stamp, stamper } from "./stamp.ts";
export type { Identity } from "./tls.ts";
