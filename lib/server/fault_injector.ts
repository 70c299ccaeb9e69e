/** A server's faults: wraps the connections that have some, and the handler for them. */

import type { ChooseFaults, ConnectionFaults, FaultPlan } from "../faults/faults.ts";
import { applyReplyFaults, Faults, find } from "../faults/faults.ts";
import type { Fault, FaultSupport } from "../faults/grammar.ts";
import { ReplyConn } from "../faults/faulty_conn.ts";
import { RelayedConnection } from "../faults/relayed_connection.ts";
import { close, type ServerConn } from "../net/conn.ts";
import { Conversation, type ConversationConfig } from "./conversation.ts";
import type { Callbacks, Handler } from "./handler.ts";
import type { LateReply } from "./reply.ts";
import type { ServeOptions } from "./serve_options.ts";

/** The client of a fault; one that is refused has no state. */
type Faulted<State> = Parameters<NonNullable<ServeOptions<State>["onFault"]>>[1];

/** The service of one connection: a conversation or, in a relay, a connection to another server. */
export type Served<State> = Conversation<State> | RelayedConnection<State>;

/** Begins the service of connections, with the faults that the options of their server request. */
export class FaultInjector<State> {
  readonly #chosen = new WeakMap<ServerConn, ConnectionFaults>(); // a health check has none
  readonly #choose: ChooseFaults | undefined; // if any are requested
  #accepted = 0;

  /**
   * @param up a relay's transport to its server
   * @throws {RangeError} if the faults can't be read, or can't happen there
   */
  constructor(
    readonly options: ServeOptions<State>,
    readonly callbacks: Callbacks,
    readonly up?: FaultSupport["up"],
  ) {
    const { listeners, path } = options;
    const transport = listeners?.[0]?.addr.transport ?? (path === undefined ? "tcp" : "unix");
    const resets = listeners?.every(({ resets }) => resets) ?? false;
    this.#choose = Faults.from(options, { transport, resets, ...up && { up } });
  }

  /** Chooses the faults of the next connection; closes it, and returns true, if it is to be refused. */
  refuses(conn: ServerConn): boolean {
    const chosen = this.#choose?.(++this.#accepted);
    const refuse = chosen && find(chosen.list, "refuse");
    if (chosen) this.#chosen.set(conn, chosen);
    if (refuse === undefined) return false;
    this.#report({ addr: conn.remoteAddr, isHealthCheck: false, state: undefined }, refuse);
    if (refuse.reset && conn.reset) conn.reset();
    else close(conn);
    return true;
  }

  /** Makes a conversation or, in a relay, a relayed connection, with the faults that were chosen for it. */
  open(conn: ServerConn, config: ConversationConfig<State>): Served<State> {
    const chosen = this.#chosen.get(conn);
    if (this.up === undefined) return this.#converse(conn, config, chosen);
    const client = new RelayedConnection<State>(conn, chosen);
    client.report = (...fault) => this.#report(client, ...fault);
    client.onEof = () => config.onEof?.(client);
    client.onEnd = (ending) => config.over(client, ending);
    return client;
  }

  #converse(conn: ServerConn, config: ConversationConfig<State>, chosen?: ConnectionFaults) {
    if (chosen === undefined) return new Conversation(conn, config);
    const faulty = new ReplyConn(conn, chosen.planStream(), {
      report: (...fault) => this.#report(conversation, ...fault),
      end: () => conversation.end(),
      reset() {
        faulty.reset();
        conversation.cut("done");
      },
    });
    const handler: Handler<State> = (message, reply, client) => {
      const plan = faulty.begin(chosen.plan(client.messages, message.bytes));
      const resumed = faulty.deaf(plan);
      if (resumed !== undefined) void conversation.pauseUntil(resumed);
      const done = config.handler(message, reply, client);
      const finish = () => answer(reply as LateReply, faulty, plan);
      return done === undefined ? finish() : done.then(finish);
    };
    const conversation = new Conversation(faulty, { ...config, handler, separate: true });
    return conversation;
  }

  #report(client: Faulted<State>, { request }: Fault, message?: number, value?: number): void {
    this.callbacks.call(() => this.options.onFault?.(request, client, message, value));
  }
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
