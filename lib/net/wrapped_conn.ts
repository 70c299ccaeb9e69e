/** A base for connections that change something of another one. */

import type { Addr } from "./addr.ts";
import type { Conn, ServerConn } from "./listener.ts";

/** Passes everything on to another connection. */
export class WrappedConn implements ServerConn, Disposable {
  declare handshake?: () => Promise<unknown>; // only if the other connection has one

  /** @param conn owned from here on */
  constructor(readonly conn: Conn & Partial<ServerConn>) {
    if (conn.handshake) this.handshake = () => Promise.resolve(conn.handshake?.());
  }

  get remoteAddr(): Addr {
    return this.conn.remoteAddr as Addr;
  }

  get localAddr(): Addr | undefined {
    return this.conn.localAddr;
  }

  get isHealthCheck(): boolean | undefined {
    return this.conn.isHealthCheck;
  }

  setNoDelay(): void {
    this.conn.setNoDelay?.();
  }

  setKeepAlive(): void {
    this.conn.setKeepAlive?.();
  }

  read(into: Uint8Array): Promise<number | null> {
    return this.conn.read(into);
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.conn.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.conn.closeWrite();
  }

  close(): void {
    this.conn.close();
  }

  reset(): void {
    if (this.conn.reset) this.conn.reset();
    else this.conn.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
