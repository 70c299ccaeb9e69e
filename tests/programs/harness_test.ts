/** The harness itself: what a wait does when it can't succeed, and how programs are started. */

import { assertEquals, assertLess, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { shortened } from "../../lib/testing/time_limit.ts";
import {
  FakeServer,
  latency,
  Program,
  Proxy,
  requires,
  Screen,
  setTimeLimit,
  startClient,
  startServer,
  type Talk,
  Wire,
} from "@readback/readback/testing";
import { npmSettings } from "../support/npm_settings.ts";
import { denoOnly } from "../support/runtime.ts";

const sh = (script: string, ...options: ConstructorParameters<typeof Program>[1][]) =>
  new Program(["sh", "-c", script], ...options);

/** What a wait that fails says; it must not take as long as its patience. */
async function failure(wait: Promise<unknown>, most = 10_000): Promise<string> {
  const begin = performance.now();
  const { message } = await assertRejects(() => wait, Error);
  const took = performance.now() - begin;
  assertEquals(took < most, true, `it took ${took} ms to say:\n${message}`);
  return message;
}

describe("a program", requires("linux"), () => {
  it("that has ended fails a wait at once, in the words of the test", async () => {
    await using program = sh("echo hello; echo oh >&2; exit 3");
    assertEquals(
      await failure(program.until("your name? ")),
      "sh -c echo hello; echo oh >&2; exit 3: " +
        'has ended with exit code 3 and never said "your name? " on standard output\n' +
        "--- stdout\nhello\n\n--- stderr\noh\n\n---",
    );
    assertMatch(
      await failure(program.untilError(/n[o]/i)),
      / never said \/n\[o\]\/i on standard e/,
    );
    assertMatch(await failure(program.ends(0)), /has ended with exit code 3, not 0\n/);
  });

  it("that has closed its output fails a wait at once", async () => {
    await using program = sh("exec >&-; read line");
    assertMatch(await failure(program.until("x")), /: has closed standard output and never said/);
  });

  it("that says other words all the time fails a wait in its patience", async () => {
    await using program = sh("while sleep 0.01; do echo again; done");
    const message = await failure(program.until("done", { timeout: 200 }));
    assertMatch(message, /: has not said "done" on standard output in 200 ms\n/);
    assertMatch(await failure(program.ends(0, { timeout: 50 })), /: has not ended in 50 ms\n/);
  });

  it("that never stops talking is not kept whole, and what is waited for is found", async () => {
    const talk = "head -c 70000000 /dev/zero | tr '\\0' a";
    await using program = sh(`echo begin; read line; ${talk}; echo end`);
    await program.until("begin\n");
    await program.type("\n");
    await program.ends(0);
    await program.until("end\n");
    assertLess(program.stdout.length, 64 << 20);
    assertEquals([program.stdout.slice(0, 5), program.stdout.slice(-5)], ["aaaaa", "aend\n"]);
  });

  it("shows the line of the test whose wait took too long", async () => {
    await using program = sh("read line");
    const { stack } = await assertRejects(() => program.until("x", { timeout: 50 }), Error);
    assertMatch(stack ?? "", /\/harness_test\.ts:\d+:\d+/);
  });

  it("is as patient as is set for all", async () => {
    await using program = sh("read line");
    setTimeLimit(50);
    try {
      assertMatch(await failure(program.until("x")), / in 50 ms\n/);
    } finally {
      setTimeLimit(20_000);
    }
    assertThrows(
      () => setTimeLimit(NaN),
      RangeError,
      "patience must be a time in ms, 0 to 2147483647, not NaN",
    );
  });

  it("that no longer reads is not typed at in silence", async () => {
    await using program = sh("exit 4");
    await program.ends(4);
    const message = await failure(program.type("x".repeat(1_000_000)));
    assertMatch(message, /has ended with exit code 4 before all was typed/);
  });

  it("runs where the test does, or in the folder that is named", async () => {
    for (const cwd of [undefined, "/", new URL("file:///")]) {
      await using program = sh("pwd", cwd === undefined ? {} : { cwd });
      await program.ends(0);
      assertEquals(program.stdout, `${cwd === undefined ? Deno.cwd() : "/"}\n`);
    }
  });

  it("is told no secrets with clearEnv, but where programs are", async () => {
    Deno.env.set("READBACK_SECRET", "x");
    try {
      await using open = sh("env");
      await open.until("READBACK_SECRET=x\n");
      await using program = sh("env", { clearEnv: true, env: { OWN: "1" } });
      await program.ends(0);
      const names = program.stdout.trimEnd().split("\n").map((line) => line.split("=")[0]);
      assertEquals(names.filter((name) => !/^(_|PWD|SHLVL)$/.test(`${name}`)).sort(), [
        "NO_COLOR",
        "OWN",
        "PATH",
      ]);
    } finally {
      Deno.env.delete("READBACK_SECRET");
    }
  });

  it("can be waited on together with others, and whichever comes first", async () => {
    await using one = sh("echo out; read line; echo late");
    await using other = sh("echo err >&2");
    await Promise.all([one.until("out"), other.untilError("err")]);
    const late = one.until("late").then(() => "one");
    assertEquals(await Promise.race([late, other.exitCode()]), 0);
    await one.type("\n");
    assertEquals(await late, "one");
  });

  it("is let go of with the block, though what it started holds its output", async () => {
    const program = sh("sleep 60 & echo $!");
    const [pid] = await program.until(/\d+/);
    try {
      assertMatch(await failure(program.ends(0, { timeout: 50 })), /something holds its output/);
      await program[Symbol.asyncDispose]();
    } finally {
      Deno.kill(Number(pid), "SIGKILL");
    }
  });

  it("gets signals", async () => {
    await using program = sh(
      "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.01; done",
    );
    await program.until("ready");
    program.signal("SIGUSR1");
    await program.until("caught");
    await program.ends(5);
  });
});

// What is left running at a test's end is a failure under Deno.test, and of no interest to node:test.
Deno.test(
  "nothing is left of programs, wires and servers, nor of waits that fail",
  requires("sh"),
  async () => {
    await using program = sh("echo hello");
    await assertRejects(() => program.until("your name? "), Error, "has ended with exit code 0");
    await using other = sh("read line");
    await assertRejects(() => other.until("x", { timeout: 10 }), Error, "in 10 ms");

    const silent: Talk = async (conn) => void await conn.read(new Uint8Array(10));
    await using server = FakeServer.start(silent, { keepOpen: true });
    await using proxy = await Proxy.start(server.port, { up: [latency(1)] });
    using wire = await Wire.dial(proxy.port);
    await wire.send("hello");
    await assertRejects(() => wire.until("x", { timeout: 10 }), Error, "in 10 ms");
  },
);

describe("a screen", requires("tmux"), () => {
  it("of a program that has ended fails a wait at once, and shows itself", async () => {
    await using screen = await Screen.open(["sh", "-c", "echo exit code 0; exit 3"]);
    assertEquals(
      await failure(screen.shows("your name? ")),
      "sh -c echo exit code 0; exit 3: " +
        'has ended with exit code 3 and never showed "your name? "\n--- screen\nexit code 0\n---',
    );
    assertMatch(await failure(screen.ends(0)), /has ended with exit code 3, not 0\n/);
  });

  it("is looked at no longer than its patience", async () => {
    await using screen = await Screen.open(["cat"]);
    assertMatch(
      await failure(screen.shows(/b/, { timeout: 50 })),
      /has not shown \/b\/ in 50 ms\n/,
    );
  });

  it("shows words with the blanks at their end, and without", async () => {
    await using screen = await Screen.open(["sh", "-c", "printf 'a\\nname? '; read line"]);
    assertEquals(await screen.shows("name? "), "a\nname?");
    assertEquals(await screen.shows(/name\?$/), "a\nname?");
  });

  it("types what tmux would take for a command's end", async () => {
    await using screen = await Screen.open(["sh", "-c", "read line; echo [$line]"]);
    await screen.type(";");
    await screen.press("Enter");
    await screen.shows("[;]");
    await screen.ends(0);
  });

  it("tells of a program that leaves the terminal changed", async () => {
    await using screen = await Screen.open(["stty", "-echo"]);
    assertMatch(await failure(screen.ends(0)), /has not left the terminal's settings as they were/);
  });

  it("is in the folder that is named", async () => {
    await using screen = await Screen.open(["pwd"], { cwd: "/" });
    assertEquals(await screen.ends(0), "/");
  });

  it("says what tmux has against it", async () => {
    const opening = () => Screen.open(["cat"], { columns: 0 });
    await assertRejects(opening, Error, "-- sh -c ", "tmux new-session");
    await assertRejects(opening, Error, "width");
  });

  it("says what to install where tmux is not", denoOnly, async () => {
    const module = import.meta.resolve("../../lib/testing/mod.ts");
    const script = `import { Screen } from "${module}"; await Screen.open(["cat"]);`;
    await using test = new Program([Deno.execPath(), "eval", script], { env: { PATH: "/" } });
    await test.untilError(
      "Error: Screen needs tmux, which is not on PATH: install the package tmux",
    );
    await test.ends(1);
  });
});

describe("what is too long to read", () => {
  it("is shown without its middle", () => {
    assertEquals(shortened("abcdefghij", 4), "ab\n... 6 characters ...\nij");
    assertEquals(shortened("abcd", 4), "abcd");
  });
});

describe("needs", denoOnly, () => {
  for (
    const [what, env, skip] of [
      ["that is there", {}, "false"],
      ["that is not there", { PATH: "/" }, "cat is not installed"],
    ] as const
  ) {
    it(`a program ${what}`, requires("signals"), async () => { // it is requires that is tried
      const module = import.meta.resolve("../../lib/testing/mod.ts");
      const script = `import { requires } from "${module}"; console.log(requires("cat").skip);`;
      const command = [Deno.execPath(), "eval", script];
      await using test = new Program(command, { env: { CI: "", ...env } });
      await test.ends(0);
      assertEquals(test.stdout, `${skip}\n`);
    });
  }
});

describe("a wire", () => {
  it("fails at once at end-of-file, and shows what came instead", async () => {
    await using server = FakeServer.start((conn) => conn.write(new Uint8Array([97, 255])).then());
    using wire = await Wire.dial(server.port);
    assertEquals(
      await failure(wire.until("b\n")),
      '"b\\n" has not come before the end: "aÿ"',
    );
  });

  it("fails in its patience, and shows what came instead", async () => {
    await using server = FakeServer.start((conn) => conn.write(new Uint8Array([97])).then(), {
      keepOpen: true,
    });
    using wire = await Wire.dial(server.port);
    assertEquals(
      await failure(wire.until(/b/, { timeout: 200 })),
      '/b/ has not come in 200 ms: "a"',
    );
  });
});

describe("readback's own two", () => {
  it("start in any folder, with nothing of the test's environment", requires("linux"), async () => {
    const options = { cwd: "/", clearEnv: true, env: { HOME: Deno.env.get("HOME") ?? "/" } };
    await using server = await startServer([], options);
    await using client = startClient(["-p", server.port, "-m", "hello"], options);
    await client.until(/\[hello\] .{24}\n/);
    await client.ends(0);
  });

  it("start from where the package was imported: a URL, in an empty folder", denoOnly, async () => {
    const root = new URL("../..", import.meta.url);
    await using files = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      ({ url }) => {
        const { pathname } = new URL(url);
        const file = pathname === "/deno.json"
          ? npmSettings()
          : Deno.readFile(new URL(`.${pathname}`, root));
        return file.then(
          (body) => new Response(body),
          () => new Response(null, { status: 404 }),
        );
      },
    );
    const url = `http://127.0.0.1:${files.addr.port}/lib/testing/mod.ts`;
    const script = `import { startClient, startServer } from "${url}";
      await using server = await startServer();
      await using client = startClient(["-p", server.port, "-m", "hello"]);
      await client.until("[hello] ");
      await client.ends(0);
      console.log("talked to", server.command.find((word) => word.endsWith("/server.ts")));`;
    const cwd = await Deno.makeTempDir({ prefix: "readback-remote-" });
    try {
      // What is downloaded goes to a cache of its own; packages come from the one that is there.
      await using info = new Program([Deno.execPath(), "info", "--json"]);
      await info.ends(0);
      await Deno.symlink(JSON.parse(info.stdout).npmCache, `${cwd}/npm`);
      await Deno.writeTextFile(`${cwd}/main.ts`, script);
      const rights = ["--allow-run", "--allow-net", "--allow-import"];
      const command = [Deno.execPath(), "run", "--no-prompt", ...rights, "main.ts"];
      await using test = new Program(command, { cwd, env: { DENO_DIR: cwd } });
      await test.ends(0);
      assertEquals(test.stdout, `talked to http://127.0.0.1:${files.addr.port}/server.ts\n`);
    } finally {
      await Deno.remove(cwd, { recursive: true });
    }
  });

  it("say at once why the server could not start", async () => {
    const message = await failure(startServer(["--framing", "lines"]));
    assertMatch(message, /has ended with exit code 2 and .*\n[^]*--framing "lines"/);
  });
});
