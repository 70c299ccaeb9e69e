/** Two connections of which each is sent what the other receives. */

import { close } from "../net/close.ts";
import type { Conn } from "../net/listener.ts";
import { timeLimit } from "../wait.ts";
import type { ConnectionFaults } from "./faults.ts";
import type { FaultyOwner } from "./faulty_conn.ts";
import { StreamConn } from "./stream_conn.ts";

/** A read has room for twice what the last one gave, within these limits, in bytes: at rest it costs memory. */
const SMALLEST_READ = 1024;
const LARGEST_READ = 65536;
/** How long a peer may take to close once the connection has been ended, in ms. */
const LINGER = 2000;
/** A stopping relay takes it that nothing more comes when nothing has come for this long, in ms. */
const PAUSE = 50;

/** A connection of a relay: some give bytes without a copy, and those with faults hear of a stop. */
export type RelayConn = Conn & {
  take?(): Promise<Uint8Array | null>;
  stop?(): void;
  readonly isPacing?: boolean;
};

/** How a relayed connection ended: the client or the server closed it, either was reset, it was ended from here. */
export type RelayEnding = "left" | "done" | "reset" | "idle" | "stopped" | "cut" | "failed";

/** A client's connection and one to the server. {@linkcode run} settles when both are over, and never rejects. */
export class RelayedConnection {
  /** Bytes from the client. */
  bytes = 0;
  /** Bytes to the client. */
  replied = 0;
  /** When a byte last passed, as `performance.now()` tells it. */
  passedAt: number = performance.now();
  /** How it ended, or will: the first reason counts. */
  ending: RelayEnding | undefined;
  /** Is called when the client has half-closed. */
  onEof: (() => void) | undefined;

  #state: "open" | "ending" | "over" = "open"; // while it ends, what comes is discarded
  #isAwaited = false; // the client sent last: the server may be about to answer
  readonly #halfClosed = new Set<Conn>();
  #cancel = (): void => {}; // what is to happen in a while

  /** @param client and target are owned from here on */
  constructor(readonly client: RelayConn, readonly target: RelayConn) {}

  /** Relays until both directions have ended. */
  async run(): Promise<void> {
    await Promise.all([this.#pump(this.client, this.target), this.#pump(this.target, this.client)]);
    this.cut("done");
  }

  /** Ends both directions: what is due is sent, then end-of-file. */
  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.ending ??= "done";
    this.#cancel();
    this.#cancel = timeLimit(LINGER, () => this.cut("done"));
    for (const conn of [this.client, this.target]) void this.#halfClose(conn).catch(() => {});
  }

  /** Resets both connections. */
  reset(): void {
    this.#close("reset", (conn) => conn.reset ? conn.reset() : conn.close());
  }

  /** Closes both connections at once; a second time does nothing. */
  cut(ending: RelayEnding): void {
    this.#close(ending, close);
  }

  /** Ends it once it is at rest: a client that waits for the server goes on waiting. */
  stop(): void {
    for (const conn of [this.client, this.target]) conn.stop?.();
    this.#awaitRest();
  }

  /** Whether bytes wait for their own time, and not for a peer. */
  get isPacing(): boolean {
    return Boolean(this.client.isPacing || this.target.isPacing);
  }

  #awaitRest(): void {
    this.#cancel = timeLimit(PAUSE, () => {
      const isQuiet = performance.now() - this.passedAt >= PAUSE;
      if (!isQuiet || this.#isAwaited || this.isPacing) return this.#awaitRest();
      this.ending ??= "stopped";
      void this.#halfClose(this.target).catch(() => {}); // its end-of-file will be the client's
    });
  }

  async #pump(from: RelayConn, to: RelayConn): Promise<void> {
    const isUp = from === this.client;
    const take = from.take?.bind(from) ?? reader(from);
    try {
      for (let bytes; (bytes = await take()) !== null;) {
        if (this.#state !== "open" || this.#halfClosed.has(to)) continue;
        this.#isAwaited = isUp;
        await this.#send(bytes, to, isUp);
      }
      this.ending ??= isUp ? "left" : "done";
      if (isUp) this.onEof?.();
      await this.#halfClose(to);
    } catch {
      this.reset(); // of whichever failed: the other learns of it
    }
  }

  async #send(bytes: Uint8Array, to: RelayConn, isUp: boolean): Promise<void> {
    this.passedAt = performance.now();
    for (let left = bytes; left.length > 0 && this.#state === "open";) {
      const count = await to.write(left);
      this.passedAt = performance.now();
      if (isUp) this.bytes += count;
      else this.replied += count;
      left = left.subarray(count);
    }
  }

  async #halfClose(conn: RelayConn): Promise<void> {
    if (this.#halfClosed.has(conn)) return;
    this.#halfClosed.add(conn);
    await conn.closeWrite();
  }

  #close(ending: RelayEnding, closes: (conn: RelayConn) => void): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.ending ??= ending;
    this.#cancel();
    for (const conn of [this.client, this.target]) closes(conn);
  }
}

/** Reads whatever comes, into a buffer that is as large as the last reads were. */
function reader(conn: Conn): () => Promise<Uint8Array | null> {
  let buffer = new Uint8Array(SMALLEST_READ);
  let room = SMALLEST_READ;
  return async () => {
    if (room > buffer.length || room < buffer.length / 8) buffer = new Uint8Array(room);
    const count = await conn.read(buffer);
    if (count === null) return null;
    room = Math.min(Math.max(2 * count, SMALLEST_READ), LARGEST_READ);
    return buffer.subarray(0, count);
  };
}

/** A relayed connection with faults. */
export class FaultyRelayedConnection extends RelayedConnection {
  declare readonly client: StreamConn;
  declare readonly target: StreamConn;

  /**
   * @param client and target are owned from here on
   * @param report is called with each fault that happens
   */
  constructor(
    client: Conn,
    target: Conn,
    faults: ConnectionFaults,
    report: FaultyOwner["report"] = () => {},
  ) {
    super(new StreamConn(client, faults), new StreamConn(target, faults, true));
    const owner = { report, end: () => this.end(), reset: () => this.reset() };
    this.client.begin(owner, faults);
    this.target.begin(owner);
  }

  /** Changes the faults of the bytes from here on. */
  change(faults: ConnectionFaults): void {
    this.client.change(faults);
    this.target.change(faults);
  }
}
