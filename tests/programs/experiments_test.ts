/** The experiments of docs/learn.md happen as the page shows them. */

import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { comparable, experimentsIn, run } from "../support/experiments.ts";
import { pages } from "../support/pages.ts";

const learn = pages.find(({ path }) => path === "docs/learn.md");
assert(learn);

describe("docs/learn.md", requires("python3", "signals"), () => {
  for (const experiment of experimentsIn(learn)) {
    it(experiment.title, async () => {
      assertEquals(comparable(await run(experiment)), comparable(experiment.output));
    });
  }
});
