/** Requirements of tests. */

import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { requires, variable } from "../../lib/testing/requires.ts";

it("a test that requires nothing, or what is there, is not skipped", () => {
  assertEquals(requires(), { skip: false, ignore: false });
  if (Deno.build.os === "windows") return;
  assertEquals(requires("signals", "unix sockets"), { skip: false, ignore: false });
});

it("a variable of the environment is read where that is allowed", () => {
  assertEquals(variable("PATH"), Deno.env.get("PATH"));
  const { querySync } = Deno.permissions;
  Deno.permissions.querySync = () => ({ state: "prompt" }) as Deno.PermissionStatus;
  try {
    assertEquals(variable("PATH"), undefined);
  } finally {
    Deno.permissions.querySync = querySync;
  }
});
