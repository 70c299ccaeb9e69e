/** The systemd unit in deploy/, as systemd sees it. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program } from "../../lib/testing/readback.ts";
import { replaced } from "../support/pages.ts";

const unit = await Deno.readTextFile(new URL("readback.service", import.meta.url));
const PROGRAM = "/usr/local/bin/readback-server";

/** Has systemd look at the unit, its program being one that is there. */
async function analyze(...args: string[]): Promise<Program> {
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/readback.service`;
    await Deno.writeTextFile(file, replaced(unit, { [PROGRAM]: Deno.execPath() }));
    await using systemd = new Program(["systemd-analyze", ...args, file]);
    await systemd.ends(0);
    return systemd;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

describe("systemd unit", () => {
  it("is verified without a word", requires("systemd-analyze"), async () => {
    const { stdout, stderr } = await analyze("verify", "--man=no");
    assertEquals([stdout, stderr], ["", ""]); // a key that it doesn't know is a mere warning
  });

  it("exposes little", requires("systemd-analyze"), async () => {
    await analyze("security", "--offline=yes", "--threshold=20"); // 2.0 of 10
  });

  it("gives the server options that it takes", async () => {
    const [, line = ""] = new RegExp(`^ExecStart=${PROGRAM} (.*)$`, "m").exec(unit) ?? [];
    const args = line.replace("10.0.0.11", "127.0.0.1").split(" ");
    await using server = new Program([...program("server", args), "--port", "0", ...args]);
    await server.until("listening on 127.0.0.1:");
  });

  it("lets the server stop by itself before it is killed", async () => {
    const [, timeout] = /^TimeoutStopSec=(\d+)s$/m.exec(unit) ?? [];
    const [, drain] = /--drain (\d+)s/.exec(unit) ?? [];
    await using help = new Program([...program("server"), "--help"]);
    const [, grace] = await help.until(/--grace DUR [^]*?\((\d+)s[;)]/);
    assertEquals(Number(timeout) > Number(drain) + Number(grace), true);
  });
});
