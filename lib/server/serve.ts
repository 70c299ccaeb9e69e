/** Many conversations at once: the accept loop, the limits and the two-stage stop. */

import { type Connection, listenAt } from "../net/address.ts";
import {
  type Client,
  Conversation,
  type Ending,
  type Handler,
  type Host,
  LAST_WORDS,
  type Terms,
  type Witness,
} from "./conversation.ts";
import { reason } from "../errors.ts";
import { checkCounts, checkTimes } from "../checks.ts";
import { Turns } from "./turns.ts";
import { onAbort, sleep } from "../wait.ts";

/** A connection that was accepted. */
export interface Accepted extends Connection {
  /** Where it comes from. */
  readonly remoteAddr: Deno.Addr;
  /** Where it came to. */
  readonly localAddr?: Deno.Addr;
  /** It is a proxy's health check: `onClient` is not called for it, and a server that drains refuses it. */
  readonly probe?: boolean;
  /** Completes the TLS handshake; without TLS there is none. */
  handshake?(): Promise<unknown>;
  /** Turns Nagle's algorithm off: with it, a small reply waits until the one before is acknowledged. */
  setNoDelay?(): void;
}

/** What the server needs of a listener. */
export interface Listener {
  /** Where it listens. */
  readonly addr: Deno.Addr;
  /** The next connection; rejects with `BadResource` once closed. */
  accept(): Promise<Accepted>;
  /** Accepts no more. */
  close(): void;
}

/** How to serve. */
export interface ServeOptions<State = void> extends Partial<Terms> {
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
  /** Conversations at a time; the next ones wait in the listen queue. @default {1000} */
  maxClients?: number;
  /** Cut a conversation in which for so long no whole message has come and no byte of a reply was taken, in ms; 0: never. @default {0} */
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
  /** A conversation is over. */
  close?(client: Client<State>, ending: Ending): void;
  /** The server accepts connections there; said of each listener. */
  onListen?(addr: Deno.Addr): void;
  /** A client came; what it gives is told what passes. */
  onClient?(addr: Deno.Addr): Witness;
  /** A client was not let in: `verify` said so, or it failed before the conversation. */
  onRefused?(addr: Deno.Addr, reason: string): void;
  /** A handler failed, or no connection can be accepted for now, for lack of descriptors or memory. Its message is a sentence. What this throws is dropped. */
  onError?(error: Error): void;
}

