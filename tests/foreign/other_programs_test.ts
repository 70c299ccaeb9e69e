/**
 * Programs that are not ours, tested with the harness as somebody else would: by the package's
 * name, each test in ten lines or fewer.
 */

import { after, before, describe, it } from "@std/testing/bdd";
import {
  Program,
  Proxy,
  type ProxyFaults,
  requires,
  Screen,
  type ServerProgram,
  startServer,
} from "@readback/readback/testing";

const cwd = new URL(".", import.meta.url);

describe("a Python program that asks questions", requires("python3"), () => {
  it("asks again for what is no number, and says so on standard error", async () => {
    await using ask = new Program(["python3", "ask.py"], { cwd });
    await ask.until("your name? ");
    await ask.type("Ada\n");
    await ask.until("your age? ");
    await ask.type("many\n");
    await ask.untilError("'many' is no number");
    await ask.type("36\n");
    await ask.until("Ada will be 37\n");
    await ask.ends(0);
  });

  it("ends with 1 when there is no answer", async () => {
    await using ask = new Program(["python3", "ask.py"], { cwd });
    await ask.endInput();
    await ask.untilError("EOFError");
    await ask.ends(1);
  });
});

describe("calculators and databases at their prompt", requires("tmux"), () => {
  it("bc says what it can't do, and goes on", requires("bc"), async () => {
    await using screen = await Screen.open(["bc", "--quiet"]);
    await screen.type("1/0\n");
    await screen.shows(/divi.*zero/i);
    await screen.type("6*7\n");
    await screen.shows(/^42$/m);
    await screen.press("C-d");
    await screen.ends(0);
  });

  it("sqlite3 waits for the rest of a statement", requires("sqlite3"), async () => {
    await using screen = await Screen.open(["sqlite3", "-batch", "-interactive"]);
    await screen.shows("sqlite> ");
    await screen.type("select 6 *\n");
    await screen.shows("   ...> ");
    await screen.type("7;");
    await screen.press("Enter");
    await screen.shows(/^42$/m);
    await screen.type(".quit\n");
    await screen.ends(0);
  });
});

describe("a TCP client in Python", requires("python3"), () => {
  let server: ServerProgram;
  before(async () => void (server = await startServer()));
  after(() => server.close());

  /** The client, that says two messages to a server behind a network with these faults. */
  async function through(
    faults: ProxyFaults,
    done: (client: Program) => Promise<void>,
  ): Promise<void> {
    await using proxy = await Proxy.start(server, faults);
    await using client = new Program(["python3", "client.py", `${proxy.port}`, "a", "b"], { cwd });
    await done(client);
  }

  it("puts together what comes in pieces, and late", () =>
    through({ up: "slice=1", down: "delay=20ms,slice=1" }, async (client) => {
      await client.until(/^\[a\] .{24}\n\[b\] .{24}\n$/);
      await client.ends(0);
    }));

  for (
    const [what, fault, words] of [
      ["is cut off", "cut=10", "cut off after 10 bytes"],
      ["is reset", "reset=10", "Connection reset by peer"],
      ["never comes", "stall", "timed out"],
    ] as const
  ) {
    it(`says so when the reply ${what}`, () =>
      through({ down: fault }, async (client) => {
        await client.untilError(words);
        await client.ends(1);
      }));
  }
});
