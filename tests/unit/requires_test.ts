/** Requirements of tests. */

import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";

it("a test that requires nothing, or what is there, is not skipped", () => {
  assertEquals(requires(), { skip: false, ignore: false });
  if (Deno.build.os === "windows") return;
  assertEquals(requires("signals", "unix sockets"), { skip: false, ignore: false });
});
