/** A server's faults, as they come: which connections are refused, and how the others are answered. */

import { close } from "../net/close.ts";
import type { ServerConn } from "../net/listener.ts";
import type { Conversation } from "./conversation.ts";
import { type Faults, faultsFor, type FaultSupport } from "../faults/faults.ts";
import { FaultyOutbox } from "./faulty_outbox.ts";
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
  ) {
    this.#faults = faults;
  }

  /**
   * What a server is to do wrong, if anything.
   * @param call calls somebody else's function
   * @throws {RangeError} if it can't be read, or done
   */
  static of<State>(
    options: ServeOptions<State>,
    call: (told: () => unknown) => void,
  ): FaultInjector<State> | undefined {
    const { listeners, path } = options;
    const transport = listeners?.[0]?.addr.transport ?? (path === undefined ? "tcp" : "unix");
    const ways = { transport, resets: listeners?.every(({ resets }) => resets) ?? false };
    const faults = faultsFor(options, ways);
    return faults && new FaultInjector<State>(
      faults,
      ways,
      (fault, client, message) => call(() => options.onFault?.(fault, client, message)),
    );
  }

  /** Closes a connection that was just accepted, if it is to be refused; tells whether it was. */
  refuses(conn: ServerConn): boolean {
    const fault = this.#faults.refusal(++this.#connections);
    if (fault === undefined) return false;
    this.tell(fault.asked, { addr: conn.remoteAddr, isHealthCheck: false, state: undefined });
    if (fault.reset) conn.reset?.();
    else close(conn);
    return true;
  }

  /** What goes out in a conversation. */
  outbox(conversation: Conversation<State>, onFailure: (error: unknown) => void): FaultyOutbox {
    return new FaultyOutbox(conversation, onFailure, {
      faults: this.#faults,
      conversation: ++this.#conversations,
      ways: this.ways,
      tell: (fault, message) => this.tell(fault, conversation, message),
    });
  }
}
