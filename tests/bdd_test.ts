/** The tests' own limits. */

import { assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Program } from "@readback/readback/testing";

describe("a test that hangs", () => {
  it("fails in its limit; the others run", async () => {
    const folder = await Deno.makeTempDir({ prefix: "readback-limit-" });
    try {
      const file = `${folder}/hanging_test.ts`;
      await Deno.writeTextFile(
        file,
        `import { describe, it } from "${import.meta.resolve("./bdd.ts")}";
        describe("all", () => {
          it("hangs", () => new Promise(() => {}));
          it("is well", () => {});
        });`,
      );
      const command = [Deno.execPath(), "test", "--no-check", "--allow-env", file];
      await using test = new Program(command, { env: { TEST_LIMIT: "100" } });
      await test.ends(1);
      assertMatch(test.stdout, /hangs \.\.\. FAILED.*\n *is well \.\.\. ok/);
      assertMatch(test.stdout, /test timed out after 100ms/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
});
