/** Many conversations at once: the accept loop, the limits and the two-stage stop. */

import { type Connection, listenAt } from "../net/address.ts";
import type { Accepted, Listener } from "../net/listener.ts";
import type { Framing } from "../wire/framing.ts";
import type { Message } from "../wire/message.ts";
import { Conversation, LAST_WORDS, type Service } from "./conversation.ts";
import { Entries, type Entry } from "./entry.ts";
import type { Client, Ending, Handler } from "./service.ts";
import { reason } from "../checks.ts";
import { checkCounts, checkTimes } from "../checks.ts";
import { Turns } from "./turns.ts";
import { onAbort, pause, sleep } from "../wait.ts";

/** How to serve. */
export interface ServeOptions<State = void> {
  /** Listeners that are open; owned from here on: closed when the server stops. Without: one is opened. */
  listeners?: readonly Listener[];
  /** The address to listen on; of a name the first one. @default {"127.0.0.1"} */
  hostname?: string;
  /** The port to listen on; 0 takes a free one. @default {0} */
  port?: number;
  /** A Unix socket to listen on instead. */
  path?: string;
  /** TLS: the certificate, PEM. */
  cert?: string;
  /** TLS: its key, PEM. */
  key?: string;
  /** How a message's end is told. @default {"auto"} */
  framing?: Framing;
  /** The longest message, in bytes. @default {65536} */
  maxMessage?: number;
  /** How many messages of one conversation may be handled at once, where handlers are async. @default {1} */
  concurrency?: number;
  /** Serve one conversation, and of it one message. @default {false} */
  once?: boolean;
  /** Conversations at a time; the next ones wait in the listen queue. @default {1000} */
  maxClients?: number;
  /** Cut a conversation after this time without a whole message, or a byte of a reply that was taken, in ms, and a client that takes as long to begin one; 0: never. @default {0} */
  idleTimeout?: number;
  /** How long a stopping server lets conversations finish, in ms. @default {5000} */
  grace?: number;
  /** How long a stopping server first goes on as before, but refuses health checks, so that proxies send nobody more, in ms. @default {0} */
  drain?: number;
  /** Stops the server when aborted. */
  signal?: AbortSignal;
  /** Called with each connection before its conversation. Gives the one to serve, as {@linkcode proxyProtocol} does with its client's own address; null: close it without a word. */
  prepare?: ((conn: Accepted) => Promise<Accepted | null>) | undefined;
  /** Whether a client is let in; asked before anything is heard of it. */
  verify?(addr: Deno.Addr): boolean | Promise<boolean>;
  /** A conversation begins: gives its state, may greet the client. */
  open?(client: Client<State>): State;
  /** A whole message came, and is handled next; it holds during the call. */
  onMessage?: ((message: Message, client: Client<State>) => void) | undefined;
  /** A conversation is over. */
  close?(client: Client<State>, ending: Ending): void;
  /** The server accepts connections there; said of each listener. */
  onListen?(addr: Deno.Addr): void;
  /** A client was not let in: `verify` said so, or it failed before the conversation. */
  onRefused?(addr: Deno.Addr, reason: string): void;
  /** A handler failed, or no connection can be accepted for now, for lack of descriptors or memory. Its message is a sentence. What this throws is dropped. */
  onError?(error: Error): void;
}

/** The pause after an accept() that failed for lack of descriptors or memory, in ms. */
const EXHAUSTED_PAUSE = 100;
/** A stopping server's listen queue is empty when nobody has come for this long, in ms. */
const QUEUE_PAUSE = 20;
/** And it is closed after this long, even if clients still come, in ms. */
const QUEUE_MOST = 500;
const EXHAUSTED = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/**
 * Serves conversations until {@linkcode Server.shutdown} or `signal`.
 *
 * ```ts
 * import { serve } from "@readback/readback";
 *
 * const server = serve((message, reply) => reply.write(message.text.toUpperCase()), {
 *   idleTimeout: 60_000,
 *   onListen: (addr) => console.log("listening on", addr),
 * });
 * setTimeout(() => server.shutdown(), 100);
 * await server.finished;
 * ```
 *
 * @throws {Error} when it can't listen
 */
export function serve(handler: Handler<void>, options?: ServeOptions): Server;
/** Serves conversations that have a state each: what `open` gives. */
export function serve<State>(
  handler: Handler<State>,
  options: ServeOptions<State> & Required<Pick<ServeOptions<State>, "open">>,
): Server<State>;
export function serve<State>(
  handler: Handler<State>,
  options: ServeOptions<State> = {},
): Server<State> {
  return new Server(handler, options);
}

/**
 * A running server.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Peer, serve } from "@readback/readback";
 *
 * const server = serve((message, reply) => reply.write(message), { framing: "line" });
 * using peer = await Peer.connect({ port: (server.addr as Deno.NetAddr).port });
 * await peer.say("hello");
 * assertEquals([server.clients, server.messages, server.bytes], [1, 1, 6]);
 * peer.close();
 * await server.shutdown();
 * ```
 */
