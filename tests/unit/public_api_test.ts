/** What the library offers: few names, each documented, with an example that examples_test.ts runs. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Program } from "../../lib/testing/program.ts";

interface Symbol {
  readonly name: string;
  readonly declarations: readonly { readonly jsDoc?: { readonly doc?: string } }[];
}

describe("the library's public names", () => {
  it("are at most 48, and each has an example", async () => {
    await using program = new Program([Deno.execPath(), "doc", "--json", "lib/mod.ts"]);
    await program.ends(0);
    const { nodes } = JSON.parse(program.stdout) as {
      nodes: Record<string, { symbols: Symbol[] }>;
    };
    const symbols = Object.values(nodes).flatMap(({ symbols }) => symbols);
    const docOf = ({ declarations }: Symbol) => declarations.map(({ jsDoc }) => jsDoc?.doc).join();
    const bare = symbols.filter((symbol) => !docOf(symbol).includes("```ts"));
    assertEquals(bare.map(({ name }) => name), []);
    assertEquals([symbols.length > 20, symbols.length <= 48], [true, true]);
  });
});
