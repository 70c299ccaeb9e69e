/** Many conversations at once: the accept loop, the limits and the two-stage stop. */

import {
  type Connection,
  Conversation,
  type Ending,
  type Handler,
  type Terms,
  type Witness,
} from "./answer.ts";
import { Turns } from "./turns.ts";

/** What the server needs of a listener. */
export interface Listener {
  /** The next connection; rejects with `BadResource` once closed. */
  accept(): Promise<Connection & { readonly remoteAddr: Deno.Addr }>;
  /** Accepts no more. */
  close(): void;
}

/** How to serve. */
export interface ServeOptions extends Partial<Terms> {
  /** Conversations at a time; the next ones wait in the listen queue. @default {1000} */
  maxClients?: number;
  /** Cut a conversation in which so long no whole message came and no byte of a reply was taken, in ms; 0: never. @default {0} */
  idleTimeout?: number;
  /** How long a stopping server lets conversations finish, in ms. @default {5000} */
  grace?: number;
  /** Stops the server when aborted. */
  signal?: AbortSignal;
  /** A client came; what it gives is told about the conversation. */
  onClient?(address: Deno.Addr): Witness;
  /** No connection can be accepted for now, for lack of descriptors or memory; said once until one can. */
  onExhausted?(error: Error): void;
}

/** The pause after an accept() that failed for lack of descriptors or memory, in ms. */
const EXHAUSTED_PAUSE = 100;
/** A stopping server's listen queue is empty when nobody came for so long, in ms. */
const QUEUE_PAUSE = 20;
/** And closed after so long, however many still come, in ms. */
const QUEUE_MOST = 500;
const EXHAUSTED = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/**
 * Serves conversations on every listener until {@linkcode Server.shutdown} or `signal`.
 * @param listeners owned from here on: closed when the server stops
 */
export function serve(
  listeners: readonly Listener[],
  handler: Handler,
  options: ServeOptions = {},
): Server {
  return new Server(listeners, handler, options);
}

/** A running server. */
export class Server {
  /** Settles when it has stopped and the last conversation is over. */
  readonly finished: Promise<void>;
  /** Messages heard, in all conversations that are over. */
  messages = 0;

  readonly #conversations = new Set<Conversation>();
  readonly #turns = new Turns();
  readonly #terms: Terms;
  readonly #maxClients: number;
  #accepted = 0;
  #deaf = false; // accepts no more
  #exhausted = false;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #waiting: (() => void)[] = []; // until a conversation ends
  readonly #over = (conversation: Conversation, ending: Ending): void => {
    this.messages += conversation.messages;
    this.#conversations.delete(conversation);
    this.#turns.open--;
    conversation.witness.ended?.(ending);
    this.#waiting.shift()?.();
  };

  /** Serves at once; {@linkcode serve} says what is what. */
  constructor(
    readonly listeners: readonly Listener[],
    readonly handler: Handler,
    readonly options: ServeOptions,
  ) {
    const { framing = "auto", maxMessage = 65536, once = false } = options;
    this.#terms = { framing, maxMessage, once };
    this.#maxClients = once ? 1 : options.maxClients ?? 1000;
    this.finished = this.#run();
    const stop = () => void this.shutdown();
    if (options.signal?.aborted) stop();
    else options.signal?.addEventListener("abort", stop, { once: true });
  }

  /**
   * Accepts no more, answers what has arrived and ends every conversation; after
   * the grace, what is left is cut. A second call waits for the first.
   */
  shutdown(): Promise<void> {
    if (this.#deadline === undefined) {
      void this.#emptyQueue();
      for (const conversation of this.#conversations) void conversation.stop();
      this.#deadline = setTimeout(() => {
        for (const conversation of this.#conversations) conversation.cut("cut");
      }, this.options.grace ?? 5000);
    }
    return this.finished;
  }

  async #run(): Promise<void> {
    const watch = this.#watch(this.options.idleTimeout ?? 0);
    await Promise.all(this.listeners.map((listener) => this.#accept(listener)));
    while (this.#conversations.size > 0) {
      await new Promise<void>((over) => this.#waiting.push(over));
    }
    this.#turns[Symbol.dispose]();
    clearInterval(watch);
    clearTimeout(this.#deadline);
  }

  async #accept(listener: Listener): Promise<void> {
    while (await this.#hasRoom()) {
      try {
        const conn = await listener.accept();
        this.#exhausted = false;
        this.#accepted++;
        await this.#hasRoom(); // another listener may have taken the last place
        if (this.#terms.once && this.#deaf) conn.close(); // or the only one
        else this.#host(conn);
      } catch (error) {
        if (this.#deaf || error instanceof Deno.errors.BadResource) return;
        // Any other error is of one connection that died in the queue: no reason to wait.
        if (isExhaustion(error)) await this.#rest(error);
      }
    }
  }

  /** One timer for all: each conversation tells when its client last showed life. */
  #watch(idleTimeout: number): ReturnType<typeof setInterval> | undefined {
    if (idleTimeout === 0) return undefined;
    return setInterval(() => {
      const now = performance.now();
      for (const conversation of this.#conversations) {
        if (conversation.silentFor(now) > idleTimeout) conversation.cut("idle");
      }
    }, Math.min(Math.max(idleTimeout / 10, 10), 1000));
  }

  /** Waits while there are as many clients as may be; false once the server stops. */
  async #hasRoom(): Promise<boolean> {
    while (!this.#deaf && this.#conversations.size >= this.#maxClients) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return !this.#deaf;
  }

  #host(conn: Awaited<ReturnType<Listener["accept"]>>): void {
    const witness = this.options.onClient?.(conn.remoteAddr) ?? UNTOLD;
    const conversation = new Conversation(
      conn,
      this.handler,
      this.#terms,
      witness,
      this.#turns,
      this.#over,
    );
    this.#conversations.add(conversation);
    this.#turns.open++;
    void conversation.run();
    if (this.#deadline !== undefined) void conversation.stop();
    else if (this.#terms.once) this.#deafen();
  }

  /** Closing a listener resets the connections that wait in its queue: those that came before the stop are let in. */
  async #emptyQueue(): Promise<void> {
    const latest = performance.now() + QUEUE_MOST;
    for (let before = -1; before !== this.#accepted && performance.now() < latest;) {
      before = this.#accepted;
      await sleep(QUEUE_PAUSE);
    }
    this.#deafen();
  }

  #deafen(): void {
    if (this.#deaf) return;
    this.#deaf = true;
    for (const listener of this.listeners) listener.close();
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #rest(error: Error): Promise<void> {
    if (!this.#exhausted) this.options.onExhausted?.(error);
    this.#exhausted = true;
    await sleep(EXHAUSTED_PAUSE);
  }
}

/** The witness of a conversation that nobody wants to hear of. */
const UNTOLD: Witness = {};

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Only `message` is safe to read of such an error: its stack wants a descriptor. */
function isExhaustion(error: unknown): error is Error {
  return error instanceof Error && "code" in error && EXHAUSTED.includes(String(error.code));
}