export class Server<State = void> implements AsyncDisposable {
  /** Settles when it has stopped and the last conversation is over. */
  readonly finished: Promise<void>;
  /** Where it listens. */
  readonly addrs: readonly Deno.Addr[];

  readonly #listeners: readonly Listener[];
  readonly #options: ServeOptions<State>;
  readonly #service: Service<State>;
  readonly #conversations = new Set<Conversation<State>>();
  readonly #entries: Entries;
  readonly #maxClients: number;
  #stage: "serving" | "draining" | "stopping" | "cutting" | "over" = "serving";
  #isDeaf = false; // accepts no more
  #isExhausted = false;
  #accepted = 0;
  #messages = 0; // of conversations that are over
  #bytes = 0;
  #timers: ReturnType<typeof setTimeout>[] = []; // of the stop
  #waiting: (() => void)[] = []; // until a conversation ends

  /** Serves at once. See {@linkcode serve}. */
  constructor(handler: Handler<State>, options: ServeOptions<State>) {
    const { framing = "auto", maxMessage = 65536, concurrency = 1, once = false } = options;
    checkCounts(options, ["maxMessage", "concurrency", "maxClients"]);
    checkTimes(options, ["idleTimeout", "grace", "drain"]);
    this.#options = options;
    this.#entries = new Entries(options.idleTimeout ?? 0);
    this.#listeners = options.listeners ?? [listenAt(options)];
    this.addrs = this.#listeners.map(({ addr }) => addr);
    this.#maxClients = once ? 1 : options.maxClients ?? 1000;
    this.#service = {
      ...{ handler, framing, maxMessage, concurrency, once },
      turns: new Turns(),
      open: (client) => options.open?.(client) as State,
      onMessage: options.onMessage?.bind(options),
      failed: (error) => this.#failed(error),
      over: (conversation, ending) => this.#over(conversation, ending),
    };
    try {
      for (const addr of this.addrs) options.onListen?.(addr);
    } catch (error) { // nobody would have the server, to stop it
      for (const listener of this.#listeners) listener.close();
      throw error;
    }
    this.finished = this.#run();
    const letGo = onAbort(options.signal, () => void this.shutdown());
    void this.finished.then(letGo);
  }

  /** Where it listens; the first place of several. */
  get addr(): Deno.Addr {
    return this.addrs[0] as Deno.Addr;
  }

  /** Conversations under way. */
  get clients(): number {
    return this.#conversations.size;
  }

  /** Messages heard; a health check's don't count. */
  get messages(): number {
    return this.#clients().reduce((sum, { messages }) => sum + messages, this.#messages);
  }

  /** Bytes heard; a health check's don't count. */
  get bytes(): number {
    return this.#clients().reduce((sum, { bytes }) => sum + bytes, this.#bytes);
  }

