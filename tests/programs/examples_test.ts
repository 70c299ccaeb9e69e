/**
 * The examples of the doc comments and of the pages run without an error, and leave nothing open. All
 * in one process: `deno test --doc` starts each in a module of its own, which costs 0.1 s.
 */

import { afterEach, describe, it } from "@std/testing/bdd";
import { setTimeLimit } from "../../lib/testing/mod.ts";
import { type Example, examples } from "../support/examples.ts";

const root = new URL("../../", import.meta.url);

async function run({ path, code }: Example): Promise<void> {
  const file = await Deno.makeTempFile({ prefix: "readback-example-", suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      file,
      code.replaceAll(/(?<= from ")\.[^"]*/g, (name) => new URL(name, new URL(path, root)).href),
    );
    await import(`file://${file}`);
  } finally {
    await Deno.remove(file);
  }
}

/** Such an example registers itself. */
const isTest = ({ code }: Example) => code.includes("Deno.test(");

for (const example of examples.filter(isTest)) await run(example);

describe("the example", () => {
  afterEach(() => setTimeLimit(20_000)); // one of them sets it

  for (const [at, example] of examples.entries()) {
    if (!isTest(example)) it(`${at + 1}, of ${example.path}`, () => run(example));
  }
});