/** The pause after an accept() that failed for lack of descriptors or memory, in ms. */
const EXHAUSTED_PAUSE = 100;
/** A stopping server's listen queue is empty when nobody came for so long, in ms. */
const QUEUE_PAUSE = 20;
/** And closed after so long, however many still come, in ms. */
const QUEUE_MOST = 500;
const EXHAUSTED = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];
/** How long a handshake, or what `prepare` reads, may take, in ms. */
const HANDSHAKE = 10_000;
/** So many may be under way at once; one more, and the oldest is cut. */
const HANDSHAKES = 1000;

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
  readonly #host: Host<State>;
  readonly #conversations = new Set<Conversation<State>>();
  readonly #opening = new Set<(why: string) => void>(); // each gives a handshake up
  readonly #maxClients: number;
  #accepted = 0;
  #messages = 0; // of conversations that are over
  #bytes = 0;
  #deaf = false; // accepts no more
  #isOver = false;
  #exhausted = false;
  #draining: ReturnType<typeof setTimeout> | undefined;
  #stopping: ReturnType<typeof setTimeout>[] | undefined;
  #waiting: (() => void)[] = []; // until a conversation ends

  /** Serves at once. See {@linkcode serve}. */
  constructor(handler: Handler<State>, options: ServeOptions<State>) {
    const { framing = "auto", maxMessage = 65536, concurrency = 1, once = false } = options;
    checkCounts(options, ["maxMessage", "concurrency", "maxClients"]);
    checkTimes(options, ["idleTimeout", "grace", "drain"]);
    this.#options = options;
    this.#listeners = options.listeners ?? [listenAt(options)];
    this.addrs = this.#listeners.map(({ addr }) => addr);
    this.#maxClients = once ? 1 : options.maxClients ?? 1000;
    this.#host = {
      handler,
      terms: { framing, maxMessage, concurrency, once },
      turns: new Turns(),
      open: (client) => options.open?.(client) as State,
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

  /** Messages heard. */
  get messages(): number {
    return this.#conversations.values().reduce(
      (sum, { messages }) => sum + messages,
      this.#messages,
    );
  }

  /** Bytes heard. */
  get bytes(): number {
    return this.#conversations.values().reduce((sum, { bytes }) => sum + bytes, this.#bytes);
  }

  /**
   * Once drained, accepts no more, answers what has arrived and ends every conversation;
   * after the grace, what is left is cut. A second call waits for the first. Not to be awaited in
   * a handler: it waits for that handler.
   */
  shutdown(): Promise<void> {
    const { drain = 0 } = this.#options;
    if (this.#isOver) return this.finished;
    if (drain > 0) this.#draining ??= setTimeout(() => this.#stop(), drain);
    else if (this.#stopping === undefined) this.#stop();
    return this.finished;
  }

  /** Shuts it down. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  #stop(): void {
    void this.#emptyQueue();
    for (const conversation of this.#conversations) void conversation.stop();
    const cut = () => {
      for (const conversation of this.#conversations) conversation.cut("cut");
    };
    const giveUp = () => {
      for (const giveUp of this.#opening) giveUp("the server stops");
    };
    this.#stopping = [
      setTimeout(cut, this.#options.grace ?? 5000),
      setTimeout(giveUp, LAST_WORDS),
    ];
  }

  async #run(): Promise<void> {
    const watch = this.#watch(this.#options.idleTimeout ?? 0);
    await Promise.all(this.#listeners.map((listener) => this.#accept(listener)));
    while (this.#conversations.size + this.#opening.size > 0) await this.#change();
    this.#isOver = true;
    this.#host.turns[Symbol.dispose]();
    clearInterval(watch);
    for (const timer of [this.#draining, ...this.#stopping ?? []]) clearTimeout(timer);
  }

  async #accept(listener: Listener): Promise<void> {
    for (;;) {
      while (this.#isFull) await this.#change();
      if (this.#deaf) return;
      try {
        const conn = await listener.accept();
        this.#exhausted = false;
        this.#accepted++;
        const { prepare, verify } = this.#options;
        if (prepare || verify || conn.handshake) void this.#open(conn);
        else await this.#admit(conn);
      } catch (error) {
        if (this.#deaf || error instanceof Deno.errors.BadResource) return;
        // Any other error is of one connection that died in the queue: no reason to wait.
        if (isExhaustion(error)) await this.#rest(error);
      }
    }
  }

  /** Lets a client in once it has done what comes before a conversation; nobody waits for it meanwhile. */
  async #open(conn: Accepted): Promise<void> {
    const { promise: givenUp, reject } = Promise.withResolvers<never>();
    let isOver = false;
    const giveUp = (why: string) => {
      isOver = true;
      this.#opening.delete(giveUp);
      reject(new Error(why));
    };
    const [oldest] = this.#opening;
    if (this.#opening.size === HANDSHAKES) oldest?.("too many others came before it had begun");
    this.#opening.add(giveUp);
    const late = setTimeout(giveUp, HANDSHAKE, `did not begin within ${HANDSHAKE / 1000}s`);
    let { remoteAddr } = conn;
    const begin = async () => {
      const { prepare, verify } = this.#options;
      await conn.handshake?.();
      const prepared = prepare ? await prepare(conn) : conn;
      if (prepared === null || (prepared.probe && this.#draining)) return close(conn);
      ({ remoteAddr } = prepared);
      if (await verify?.(remoteAddr) === false) throw new Error("not let in");
      clearTimeout(late);
      await this.#admit(prepared, () => isOver);
    };
    try {
      await Promise.race([begin(), givenUp]);
    } catch (error) {
      close(conn);
      this.#tell(() => this.#options.onRefused?.(remoteAddr, reason(error)));
    } finally {
      clearTimeout(late);
      this.#opening.delete(giveUp);
      this.#wake();
    }
  }

  /** Begins a conversation as soon as there is a place for it, unless it is over by then. */
  async #admit(conn: Accepted, isOver = () => false): Promise<void> {
    while (this.#isFull) await this.#change(); // another may have taken the last place
    if (isOver()) return;
    if (this.#host.terms.once && this.#deaf) conn.close(); // or the only one
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
    return !this.#deaf && this.#conversations.size >= this.#maxClients;
  }

  /** Waits until a place may be free, or none is needed. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Whoever waits looks again: all, since the first may be one that takes no place. */
  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #begin(conn: Accepted): void {
    let witness = UNTOLD;
    let conversation;
    try {
      conn.setNoDelay?.();
    } catch {
      return close(conn); // it has died in the queue
    }
    try {
      if (!conn.probe) witness = this.#options.onClient?.(conn.remoteAddr) ?? UNTOLD;
      conversation = new Conversation(conn, conn.remoteAddr, this.#host, witness);
    } catch (error) { // in `open`
      close(conn);
      this.#failed(error);
      this.#tell(() => witness.ended?.("failed"));
      return;
    }
    this.#conversations.add(conversation);
    this.#host.turns.open++;
    void conversation.run();
    if (this.#stopping !== undefined) void conversation.stop();
    else if (this.#host.terms.once) this.#deafen();
  }

  #over(conversation: Conversation<State>, ending: Ending): void {
    this.#messages += conversation.messages;
    this.#bytes += conversation.bytes;
    this.#conversations.delete(conversation);
    this.#host.turns.open--;
    this.#tell(() => conversation.witness.ended?.(ending));
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
      await sleep(QUEUE_PAUSE);
    }
    this.#deafen();
  }

  #deafen(): void {
    if (this.#deaf) return;
    this.#deaf = true;
    for (const listener of this.#listeners) listener.close();
    this.#wake();
  }

  async #rest(error: Error): Promise<void> {
    if (!this.#exhausted) {
      this.#complain(new Error(`cannot accept for now: ${error.message}`));
    }
    this.#exhausted = true;
    await sleep(EXHAUSTED_PAUSE);
  }
}

/** The witness of a conversation that nobody wants to hear of. */
const UNTOLD: Witness = {};

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
