/** The pictures of the pages show what the programs print today. `deno task pictures` renews them. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { comparable, PICTURES } from "../support/pictures.ts";

describe("the picture", requires("tmux"), () => {
  for (const [name, draw] of Object.entries(PICTURES)) {
    it(`${name} is current`, async () => {
      const file = new URL(`../../docs/pictures/${name}.svg`, import.meta.url);
      assertEquals(comparable(await draw()), comparable(await Deno.readTextFile(file)));
    });
  }
});
