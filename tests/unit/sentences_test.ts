/** The sentences on standard error. */

import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { complain, errors } from "../../lib/cli/program.ts";

/** What is printed where standard error is a terminal or not, and colours are wanted or not. */
function printed(isTerminal: boolean, noColor: boolean): string[] {
  const lines: string[] = [];
  const own = {
    line: errors.line,
    isTerminal: Deno.stderr.isTerminal,
    noColor: Object.getOwnPropertyDescriptor(Deno, "noColor"),
  };
  errors.line = (text) => void lines.push(text);
  Deno.stderr.isTerminal = () => isTerminal;
  Object.defineProperty(Deno, "noColor", { configurable: true, get: () => noColor });
  try {
    complain("client", "no reply: \x1b[2J");
  } finally {
    errors.line = own.line;
    Deno.stderr.isTerminal = own.isTerminal;
    if (own.noColor) Object.defineProperty(Deno, "noColor", own.noColor);
  }
  return lines;
}

it("a program's name is red on a terminal, unless NO_COLOR is set; a peer's words are escaped", () => {
  const plain = ["client: no reply: \\x1b[2J"];
  assertEquals(printed(true, false), ["\x1b[31mclient:\x1b[0m no reply: \\x1b[2J"]);
  assertEquals(printed(true, true), plain);
  assertEquals(printed(false, false), plain);
  assertEquals(printed(false, true), plain);
});
