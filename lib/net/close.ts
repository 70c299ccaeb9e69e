/** Closes what may be closed already. */

/** Closes a connection or listener. Ignores errors: it may be closed, or be a caller's and faulty. */
export function close(one: { close(): void }): void {
  try {
    one.close();
  } catch {
    // It is closed.
  }
}
