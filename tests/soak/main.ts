// deno-lint-ignore-file no-console -- it speaks to people
/**
 * The battery at full size, each row on a server of its own, measured from outside.
 *
 *     deno run -A tests/soak/main.ts [--seed N] [PART OF A NAME...]
 *
 * Prints what each row held; exits 1 when one was not met. Give it a quiet machine:
 * another program's work is in the others' round trips too.
 */

import { parseArgs } from "@std/cli/parse-args";
import { Random } from "../support/random.ts";
import { ROWS } from "./rows.ts";

const { seed, _: parts } = parseArgs(Deno.args, { string: ["seed", "_"] });
const random = seed === undefined ? new Random() : new Random(Number(seed));
const chosen = ROWS.filter(({ name }) =>
  parts.length === 0 || parts.some((part) => name.includes(`${part}`))
);
if (chosen.length === 0 || Number.isNaN(random.seed)) {
  console.error(`soak: no such row or seed: ${Deno.args.join(" ")}`);
  Deno.exit(2);
}

console.log(`seed ${random.seed}`);
let missed = 0;
for (const { name, run } of chosen) {
  const start = performance.now();
  const [verdict, figures] = await run(random).then(
    (figures) => ["met", figures],
    (error) => ["NOT MET", error instanceof Error ? error.message : String(error)],
  );
  if (verdict !== "met") missed++;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${verdict} in ${seconds} s: ${name}\n    ${figures}`);
}
console.log(`${chosen.length - missed} met, ${missed} not met`);
Deno.exit(missed === 0 ? 0 : 1);
