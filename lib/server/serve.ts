/** Many conversations at once: the accept loop, the limits and the two-stage stop. */

import type { Addr } from "../net/addr.ts";
import { errorMessage } from "../checks.ts";
import { listenAt } from "../net/address.ts";
import { close } from "../net/close.ts";
import type { Listener, ServerConn } from "../net/listener.ts";
import { onAbort, pause, sleep, turn } from "../wait.ts";
import { isDeadConnection, isOutOfResources, prepareForNoDescriptors } from "./accept_errors.ts";
import { catchRejection, errorReporter, type ReportError, safely } from "./callbacks.ts";
import { Conversation, type ConversationConfig, LAST_MESSAGES_LIMIT } from "./conversation.ts";
import { type Admission, Admissions } from "./admissions.ts";
import { FaultInjector } from "./fault_injector.ts";
import { checkService, type ServeOptions } from "./serve_options.ts";
import type { Client, Ending, Handler } from "./handler.ts";
import { AcceptBurst } from "./accept_burst.ts";
import { FairReads } from "./fair_reads.ts";

/** The pause after an accept() that failed and will fail again, in ms. */
const TROUBLED_PAUSE = 100;
/** This many failures in a row are of connections that died; more, and the listener has trouble of its own. */
const MOST_FAILURES = 3;
/** After this many connections in a row that died in the queue, others have a turn. */
const MOST_DEAD = 64;
/** A stopping server's listen queue is empty when nobody has come for this long, in ms. */
const QUEUE_PAUSE = 20;
/** And it is closed after this long, even if clients still come, in ms. */
const QUEUE_MOST = 500;

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
/** Serves conversations that have a state each: what `onOpen` gives. */
export function serve<State>(
  handler: Handler<State>,
  options: ServeOptions<State> & Required<Pick<ServeOptions<State>, "onOpen">>,
): Server<State>;
export function serve<State>(
  handler: Handler<State>,
  options: ServeOptions<State> = {},
): Server<State> {
  try {
    return new Server(handler, options);
  } catch (error) { // nobody else would close them
    for (const listener of [options.listeners ?? []].flat()) close(listener);
    throw error;
  }
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
 * await peer.request("hello");
 * assertEquals([server.clients, server.messages, server.bytes], [1, 1, 6]);
 * peer.close();
 * await server.shutdown();
 * ```
 */
export class Server<State = void> implements AsyncDisposable {
  /** Settles when it has stopped and the last conversation is over. */
  readonly finished: Promise<void>;
  /** Where it listens. */
  readonly addrs: readonly Addr[];

  readonly #listeners: readonly Listener[];
  readonly #options: ServeOptions<State>;
  readonly #service: ConversationConfig<State>;
  readonly #complain: ReportError;
  readonly #misbehaviour: FaultInjector<State> | undefined;
  readonly #conversations = new Set<Conversation<State>>();
  readonly #rush = new AcceptBurst((conn) => this.#begin(conn), () => this.#wake());
  readonly #entries: Admissions;
  readonly #maxClients: number;
  #opening = 0; // clients that have a place, and wait for an async `onOpen`
  #stage: "serving" | "draining" | "stopping" | "cutting" | "over" = "serving";
  #isDeaf = false; // accepts no more
  #isTroubled = false; // nothing can be accepted for now
  #accepted = 0;
  #messages = 0; // of conversations that are over
  #bytes = 0;
  #timers: ReturnType<typeof setTimeout>[] = []; // of the stop
  #waiting: (() => void)[] = []; // until a conversation ends

  /** Serves at once. See {@linkcode serve}. */
  constructor(handler: Handler<State>, options: ServeOptions<State>) {
    checkService(handler, options);
    prepareForNoDescriptors();
    const { framing = "auto", maxMessage = 65536, concurrency = 1, once = false } = options;
    this.#options = options;
    this.#entries = new Admissions(options.idleTimeout ?? 0);
    this.#complain = errorReporter(options.onError?.bind(options));
    this.#misbehaviour = FaultInjector.of(options, (call) => this.#tell(call));
    this.#listeners = options.listeners ?? [listenAt(options)];
    this.addrs = this.#listeners.map(({ addr }) => addr);
    this.#maxClients = once ? 1 : options.maxClients ?? 1000;
    this.#service = {
      ...{ handler, framing, maxMessage, concurrency, once },
      handlerTimeout: options.handlerTimeout ?? 0,
      ending: options.ending === undefined ? undefined : new TextEncoder().encode(options.ending),
      turns: new FairReads(),
      outbox: this.#misbehaviour?.outbox.bind(this.#misbehaviour),
      onMessage: options.onMessage?.bind(options),
      onEof: options.onEof && ((client) => this.#tell(() => options.onEof?.(client))),
      failed: (error) => this.#failed(error),
      over: (conversation, ending) => this.#over(conversation, ending),
    };
    try {
      for (const addr of this.addrs) {
        catchRejection(options.onListen?.(addr), (error) => this.#failed(error));
      }
    } catch (error) { // nobody would have the server, to stop it
      for (const listener of this.#listeners) close(listener);
      throw error;
    }
    this.finished = this.#run();
    const letGo = onAbort(options.signal, () => void this.shutdown());
    void this.finished.then(letGo);
  }

  /** Where it listens; the first place of several. */
  get addr(): Addr {
    return this.addrs[0] as Addr;
  }

  /** Conversations under way. */
  get clients(): number {
    return this.#conversations.size;
  }

  /** Who is there: a live set, from when `onOpen` has given a client's state until the conversation is over. */
  get conversations(): ReadonlySet<Client<State>> {
    return this.#conversations;
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
    return this.#conversations.values().filter(({ isHealthCheck }) => !isHealthCheck);
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
    while (this.#places + this.#entries.size > 0) await this.#change();
    this.#stage = "over";
    this.#service.turns[Symbol.dispose]();
    clearInterval(watch);
    for (const timer of this.#timers) clearTimeout(timer);
  }

  async #accept(listener: Listener): Promise<void> {
    let failures = 0; // in a row
    for (;;) {
      while (this.#isFull) await this.#change();
      if (this.#entries.isCrowd) await turn();
      if (this.#isDeaf) return;
      let conn;
      try {
        conn = await listener.accept();
        void conn.remoteAddr; // a faulty listener may give nothing at all
      } catch (error) {
        if (this.#isDeaf || error instanceof Deno.errors.BadResource) return;
        failures++;
        if (isDeadConnection(error)) {
          this.#tell(() => this.#options.onVanished?.());
          if (failures % MOST_DEAD === 0) await sleep(0);
        } else if (isOutOfResources(error) || failures > MOST_FAILURES) await this.#rest(error);
        continue;
      }
      failures = 0;
      this.#isTroubled = false;
      this.#accepted++;
      if (this.#misbehaviour?.refuses(conn)) continue;
      const { onAccept, verify } = this.#options;
      if (onAccept || verify || conn.handshake) void this.#enter(conn);
      else this.#rush.add(conn);
    }
  }

  /** Lets a client in once it has done what comes before a conversation; nobody waits for it meanwhile. */
  async #enter(conn: ServerConn): Promise<void> {
    const { onAccept, verify } = this.#options;
    let { remoteAddr } = conn;
    try {
      if (this.#stage === "cutting") throw new Error("the server stops");
      await this.#entries.admit(async (entry) => {
        await conn.handshake?.();
        const prepared = onAccept ? await onAccept(conn) : conn;
        if (prepared === null || (prepared.isHealthCheck && this.#stage !== "serving")) {
          return close(conn);
        }
        ({ remoteAddr } = prepared);
        if (await verify?.(remoteAddr) === false) throw new Error("not let in");
        entry.settle();
        await this.#admit(prepared, entry);
      });
    } catch (error) {
      close(conn);
      this.#tell(() => this.#options.onRefused?.(remoteAddr, errorMessage(error)));
    }
    this.#wake();
  }

  /** Begins a conversation as soon as there is a place for it, unless it was given up by then. */
  async #admit(conn: ServerConn, entry: Admission): Promise<void> {
    while (this.#isFull) await this.#change(); // another may have taken the last place
    if (!entry.isOver) this.#begin(conn);
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

  /** How many places are taken. */
  get #places(): number {
    return this.#conversations.size + this.#opening + this.#rush.size;
  }

  /** There are as many clients as may be; a server that stops takes those that wait. */
  get #isFull(): boolean {
    return !this.#isDeaf && this.#places >= this.#maxClients;
  }

  /** Waits until a place may be free, or none is needed. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** All that wait look again, not the first alone: it may be one that takes no place. */
  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #begin(conn: ServerConn): void {
    if (this.#service.once && this.#isDeaf) return close(conn); // another was the one
    try {
      conn.setNoDelay?.();
    } catch {
      return close(conn); // it has died in the queue
    }
    const isHealthCheck = conn.isHealthCheck ?? false;
    const conversation = new Conversation(conn, conn.remoteAddr, isHealthCheck, this.#service);
    let state;
    try {
      state = this.#options.onOpen?.(conversation);
    } catch (error) {
      close(conn);
      return this.#failed(error);
    }
    if (state instanceof Promise) void this.#open(conversation, state);
    else this.#converse(conversation, state as State);
  }

  /** Waits for an async `onOpen`. The client has its place meanwhile, and is not heard. */
  async #open(conversation: Conversation<State>, opening: Promise<State>): Promise<void> {
    this.#opening++;
    try {
      await this.#entries.admit(async (entry) => {
        try {
          const state = await opening;
          entry.settle();
          if (!entry.isOver) this.#converse(conversation, state);
        } catch (error) {
          conversation.cut("failed");
          this.#failed(error);
        }
      });
    } catch (error) { // it was given up
      conversation.cut("cut");
      this.#tell(() => this.#options.onRefused?.(conversation.addr, errorMessage(error)));
    }
    this.#opening--;
    this.#wake();
  }

  #converse(conversation: Conversation<State>, state: State): void {
    conversation.state = state;
    this.#conversations.add(conversation);
    this.#service.turns.enter();
    void conversation.run();
    if (this.#stage === "cutting") conversation.cut("cut");
    else if (this.#stage === "stopping") void conversation.stop();
    else if (this.#service.once && !conversation.isHealthCheck) this.#beLast();
  }

  #over(conversation: Conversation<State>, ending: Ending): void {
    if (!conversation.isHealthCheck) {
      this.#messages += conversation.messages;
      this.#bytes += conversation.bytes;
    }
    this.#conversations.delete(conversation);
    this.#service.turns.leave();
    this.#tell(() => this.#options.onClose?.(conversation, ending));
    this.#wake();
  }

  /** Calls somebody else's function: whatever it does, the server goes on. */
  #tell(call: () => unknown): void {
    safely(call, (error) => this.#failed(error));
  }

  #failed(error: unknown): void {
    this.#complain(`cannot answer: ${errorMessage(error)}`, error);
  }

  /** Closing a listener resets the connections that wait in its queue: those that came before the stop are let in. */
  async #emptyQueue(): Promise<void> {
    const latest = performance.now() + QUEUE_MOST;
    for (let before = -1; before !== this.#accepted && performance.now() < latest;) {
      before = this.#accepted;
      await pause(QUEUE_PAUSE);
    }
    this.#deafen();
    this.#timers.push(setTimeout(() => this.#giveUp(), LAST_MESSAGES_LIMIT));
  }

  /** With `once` nobody else is served: those on their way in have come too late. */
  #beLast(): void {
    this.#deafen();
    this.#entries.giveUp("the one conversation has begun");
  }

  #deafen(): void {
    if (this.#isDeaf) return;
    this.#isDeaf = true;
    for (const listener of this.#listeners) close(listener);
    this.#wake();
  }

  /** The listener has trouble that is not of one connection; told once, until there is one again. */
  async #rest(error: unknown): Promise<void> {
    if (!this.#isTroubled) this.#complain(`cannot accept for now: ${errorMessage(error)}`);
    this.#isTroubled = true;
    await sleep(TROUBLED_PAUSE);
  }
}