  #clients(): IteratorObject<Conversation<State>> {
    return this.#conversations.values().filter(({ isProbe }) => !isProbe);
  }

  /**
   * Once drained, accepts no more, answers what has arrived and ends every conversation;
   * after the grace, what is left is cut. A second call waits for the first. Not to be awaited in
   * a handler: it waits for that handler.
   */
  shutdown(): Promise<void> {
    const { drain = 0 } = this.#options;
    if (this.#stage === "serving") {
      if (drain === 0) this.#stop();
      else {
        this.#stage = "draining";
        this.#timers.push(setTimeout(() => this.#stop(), drain));
      }
    }
    return this.finished;
  }

  /** Shuts it down. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  #stop(): void {
    this.#stage = "stopping";
    void this.#emptyQueue();
    for (const conversation of this.#conversations) void conversation.stop();
    this.#timers.push(setTimeout(() => this.#cut(), this.#options.grace ?? 5000));
  }

  /** Cuts the conversations that are left, and those that still begin. */
  #cut(): void {
    this.#stage = "cutting";
    for (const conversation of this.#conversations) conversation.cut("cut");
    this.#giveUp();
  }

  /** Waits no longer for what comes before a conversation. */
  #giveUp(): void {
    this.#entries.giveUp("the server stops");
  }

  async #run(): Promise<void> {
    const watch = this.#watch(this.#options.idleTimeout ?? 0);
    await Promise.all(this.#listeners.map((listener) => this.#accept(listener)));
    while (this.#conversations.size + this.#entries.size > 0) await this.#change();
    this.#stage = "over";
    this.#service.turns[Symbol.dispose]();
    clearInterval(watch);
    for (const timer of this.#timers) clearTimeout(timer);
  }

  async #accept(listener: Listener): Promise<void> {
    for (;;) {
      while (this.#isFull) await this.#change();
      if (this.#isDeaf) return;
      try {
        const conn = await listener.accept();
        this.#isExhausted = false;
        this.#accepted++;
        const { prepare, verify } = this.#options;
        if (prepare || verify || conn.handshake) void this.#enter(conn);
        else await this.#admit(conn);
      } catch (error) {
        if (this.#isDeaf || error instanceof Deno.errors.BadResource) return;
        // Any other error is of one connection that died in the queue: no reason to wait.
        if (isExhaustion(error)) await this.#rest(error);
      }
    }
  }

  /** Lets a client in once it has done what comes before a conversation; nobody waits for it meanwhile. */
  async #enter(conn: Accepted): Promise<void> {
    const { prepare, verify } = this.#options;
    let { remoteAddr } = conn;
    try {
      if (this.#stage === "cutting") throw new Error("the server stops");
      await this.#entries.admit(async (entry) => {
        await conn.handshake?.();
        const prepared = prepare ? await prepare(conn) : conn;
        if (prepared === null || (prepared.isProbe && this.#stage !== "serving")) {
          return close(conn);
        }
        ({ remoteAddr } = prepared);
        if (await verify?.(remoteAddr) === false) throw new Error("not let in");
        entry.settle();
        await this.#admit(prepared, entry);
      });
    } catch (error) {
      close(conn);
      this.#tell(() => this.#options.onRefused?.(remoteAddr, reason(error)));
    }
    this.#wake();
  }

  /** Begins a conversation as soon as there is a place for it, unless it was given up by then. */
  async #admit(conn: Accepted, entry?: Entry): Promise<void> {
    while (this.#isFull) await this.#change(); // another may have taken the last place
    if (entry?.isOver) return;
    if (this.#service.once && this.#isDeaf) conn.close(); // or the only one
    else this.#begin(conn);
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

  /** There are as many clients as may be; a server that stops takes those that wait. */
  get #isFull(): boolean {
    return !this.#isDeaf && this.#conversations.size >= this.#maxClients;
  }

  /** Waits until a place may be free, or none is needed. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** All that wait look again, not the first alone: it may be one that takes no place. */
  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #begin(conn: Accepted): void {
    try {
      conn.setNoDelay?.();
    } catch {
      return close(conn); // it has died in the queue
    }
    let conversation;
    try {
      const isProbe = conn.isProbe ?? false;
      conversation = new Conversation(conn, conn.remoteAddr, isProbe, this.#service);
    } catch (error) { // in `open`
      close(conn);
      return this.#failed(error);
    }
    this.#conversations.add(conversation);
    this.#service.turns.enter();
    void conversation.run();
    if (this.#stage === "cutting") conversation.cut("cut");
    else if (this.#stage === "stopping") void conversation.stop();
    else if (this.#service.once && !conversation.isProbe) this.#beLast();
  }

  #over(conversation: Conversation<State>, ending: Ending): void {
    if (!conversation.isProbe) {
      this.#messages += conversation.messages;
      this.#bytes += conversation.bytes;
    }
    this.#conversations.delete(conversation);
    this.#service.turns.leave();
    this.#tell(() => this.#options.close?.(conversation, ending));
    this.#wake();
  }

  /** Calls somebody else's function: whatever it does, the server goes on. */
  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#complain(new Error(`cannot answer: ${reason(error)}`, { cause: error }));
  }

  #complain(error: Error): void {
    try {
      this.#options.onError?.(error);
    } catch {
      // There is nobody left to tell.
    }
  }

  /** Closing a listener resets the connections that wait in its queue: those that came before the stop are let in. */
  async #emptyQueue(): Promise<void> {
    const latest = performance.now() + QUEUE_MOST;
    for (let before = -1; before !== this.#accepted && performance.now() < latest;) {
      before = this.#accepted;
      await pause(QUEUE_PAUSE);
    }
    this.#deafen();
    this.#timers.push(setTimeout(() => this.#giveUp(), LAST_WORDS));
  }

  /** With `once` nobody else is served: those on their way in have come too late. */
  #beLast(): void {
    this.#deafen();
    this.#entries.giveUp("the one conversation has begun");
  }

  #deafen(): void {
    if (this.#isDeaf) return;
    this.#isDeaf = true;
    for (const listener of this.#listeners) listener.close();
    this.#wake();
  }

  async #rest(error: Error): Promise<void> {
    if (!this.#isExhausted) {
      this.#complain(new Error(`cannot accept for now: ${error.message}`));
    }
    this.#isExhausted = true;
    await sleep(EXHAUSTED_PAUSE);
  }
}

/** Closes a connection that may be closed already. */
function close(conn: Connection): void {
  try {
    conn.close();
  } catch {
    // Already closed.
  }
}

function isExhaustion(error: unknown): error is Error {
  return error instanceof Error && "code" in error && EXHAUSTED.includes(String(error.code));
}
