/** The experiments of docs/learn.md happen as the page shows them. */

import { assert, assertEquals, fail } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { comparable, experimentsIn, type Output, run } from "../support/experiments.ts";
import { pages } from "../support/pages.ts";

const learn = pages.find(({ path }) => path === "docs/learn.md");
assert(learn);

/** Those that start the same server share it. */
const groups = Map.groupBy(experimentsIn(learn), ({ args }) => args.join(" "));

describe("docs/learn.md", requires("python3", "signals"), () => {
  for (const group of groups.values()) {
    let running: Promise<Output[]> | undefined;
    for (const [at, { title, output }] of group.entries()) {
      it(title, async () => {
        const outputs = await (running ??= run(group));
        assertEquals(comparable(outputs[at] ?? fail()), comparable(output));
      });
    }
  }
});
