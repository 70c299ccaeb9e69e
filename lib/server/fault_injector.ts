/** A server's faults: wraps its handler and its connections. */

import { close } from "../net/close.ts";
import type { ServerConn } from "../net/listener.ts";
import {
  durationOf,
  type Fault,
  type FaultPlan,
  type Faults,
  faultsFor,
  type FaultSupport,
  find,
  NO_FAULTS,
} from "../faults/faults.ts";
import { applyReplyFaults } from "../faults/reply_faults.ts";
import type { Conversation } from "./conversation.ts";
import { FaultyConn } from "./faulty_outbox.ts";
import type { Handler } from "./handler.ts";
import { type LateReply, ReplyBuffer } from "./reply.ts";
import type { ServeOptions } from "./serve_options.ts";

/** All the faults of a server of connections. */
export class FaultInjector<State> {
  readonly #faults: Faults;
  #connections = 0;
  #conversations = 0;

  private constructor(
    faults: Faults,
    readonly ways: FaultSupport,
    readonly tell: NonNullable<ServeOptions<State>["onFault"]>,
    readonly stopping: AbortSignal,
  ) {
    this.#faults = faults;
  }

  /**
   * The faults in a server's options, if any.
   * @param call calls a callback
   * @throws {RangeError} if they can't be read, or done
   */
  static of<State>(
    options: ServeOptions<State>,
    call: (told: () => unknown) => void,
    stopping: AbortSignal,
  ): FaultInjector<State> | undefined {
    const { listeners, path } = options;
    const transport = listeners?.[0]?.addr.transport ?? (path === undefined ? "tcp" : "unix");
    const ways = { transport, resets: listeners?.every(({ resets }) => resets) ?? false };
    const faults = faultsFor(options, ways);
    return faults && new FaultInjector<State>(
      faults,
      ways,
      (fault, client, message) => call(() => options.onFault?.(fault, client, message)),
      stopping,
    );
  }

  /** Closes a connection that is to be refused; returns true if it was. */
  refuses(conn: ServerConn): boolean {
    const fault = this.#faults.refusal(++this.#connections);
    if (fault === undefined) return false;
    this.tell(fault.asked, { addr: conn.remoteAddr, isHealthCheck: false, state: undefined });
    if (fault.reset) conn.reset?.();
    else close(conn);
    return true;
  }

  wrapConn(conn: ServerConn): ServerConn {
    return new FaultyConn(conn, ++this.#conversations, this.stopping, this.#faults.list);
  }

  wrap(handler: Handler<State>): Handler<State> {
    return (message, reply, client) => {
      const { messages: number } = client;
      const conversation = client as Conversation<State>;
      const conn = conversation.conn as FaultyConn;
      const late = reply as LateReply;
      conn.tell ??= (fault, message) => this.tell(fault, client, message);
      conn.conversation ??= conversation as Conversation<unknown>;
      const lot = conn.isEnding
        ? { ...NO_FAULTS, number }
        : this.#faults.lot(conn.number, number, message.bytes, this.ways);
      conn.meet(lot);
      const tell = (fault: Fault) => conn.happens(fault, lot);
      const own = new ReplyBuffer();
      const done = handler(message, own, client);
      const finish = () => this.#finish(own, late, lot, conn, tell);
      return done === undefined ? finish() : done.then(finish);
    };
  }

  #finish(
    own: ReplyBuffer,
    late: LateReply,
    lot: FaultPlan,
    conn: FaultyConn,
    tell: (fault: Fault) => void,
  ): void {
    if (conn.isOver) return;
    const written = own.isBegun ? own.bytes.slice(0, own.length) : undefined;
    const replies = applyReplyFaults(written, (bytes) => bytes, lot, tell);
    for (const bytes of replies) {
      late.write(bytes);
      late.finish();
    }
    const delay = find(lot.faults, "delay");
    if (delay === undefined || replies.length === 0) return;
    tell(delay);
    late.sendAfter(conn.sleeps.sleep(durationOf(delay, lot)));
  }
}
