/** The README's option tables say what the programs' help says. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Program, program } from "./processes.ts";

const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));

/** The rows of the table in a section, as help prints them: option, meaning, default. */
function rowsOf(section: string): string[] {
  const [, text = ""] = readme.split(`\n## ${section}\n`);
  const [table = ""] = text.split("\n## ");
  return [...table.matchAll(/^\| `(.*?)` +\| (.*?) +\| (.*?) *\|$/gm)]
    .map(([, option = "", meaning, fallback]) =>
      `${option.replaceAll("\\|", "|")} ${meaning}${fallback ? ` (${fallback})` : ""}`
    );
}

describe("README", () => {
  for (const [section, name] of [["The server", "server"], ["The client", "client"]] as const) {
    it(`has ${name}.ts's options as --help has them`, async () => {
      await using help = new Program([...program(name), "--help"]);
      await help.ends(0);
      const [, ...options] = help.stdout.trim().split("\n").filter((line) => line !== "");
      assertEquals(rowsOf(section), options.map((line) => line.trim().replace(/ {2,}/, " ")));
    });
  }
});
