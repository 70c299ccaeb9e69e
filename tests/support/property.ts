/** Properties: promises that are held against random input, by fast-check. */

import { it } from "@std/testing/bdd";
import fc from "fast-check";
import { inTime } from "../../lib/wait.ts";
import { SEED } from "./random.ts";

/** Runs of a property, as a factor: `READBACK_RUNS=0.1` for a quick look, 100 for a night. */
const FACTOR = Number(Deno.env.get("READBACK_RUNS") ?? 1);
/** Milliseconds that one run may take. */
const RUN_LIMIT = 15_000;
/** Milliseconds after which a failing input is not made smaller any more. */
const SHRINKING = 20_000;

/**
 * Registers a test that holds a promise against random inputs, the seed in its title. A failure
 * shows the smallest input that it found.
 * @param runs how many inputs, at full size
 * @param holds throws if the promise is broken
 */
export function property<Input>(
  title: string,
  inputs: fc.Arbitrary<Input>,
  runs: number,
  holds: (input: Input) => void | Promise<void>,
): void {
  it(`${title}, seed ${SEED}`, async () => {
    let deadline = Infinity;
    const over = new Promise<void>(() => {});
    const check = async (input: Input) => {
      fc.pre(performance.now() < deadline);
      try {
        await inTime(Promise.resolve(holds(input)), RUN_LIMIT, "it takes too long", over);
      } catch (error) {
        deadline = Math.min(deadline, performance.now() + SHRINKING);
        throw error;
      }
    };
    const numRuns = Math.max(1, Math.round(runs * FACTOR));
    await fc.assert(fc.asyncProperty(inputs, check), { seed: SEED, numRuns });
  });
}
