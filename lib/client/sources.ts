/** Messages for measuring: one now and then, until it is enough. */

import type { Source } from "./talk.ts";

const encoder = new TextEncoder();

/**
 * Messages so far apart; where a reply takes longer, the next follows at once.
 * @param messages said in turn, over and over; without any, `ping 1`, `ping 2` and so on
 * @param interval from one to the next, in ms
 * @param signal ends them
 */
export function pinging(
  messages: readonly Uint8Array[],
  interval: number,
  signal: AbortSignal,
): Source {
  let due = performance.now();
  let said = 0;
  return {
    async next() {
      due = Math.max(due, performance.now());
      await until(due, signal);
      due += interval;
      if (signal.aborted) return null;
      return messages[said++ % messages.length] ?? encoder.encode(`ping ${said}`);
    },
  };
}

function until(due: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, Math.max(0, due - performance.now()));
  const stop = () => {
    clearTimeout(timer);
    resolve();
  };
  signal.addEventListener("abort", stop, { once: true });
  return promise.finally(() => signal.removeEventListener("abort", stop));
}
