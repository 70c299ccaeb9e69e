/** A server's faults: wraps its connections and its handler. */

import type { ConnectionFaults, FaultPlan } from "../faults/faults.ts";
import { applyReplyFaults, Faults, find } from "../faults/faults.ts";
import type { Fault, FaultSupport } from "../faults/grammar.ts";
import type { RelayedConnection } from "../faults/relayed_connection.ts";
import { ReplyConn } from "../faults/faulty_conn.ts";
import { close, type ServerConn } from "../net/conn.ts";
import { Conversation, type ConversationConfig } from "./conversation.ts";
import type { Client, Ending, Handler } from "./handler.ts";
import type { LateReply } from "./reply.ts";
import type { ServeOptions } from "./serve_options.ts";

type OnFault<State> = NonNullable<ServeOptions<State>["onFault"]>;

/** The service of one connection: a conversation or, in a relay, a connection to another server. */
export type Served<State> = Conversation<State> | RelayedConnection<State>;

/** The options and callbacks that all connections of a server share. */
export interface ServedConfig<State> extends ConversationConfig<State> {
  /** The faults of connections and replies, if there are any. */
  readonly faults: FaultInjector<State> | undefined;
  over(served: Served<State>, ending: Ending): void;
}

/** Begins the service of a connection, which it owns from there on. */
export type Open<State> = (conn: ServerConn, config: ServedConfig<State>) => Served<State>;

/** All the faults of a server of connections, or of a relay. */
export class FaultInjector<State> {
  #accepted = 0;
  /** The faults of each connection; a health check has none. */
  readonly chosen: WeakMap<ServerConn, ConnectionFaults> = new WeakMap();

  private constructor(
    readonly faults: Faults,
    readonly support: FaultSupport,
    readonly onFault: OnFault<State>,
  ) {}

  /**
   * Reads the faults in a server's options, if there are any.
   *
   * @param call calls a callback
   * @param up a relay's transport to its server
   * @throws {RangeError} if they can't be read, or can't happen there
   */
  static of<State>(
    options: ServeOptions<State>,
    call: (callback: () => unknown) => void,
    up?: FaultSupport["up"],
  ): FaultInjector<State> | undefined {
    const { listeners, path, onFault } = options;
    const transport = listeners?.[0]?.addr.transport ?? (path === undefined ? "tcp" : "unix");
    const resets = listeners?.every(({ resets }) => resets) ?? false;
    const support = { transport, resets, ...up && { up } };
    const faults = Faults.from(options, support);
    const report: OnFault<State> = (...fault) => call(() => onFault?.(...fault));
    return faults && new FaultInjector(faults, support, report);
  }

  /** Chooses the faults of the next connection; closes it, and returns true, if it is to be refused. */
  refuses(conn: ServerConn): boolean {
    const chosen = this.faults.of(++this.#accepted, this.support);
    this.chosen.set(conn, chosen);
    const refuse = find(chosen.list, "refuse");
    if (refuse === undefined) return false;
    const client = { addr: conn.remoteAddr, isHealthCheck: false, state: undefined };
    this.onFault(refuse.request, client);
    if (refuse.reset && conn.reset) conn.reset();
    else close(conn);
    return true;
  }

  /** Reports a fault of a client. */
  report(client: Client<State>, { request }: Fault, message?: number, value?: number): void {
    this.onFault(request, client, message, value);
  }

  /** Wraps a handler. */
  wrap(handler: Handler<State>): Handler<State> {
    return (message, reply, client) => {
      const conversation = client as Conversation<State>;
      const { conn } = conversation;
      if (!(conn instanceof ReplyConn)) return handler(message, reply, client);
      const plan = conn.planReply(conversation.messages, message.bytes);
      const resumed = conn.deaf(plan);
      if (resumed !== undefined) void conversation.pauseUntil(resumed);
      const done = handler(message, reply, client);
      const finish = () => answer(reply as LateReply, conn, plan);
      return done === undefined ? finish() : done.then(finish);
    };
  }
}

/** Begins a conversation, over a connection with faults if any were chosen for it. */
export function converse<State>(...[conn, config]: Parameters<Open<State>>): Conversation<State> {
  const { remoteAddr, isHealthCheck = false } = conn;
  const { faults } = config;
  const chosen = faults?.chosen.get(conn);
  if (!faults || !chosen) return new Conversation(conn, remoteAddr, isHealthCheck, config);
  const faulty = new ReplyConn(conn, chosen, {
    report: (...fault) => faults.report(conversation, ...fault),
    end: () => conversation.end(),
    reset() {
      faulty.reset();
      conversation.cut("done");
    },
  });
  const conversation = new Conversation(faulty, remoteAddr, isHealthCheck, config);
  return conversation;
}

/** Writes what is sent instead of a handler's reply, and delays it. */
function answer(reply: LateReply, conn: ReplyConn, plan: FaultPlan): void {
  const written = reply.buffer.withdraw();
  const replies = applyReplyFaults(written, plan, (fault) => conn.report(fault, plan.message));
  for (const bytes of replies) {
    reply.write(bytes);
    reply.finish();
  }
  if (replies.length > 0) reply.until = conn.delay(plan);
  reply.tag = plan;
}
