import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { UsageError } from "../../lib/cli/options.ts";
import { checkRuntime } from "../../lib/cli/program.ts";

describe("checkRuntime", () => {
  for (const version of ["2.4.0", "2.4.5", "2.9.6", "2.10.0", "3.0.0", "2.4.0-rc.1+ab12cd3"]) {
    it(`takes ${version}`, () => checkRuntime(version));
  }

  for (const version of ["2.3.7", "2.0.0", "1.46.3", "1.5.0"]) {
    it(`refuses ${version}, in a sentence`, () => {
      const { message } = assertThrows(() => checkRuntime(version), UsageError);
      assertEquals(message, `cannot run on Deno ${version}: it must be 2.4.0 or newer`);
    });
  }

  it("takes the one that runs this", () => checkRuntime());
});
