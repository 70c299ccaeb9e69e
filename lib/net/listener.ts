/** What a server accepts connections from, and what it gets. */

import type { Connection } from "./address.ts";

/** A connection that was accepted. */
export interface Accepted extends Connection {
  /** Where it comes from. */
  readonly remoteAddr: Deno.Addr;
  /** Where it came to. */
  readonly localAddr?: Deno.Addr | undefined;
  /** It is a proxy's health check: see {@linkcode Client}. A server that drains refuses it. */
  readonly isProbe?: boolean | undefined;
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
