/** What is left of a server, a command or their parent that is killed: nothing that runs. */

import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { commandsEnd, killed, killedEarly, parentKilled } from "../battery/leftovers.ts";

describe("nothing is left running", requires("sh", "pgrep", "python3", "linux"), () => {
  it("when a command has ended", async () => void await commandsEnd(1));
  it("when the server is killed", async () => void await killed("server", 1));
  it("when the command is killed", async () => void await killed("command", 1));
  it("when the server is killed while it starts", async () => void await killedEarly(2));
  it("when the parent of a server with --until-eof is killed", async () =>
    void await parentKilled(1));
});
