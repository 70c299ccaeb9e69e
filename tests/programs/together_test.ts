/** The two programs together, once: the quick look that `deno task quick` takes at them. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { startClient, startServer } from "../../lib/testing/readback.ts";
import { unstamped } from "../support/replies.ts";

describe("the server and the client", () => {
  it("have a conversation, and both print its transcript", async () => {
    await using server = await startServer();
    await using client = startClient(["--port", server.port]);
    await client.type("i am binary\n\n");
    await client.ends(0);
    assertEquals(
      unstamped(client.stdout),
      ">>:i am binary\nClient received data: [i am binary] STAMP\n>>:\n",
    );
    await server.until('Server received data: "i am binary" from 127.0.0.1');
  });
});
