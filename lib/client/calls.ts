/** The calls of a peer that wait for something from the server. */

import { Closed } from "../net/errors.ts";
import { onAbort } from "../wait.ts";
import { ErrorReply, isErrorReply } from "../wire/error_reply.ts";
import type { Message } from "../wire/message.ts";
import { Queue } from "../wire/replies.ts";

/** The default time limit of a reply, in milliseconds. */
export const REPLY_TIMEOUT = 10_000;
const encoder = new TextEncoder();

/** A call of `request`, or of `receive`, which has no message. */
export class Call<Value> {
  isSettled = false;
  /** Received data may settle the call. */
  isSent: boolean;
  readonly isRequest: boolean;
  readonly #resolvers = Promise.withResolvers<Message<Value>>();
  readonly promise: Promise<Message<Value>> = this.#resolvers.promise;

  constructor(readonly message: Uint8Array | undefined, readonly onSettled: () => void) {
    this.isRequest = message !== undefined;
    this.isSent = !this.isRequest;
  }

  /**
   * Settles the call, unless it is settled. An error reply rejects a request.
   * @returns whether a request was answered
   */
  settle(outcome: Message<Value> | Error): boolean {
    if (this.isSettled) return false;
    this.isSettled = true;
    this.onSettled();
    const { resolve, reject } = this.#resolvers;
    const isReply = !(outcome instanceof Error);
    const isRefusal = isReply && this.isRequest && isErrorReply(outcome.bytes);
    if (isReply && !isRefusal) resolve(outcome);
    else reject(isReply ? new ErrorReply(outcome) : outcome);
    return isReply && !isRefusal && this.isRequest;
  }
}

/** The calls that are not settled, in order. */
export class Calls<Value> extends Queue<Call<Value>> {
  /** The reason why no more is received, if so. */
  failure: Error | undefined;
  readonly #removeAbort: () => void;

  /**
   * @param signal rejects all calls
   * @param onFailed called when all calls are rejected for good
   * @param onChange called when a call is added or settled
   */
  constructor(
    signal: AbortSignal | undefined,
    readonly onFailed: (error: Error) => void,
    readonly onChange: () => void = () => {},
  ) {
    super(({ isSettled }) => isSettled);
    const aborted = () => this.fail(new Closed("the connection is closed: its signal was aborted"));
    this.#removeAbort = onAbort(signal, aborted);
  }

  /** Adds a call; once all have failed, one that is rejected. */
  add(message?: Uint8Array): Call<Value> {
    const call = new Call<Value>(message, this.onChange);
    this.push(call);
    if (this.failure === undefined) this.onChange();
    else call.settle(this.failure);
    return call;
  }

  rejectAll(error: Error): void {
    for (let call; (call = this.first) !== undefined;) call.settle(error);
  }

  /** Rejects the calls, and those to come. */
  fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.#removeAbort?.(); // not there yet if the signal was aborted before
    this.onFailed(error);
    this.rejectAll(error);
  }
}

/** A copy of a message's bytes. */
export function bytesOf(message: string | Uint8Array | Message): Uint8Array {
  if (typeof message === "string") return encoder.encode(message);
  return (message instanceof Uint8Array ? message : message.bytes).slice();
}
