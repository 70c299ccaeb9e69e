/** What went wrong, in words. */

/** An error's message. Nothing else is read of it: for lack of descriptors, even to make its stack fails. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
