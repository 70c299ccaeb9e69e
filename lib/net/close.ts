/** To close what may be closed already. */

/** Closes it, whatever comes of that: it may be closed, or somebody else's and faulty. */
export function close(one: { close(): void }): void {
  try {
    one.close();
  } catch {
    // It is closed, or as good as that.
  }
}
