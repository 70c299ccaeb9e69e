/** The calls of a peer that wait for something from the server. */

import { errorMessage } from "../checks.ts";
import { Closed, TimeoutError } from "../net/errors.ts";
import { Deadline, onAbort } from "../wait.ts";
import { ErrorReply, isErrorReply, type Message } from "../wire/message.ts";
import { Queue } from "../wire/replies.ts";

/** The default time limit of a reply, in milliseconds. */
export const REPLY_TIMEOUT = 10_000;

/** Returns whether a reply answers a message. */
type Matches = (message: Uint8Array, reply: Uint8Array) => boolean;

/** A call of `request`, or of `receive`, which has no message. */
export interface Call<Value> extends PromiseWithResolvers<Message<Value>> {
  readonly message: Uint8Array | undefined;
  /** Received data may settle the call. */
  isSent: boolean;
  isSettled: boolean;
}

/** The calls that are not settled, in order. */
export class Calls<Value> extends Queue<Call<Value>> {
  /** The reason why all calls are rejected, if so. */
  failure: Error | undefined;
  readonly #removeAbort: () => void;

  /** Called when a call is added or, with true, settled. */
  onChange: (isAnswer: boolean) => void = () => {};

  /**
   * @param signal makes all calls fail
   * @param onFailure called when they fail
   */
  constructor(signal: AbortSignal | undefined, readonly onFailure: (error: Error) => void) {
    super(({ isSettled }) => isSettled);
    const aborted = () => this.fail(new Closed("the connection is closed: its signal was aborted"));
    this.#removeAbort = onAbort(signal, aborted);
  }

  add(message?: Uint8Array, isSent: boolean = message === undefined): Call<Value> {
    const settling = Promise.withResolvers<Message<Value>>();
    const call = { ...settling, message, isSent, isSettled: false };
    this.push(call);
    if (this.failure === undefined) this.onChange(false);
    else this.settle(call, this.failure);
    return call;
  }

  /**
   * Settles a call, if there is one that is not settled. An error reply rejects a request.
   * @returns whether a request was answered
   */
  settle(call: Call<Value> | undefined, outcome: Message<Value> | Error): boolean {
    if (call === undefined || call.isSettled) return false;
    call.isSettled = true;
    this.onChange(true);
    const isReply = call.message !== undefined && !(outcome instanceof Error);
    const result = isReply && isErrorReply(outcome.bytes) ? new ErrorReply(outcome) : outcome;
    if (!(result instanceof Error)) call.resolve(result);
    else call.reject(result);
    return isReply && result === outcome;
  }

  /** Finds the oldest request that is sent, of those whose message is wanted. */
  findSent(isWanted: (message: Uint8Array) => boolean = () => true): Call<Value> | undefined {
    return this.find(({ message, isSent }) => isSent && message !== undefined && isWanted(message));
  }

  /**
   * Finds the request that a reply answers: the oldest that matches. An error reply that matches
   * none answers the oldest of all. If `matches` throws, all calls fail.
   */
  answeredBy(reply: Uint8Array, matches: Matches): Call<Value> | undefined {
    try {
      const found = this.findSent((message) => matches(message, reply));
      return found === undefined && isErrorReply(reply) ? this.findSent() : found;
    } catch (error) {
      this.fail(new Error(`matches() threw an error: ${errorMessage(error)}`, { cause: error }));
      return undefined;
    }
  }

  /** Awaits a call for a time, in ms; then settles it with a TimeoutError. 0 is no limit. */
  async inTime(call: Call<Value>, timeout: number, missing: string): Promise<Message<Value>> {
    const late = () => this.settle(call, new TimeoutError(missing, timeout));
    using _deadline = new Deadline(timeout, late);
    return await call.promise;
  }

  rejectAll(error: Error): void {
    for (let call; (call = this.first) !== undefined;) this.settle(call, error);
  }

  /** Rejects the calls, and those to come; may be passed as a callback. */
  readonly fail = (error: Error): void => {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.#removeAbort?.(); // not there yet if the signal was aborted before
    this.onFailure(error);
    this.rejectAll(error);
  };
}
