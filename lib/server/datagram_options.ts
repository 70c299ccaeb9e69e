/** What a server of datagrams is told: its options, checked. */

import type { Addr, NetAddr } from "../net/addr.ts";
import {
  booleanRule,
  checkOne,
  checkOptions,
  countRule,
  framingNameRule,
  functionRule,
  portRule,
  type Rules,
  seedRule,
  signalRule,
  textRule,
  timeRule,
} from "../checks.ts";
import type { Framing } from "../wire/framing.ts";
import type { Message } from "../wire/message.ts";
import type { Client, Handler } from "./handler.ts";

/**
 * How to serve datagrams.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatagramPeer, type DatagramOptions, serveDatagrams } from "@readback/readback";
 *
 * const local: DatagramOptions = { verify: ({ hostname }) => hostname === "127.0.0.1" };
 * await using server = await serveDatagrams((message, reply) => reply.write(message), local);
 * const matches = () => true;
 * using peer = await DatagramPeer.connect({ port: server.addr.port, timeout: 1000, matches });
 * assertEquals(new TextDecoder().decode(await peer.request("hello")), "hello");
 * ```
 */
export interface DatagramOptions {
  /** An address or a name to listen on; each address of a name. @default {"127.0.0.1"} */
  hostname?: string | undefined;
  /** The port to listen on; 0 takes a free one. @default {0} */
  port?: number | undefined;
  /** With `raw` what ends a datagram's line is data. @default {"auto"} */
  framing?: Framing | undefined;
  /** The longest message, in bytes. @default {65536} */
  maxMessage?: number | undefined;
  /** Answer one message, then end. @default {false} */
  once?: boolean | undefined;
  /** How long a stopping server lets handlers finish, in ms. @default {5000} */
  grace?: number | undefined;
  /** Give up a message whose async handler takes longer than this, in ms; 0: never. @default {0} */
  handlerTimeout?: number | undefined;
  /** What to do wrong: faults with commas between, as `--fault` has them for `--udp`. @default {none} */
  faults?: string | undefined;
  /** Let messages ask for faults of their own: `!delay=2s hello`. @default {false} */
  orders?: boolean | undefined;
  /** For faults that are chosen at random: the same seed makes the same choices. Without it, one is drawn. */
  seed?: number | undefined;
  /** Stops the server when aborted. */
  signal?: AbortSignal | undefined;
  /** Whether a datagram from there is heard. */
  verify?: ((addr: NetAddr) => boolean | Promise<boolean>) | undefined;
  /** A datagram was not heard: `verify` said so, failed, or took over 10 s. */
  onRefused?: ((addr: NetAddr, reason: string) => void) | undefined;
  /**
   * Whether a message is left without a reply. A service's own replies should be: anybody can send
   * a datagram in another's name, and two servers that answer each other's replies never end.
   */
  ignore?: ((message: Message) => boolean) | undefined;
  /** The server hears datagrams there; said of each address. */
  onListen?: ((addr: Addr) => void) | undefined;
  /** A message came; it holds during the call. */
  onMessage?: ((message: Message, client: Client<void>) => void) | undefined;
  /** A fault happens: as it was asked for, to whom, and to which message. */
  onFault?: ((fault: string, client: Client<void>, message: number) => void) | undefined;
  /**
   * A handler failed, or no reply can be sent for now. Its message is a sentence; what was thrown is
   * its `cause`. What this throws is dropped. By default it is printed to standard error.
   */
  onError?: ((error: Error) => void) | undefined;
}

const RULES: Rules<DatagramOptions> = {
  hostname: textRule,
  port: portRule,
  framing: framingNameRule,
  maxMessage: countRule,
  once: booleanRule,
  grace: timeRule,
  handlerTimeout: timeRule,
  faults: textRule,
  orders: booleanRule,
  seed: seedRule,
  signal: signalRule,
  verify: functionRule,
  onRefused: functionRule,
  ignore: functionRule,
  onListen: functionRule,
  onMessage: functionRule,
  onFault: functionRule,
  onError: functionRule,
};

/**
 * Checks what a server of datagrams was given, before anything is opened.
 * @throws {TypeError | RangeError} which names the first that is wrong
 */
export function checkDatagramService(handler: Handler, options: DatagramOptions): void {
  checkOne("handler", handler, functionRule);
  checkOptions<DatagramOptions>(options, RULES);
}
