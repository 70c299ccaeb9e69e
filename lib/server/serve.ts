/** Many conversations at once: the accept loop, the limits and the two-stage stop. */

import { checkOptions, errorMessage } from "../checks.ts";
import type { FaultSupport } from "../faults/grammar.ts";
import type { Addr, NetAddr } from "../net/address.ts";
import { listenAt } from "../net/listen.ts";
import { close, type Listener, type ServerConn } from "../net/conn.ts";
import { identityOf } from "../net/pem.ts";
import { onAbort, sleep, timeLimit, turn, untilQuiet } from "../wait.ts";
import { ADMISSION_LIMIT, Admissions, beginAll, classifyAcceptError } from "./accept.ts";
import { type ConversationConfig, LAST_MESSAGES_LIMIT, prepareErrors } from "./conversation.ts";
import { FairReads } from "./fair_reads.ts";
import { FaultInjector, type Served } from "./fault_injector.ts";
import { Callbacks, type Client, type Ending, type Handler } from "./handler.ts";
import type { ServeOptions } from "./serve_options.ts";

/** The pause after an accept() that failed and will fail again, in ms. */
const RETRY_PAUSE = 100;
/** With more failures in a row, the listener is at fault rather than the connections. */
const MAX_FAILURES = 3;
/** After so many dead connections in a row, other work has a turn. */
const MAX_DEAD = 64;
/** With at least 100 admissions in progress, one client is accepted per turn of the event loop. */
const MANY_ADMISSIONS = 100;
/** The most admissions in progress; one more, and the oldest is given up. */
const MAX_ADMISSIONS = 1000;
/** A stopping server's listen queue is empty after so many milliseconds without a connection. */
const QUEUE_PAUSE = 20;
/** The queue is closed after so many milliseconds, even if clients still connect. */
const QUEUE_LIMIT = 500;

/**
 * Serves conversations until {@linkcode Server.shutdown}, or until `signal` is aborted. Listeners in
 * the options are closed when the server stops, and if an error is thrown.
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
 * @throws {TypeError | RangeError} if an option is wrong
 * @throws {Error} if the server can't listen
 */
