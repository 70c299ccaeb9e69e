// deno-lint-ignore-file no-console -- a program of its own
/** Tries 1,024 times in vain to serve where it serves already; says how many tries failed for that reason. */

import { serve } from "../../lib/mod.ts";

await using server = serve(() => {});
const { port } = server.addr as Deno.NetAddr;
let refused = 0;
for (let attempt = 0; attempt < 1024; attempt++) {
  try {
    serve(() => {}, { port });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) refused++;
    else throw error;
  }
}
console.log(`refused ${refused}`);
