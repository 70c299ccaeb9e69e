/** Events as JSON objects, one a line: what programs read. */

import { escape } from "./quote.ts";

/** How much of long data is told, in bytes. */
const SHOWN = 1024;

/** An event as a JSON object, without a line end; bytes become text with all that is not printable escaped. */
export function asJson({ event, ...fields }: { readonly event: string }, now: Date): string {
  const told: Record<string, unknown> = { time: now.toISOString(), event, ...fields };
  for (const name in told) {
    const value = told[name];
    if (value instanceof Uint8Array) told[name] = escape(value.subarray(0, SHOWN), "\\");
  }
  return JSON.stringify(told);
}
