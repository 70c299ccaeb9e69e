/**
 * The library. A line service is a handler that is passed to {@linkcode serve};
 * a client that sends one line per message is a {@linkcode Peer}.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, serve } from "@readback/readback";
 *
 * await using server = serve((message, reply) => reply.write(message.text.toUpperCase()));
 * using peer = await Peer.connect({ port: server.port });
 * assertEquals((await peer.request("hello")).text, "HELLO");
 * ```
 *
 * @module
 */

export type { ConnectOptions } from "./net/connect.ts";
export { listen, type ListenOptions } from "./net/listen.ts";
export { type Addr, formatAddress, type NetAddr, type UnixAddr } from "./net/address.ts";
export type { Conn, Listener, ServerConn } from "./net/conn.ts";
export { type Trace, traced, type TraceEvent } from "./net/traced.ts";
export { Faults } from "./faults/faults.ts";
export { serve, type Server } from "./server/serve.ts";
export { relay } from "./server/relay.ts";
export type { DatagramOptions, ServeOptions, ServerOptions } from "./server/serve_options.ts";
export type { RelayOptions, RelayTarget } from "./server/serve_options.ts";
export type { Client, Ending, Handler } from "./server/handler.ts";
export type { Reply } from "./server/reply.ts";
export { type DatagramServer, serveDatagrams } from "./server/datagrams.ts";
export { proxyProtocol } from "./net/proxy_protocol.ts";
export { isReply, readback, type ReadbackOptions, type Stamp } from "./server/readback.ts";
export { Peer, type PeerOptions } from "./client/peer.ts";
export { DatagramPeer, type DatagramPeerOptions } from "./client/datagram_peer.ts";
export { Closed, ConnectError, TimeoutError } from "./net/errors.ts";
export { ErrorReply, FramingError, type Message } from "./wire/message.ts";
export type { CustomFraming, Frame, Framing } from "./wire/framing.ts";
