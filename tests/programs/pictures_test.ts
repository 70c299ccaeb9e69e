/** The pictures of the pages show what the programs print today. `deno task pictures` renews them. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { comparable, PICTURES } from "../support/pictures.ts";

/** What a picture shows beside what is compared: figures that are the same in every run. */
const SHOWN: Readonly<Record<string, string>> = {
  outage: "120 sent, 114 answered, 6 lost (5 %)",
};

describe("the picture", requires("tmux"), () => {
  for (const [name, draw] of Object.entries(PICTURES)) {
    it(`${name} is current`, async () => {
      const file = new URL(`../../docs/pictures/${name}.svg`, import.meta.url);
      const drawn = await draw();
      assertEquals(comparable(drawn), comparable(await Deno.readTextFile(file)));
      assertStringIncludes(drawn, SHOWN[name] ?? "");
    });
  }
});