export function serve<State extends void = void, Value = unknown>(
  handler: Handler<State, Value>,
  options?: ServeOptions<State, Value>,
): Server<State>;
/** Serves conversations that have a state each: the result of `onOpen`. */
export function serve<State, Value = unknown>(
  handler: Handler<State, Value>,
  options: ServeOptions<State, Value> & Required<Pick<ServeOptions<State, Value>, "onOpen">>,
): Server<State>;
export function serve(handler: Handler, options: ServeOptions<unknown> = {}): Server<unknown> {
  try {
    return new Server(handler, options);
  } catch (error) {
    if (Array.isArray(options.listeners)) options.listeners.forEach(close);
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
 * using peer = await Peer.connect({ port: server.port });
 * await peer.request("hello");
 * assertEquals([server.clients, server.messages, server.bytes], [1, 1, 6]);
 * peer.close();
 * await server.shutdown();
 * ```
 */
export class Server<State = void> implements AsyncDisposable {
  /** Resolves when the server has stopped and the last conversation is over. */
  readonly finished: Promise<void>;
  /** The addresses on which the server listens. */
  readonly addrs: readonly Addr[];
  /** The address on which the server listens; the first of several. */
  readonly addr: Addr;

  readonly #listeners: readonly Listener[];
  readonly #options: ServeOptions<State>;
  readonly #callbacks: Callbacks;
  readonly #faults: FaultInjector<State>;
  readonly #config: ConversationConfig<State>;
  readonly #conversations = new Set<Served<State>>();
  /** The clients of all conversations, a live set: each from the result of `onOpen` until its end. */
  readonly conversations: ReadonlySet<Client<State>> = this.#conversations;
  readonly #waiting: ServerConn[] = []; // accepted, and their conversations have not begun
  readonly #admissions: Admissions;
  readonly #openings: Admissions; // async calls of `onOpen`, which have a slot already
  #stage: "serving" | "draining" | "stopping" | "cutting" | "over" = "serving";
  #isClosed = false; // accepts no more
  #accepted = 0;
  readonly #ended = { messages: 0, bytes: 0 }; // of conversations that are over
  #change = Promise.withResolvers<void>(); // a slot may be free, or none is needed

  /**
   * Serves at once. See {@linkcode serve}.
   *
   * @param up the transport of a relay to its server; by default, the handler answers in conversations
   */
  constructor(handler: Handler<State>, options: ServeOptions<State>, up?: FaultSupport["up"]) {
    checkOptions(options);
    prepareErrors();
    const { idleTimeout = 0, ending, onMessage, onEof, onFraming } = options;
    const { call, failed } = this.#callbacks = new Callbacks(options);
    this.#options = options;
    const limit = Math.min(idleTimeout || ADMISSION_LIMIT, ADMISSION_LIMIT);
    this.#admissions = new Admissions(limit, MAX_ADMISSIONS);
    this.#openings = new Admissions(limit, Infinity);
    this.#faults = new FaultInjector(options, this.#callbacks, up);
    this.#config = {
      handler,
      framing: options.framing ?? "auto",
      maxMessage: options.maxMessage ?? 65536,
      concurrency: options.concurrency ?? 1,
      handlerTimeout: options.handlerTimeout ?? 0,
      once: options.once ?? false,
      failed,
      ending: ending === undefined ? undefined : new TextEncoder().encode(ending),
      separate: false,
      reads: new FairReads(),
      onMessage: onMessage?.bind(options),
      onEof: onEof && ((client) => call(() => options.onEof?.(client))),
      onFraming: onFraming && ((...decided) => call(() => options.onFraming?.(...decided))),
      over: (served: Served<State>, ending) => this.#over(served, ending),
    };
    if (options.listeners) identityOf(options); // throws if one of cert and key is missing
    this.#listeners = options.listeners ?? [listenAt(options)];
    this.addrs = this.#listeners.map(({ addr }) => addr);
    this.addr = this.addrs[0] as Addr;
    this.#callbacks.announce(this.addrs, this.#listeners);
    this.finished = this.#run();
    if (idleTimeout > 0) this.#watch(idleTimeout);
    void this.finished.then(onAbort(options.signal, () => void this.shutdown()));
  }

  /**
   * The port on which the server listens; the first of several.
   *
   * @throws {Error} if the server listens on a Unix socket
   */
  get port(): number {
    return this.#net("port");
  }

  /**
   * The IP address on which the server listens; the first of several.
   *
   * @throws {Error} if the server listens on a Unix socket
   */
  get hostname(): string {
    return this.#net("hostname");
  }

  /** The number of conversations in progress. */
  get clients(): number {
    return this.#conversations.size;
  }

  /** The number of messages received, without those of health checks. */
  get messages(): number {
    return this.#total("messages");
  }

  /** The number of bytes received, without those of health checks. */
  get bytes(): number {
    return this.#total("bytes");
  }

  /**
   * Stops the server: once drained, it accepts no more, answers all messages that have arrived, and
   * ends every conversation; after `grace`, it cuts the rest. Repeated calls wait for the first. A
   * handler must not await this: it waits for that handler.
   */
  shutdown(): Promise<void> {
    if (this.#stage === "serving") void this.#stop();
    return this.finished;
  }

  /** Stops the server, see {@linkcode Server.shutdown}. */
  close(): Promise<void> {
    return this.shutdown();
  }

  /** Stops the server, see {@linkcode Server.shutdown}. */
  readonly [Symbol.asyncDispose]: () => Promise<void> = this.shutdown;

  #net<Name extends "port" | "hostname">(name: Name): NetAddr[Name] {
    if ("port" in this.addr) return this.addr[name];
    throw new Error(`a server on a Unix socket has no ${name}: use addr.path`);
  }

  #total(what: "messages" | "bytes"): number {
    const clients = this.#conversations.values().filter(({ isHealthCheck }) => !isHealthCheck);
    return clients.reduce((sum, client) => sum + client[what], this.#ended[what]);
  }

  async #stop(): Promise<void> {
    const { drain = 0, grace = 5000 } = this.#options;
    this.#stage = "draining";
    if (drain > 0) await new Promise<void>((resolve) => this.#after(drain, resolve));
    this.#stage = "stopping";
    this.#wake();
    for (const conversation of this.#conversations) void conversation.stop();
    this.#after(grace, () => {
      this.#stage = "cutting";
      for (const conversation of this.#conversations) conversation.cut("cut");
      this.#giveUp();
    });
    // Closing a listener resets the connections in its queue, so those are accepted first. In a
    // crowd, accepting may lag, so turns of the read scheduler count as activity too.
    const count = () => this.#accepted + this.#config.reads.crowdedTurns;
    await untilQuiet(count, QUEUE_PAUSE, QUEUE_LIMIT);
    this.#closeListeners();
    this.#after(LAST_MESSAGES_LIMIT, () => this.#giveUp());
  }

  /** Calls back after a time, in ms, unless the server has stopped by then. */
  #after(milliseconds: number, passed: () => void): void {
    void this.finished.then(timeLimit(milliseconds, passed));
  }

  #giveUp(reason = "the server stops"): void {
    this.#admissions.giveUp(reason);
    this.#openings.giveUp(reason);
  }

  async #run(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => this.#accept(listener)));
    while (this.#slots + this.#admissions.size > 0) await this.#change.promise;
    this.#stage = "over";
    this.#config.reads[Symbol.dispose]();
  }

  async #accept(listener: Listener): Promise<void> {
    let failures = 0; // in a row
    for (;;) {
      while (this.#isFull) await this.#change.promise;
      if (this.#admissions.size >= MANY_ADMISSIONS) await turn();
      if (this.#isClosed) return;
      let conn;
      try {
        conn = await listener.accept();
        void conn.remoteAddr; // a faulty listener may return nothing at all
      } catch (error) {
        const kind = classifyAcceptError(error);
        if (this.#isClosed || kind === "closed") return;
        failures++;
        if (kind === "dead") {
          this.#callbacks.call(() => this.#options.onVanished?.());
          if (failures % MAX_DEAD === 0) await sleep(0);
        } else if (kind === "exhausted" || failures > MAX_FAILURES) {
          this.#callbacks.trouble(`cannot accept for now: ${errorMessage(error)}`);
          await sleep(RETRY_PAUSE);
        }
        continue;
      }
      failures = 0;
      this.#callbacks.trouble(null);
      this.#accepted++;
      const { onAccept, verify } = this.#options;
      if (!onAccept && this.#faults.refuses(conn)) continue;
      if (onAccept || verify || conn.handshake) void this.#enter(conn);
      else {
        while (this.#isFull) await this.#change.promise; // another listener took the last slot
        if (this.#waiting.push(conn) > 1) continue;
        void beginAll(this.#waiting, (one) => this.#begin(one)).then(() => this.#wake());
      }
    }
  }

  /** Takes the steps before a conversation, while others are accepted. */
  async #enter(conn: ServerConn): Promise<void> {
    const { onAccept, verify } = this.#options;
    let served = conn;
    const steps = async () => {
      if (this.#stage === "cutting") throw new Error("the server stops");
      await conn.handshake?.();
      const accepted = onAccept ? await onAccept(conn) : conn;
      const isRefused = accepted?.isHealthCheck && this.#stage !== "serving";
      if (accepted === null || isRefused) return close(conn);
      served = accepted;
      if (onAccept && !served.isHealthCheck && this.#faults.refuses(served)) return;
      if (await verify?.(served.remoteAddr) === false) throw new Error("not let in");
      return async () => {
        while (this.#isFull) await this.#change.promise;
        this.#begin(served);
      };
    };
    try {
      await this.#admissions.admit(steps());
    } catch (error) {
      const { remoteAddr } = served;
      for (const one of new Set([served, conn])) close(one);
      this.#callbacks.refused(remoteAddr, error);
    }
    this.#wake();
  }

  /** Cuts idle clients. One timer serves all conversations. */
  #watch(idleTimeout: number): void {
    const interval = Math.min(Math.max(idleTimeout / 10, 10), 1000);
    let clock = 0; // does not run while the process is stopped
    let last = performance.now();
    const look = () => {
      const now = performance.now();
      clock += Math.min(now - last, 2 * interval);
      last = now;
      for (const one of this.#conversations) {
        if (one.silentFor(clock) > idleTimeout) one.cut("idle");
      }
      cancel = timeLimit(interval, look);
    };
    let cancel = timeLimit(interval, look);
    void this.finished.then(() => cancel());
  }

  /** The number of slots in use. */
  get #slots(): number {
    return this.#conversations.size + this.#openings.size + this.#waiting.length;
  }

  /** True if no slot is free. A stopping server serves all that wait, unless it has no grace period. */
  get #isFull(): boolean {
    const { once, maxClients = 1000, grace } = this.#options;
    const most = once ? 1 : this.#stage === "stopping" && grace !== 0 ? Infinity : maxClients;
    return !this.#isClosed && this.#slots >= most;
  }

  /** Wakes every waiter: the first may not need the freed slot. */
  #wake(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  #begin(accepted: ServerConn): void {
    if (this.#options.once && this.#isClosed) return close(accepted); // another is served
    try {
      accepted.setNoDelay?.();
      accepted.setKeepAlive?.();
    } catch {
      return close(accepted); // reset in the listen queue
    }
    const conversation = this.#faults.open(accepted, this.#config);
    const fail = (error: unknown) => {
      conversation.cut("failed");
      this.#callbacks.failed(error);
    };
    try {
      const opening = this.#options.onOpen?.(conversation);
      if (!(opening instanceof Promise)) return this.#converse(conversation, opening as State);
      const steps = opening.then((state) => () => this.#converse(conversation, state), fail);
      void this.#openings.admit(steps).catch((error) => { // it was given up
        conversation.cut("cut");
        this.#callbacks.refused(conversation.addr, error);
      }).finally(() => this.#wake());
    } catch (error) {
      fail(error);
    }
  }

  #converse(conversation: Served<State>, state: State): void {
    conversation.state = state;
    this.#conversations.add(conversation);
    this.#config.reads.conversations++;
    void conversation.run();
    if (this.#stage === "cutting") conversation.cut("cut");
    else if (this.#stage === "stopping") void conversation.stop();
    else if (this.#options.once && !conversation.isHealthCheck) {
      this.#closeListeners();
      this.#giveUp("the one conversation has begun");
    }
  }

  #over(conversation: Served<State>, ending: Ending): void {
    if (!conversation.isHealthCheck) {
      this.#ended.messages += conversation.messages;
      this.#ended.bytes += conversation.bytes;
    }
    this.#conversations.delete(conversation);
    this.#config.reads.conversations--;
    this.#callbacks.call(() => this.#options.onClose?.(conversation, ending));
    this.#wake();
  }

  #closeListeners(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#listeners.forEach(close);
    this.#wake();
  }
}
