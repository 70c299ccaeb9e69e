/** The harness itself: what a wait does when it can't succeed, and how programs are started. */

import { assertEquals, assertLess, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { listen, readback, serve } from "@readback/readback";
import { shortened } from "../../lib/testing/time_limit.ts";
import { latin1 } from "../../lib/testing/wire.ts";
import {
  type ConnHandler,
  FakeServer,
  Program,
  Proxy,
  requires,
  Screen,
  setTimeLimit,
  startClient,
  startServer,
  Wire,
} from "@readback/readback/testing";
import { npmSettings } from "../support/npm_settings.ts";
import { denoOnly } from "../support/runtime.ts";
import { sleep } from "../../lib/wait.ts";

/** Handles Ctrl-C by ending itself as by the signal. */
const PYTHON = `import time
try: print("go", flush=True); time.sleep(60)
except KeyboardInterrupt: print("bye"); raise`;
/** Connects and resets, a few times. */
const RESETS = `import socket, struct, sys
for _ in range(9):
    peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()`;
/** Takes the first Ctrl-C for a key. */
const RAW = `process.stdin.setRawMode(true).once("data", () => {
  process.stdin.setRawMode(false);
  console.log("got it");
});
console.log("go");`;

const sh = (script: string, ...options: ConstructorParameters<typeof Program>[1][]) =>
  new Program(["sh", "-c", script], ...options);

/** Returns the error's message of a wait that fails before its time limit. */
async function failure(wait: Promise<unknown>, most = 10_000): Promise<string> {
  const begin = performance.now();
  const { message } = await assertRejects(() => wait, Error);
  const took = performance.now() - begin;
  assertEquals(took < most, true, `it took ${took} ms to say:\n${message}`);
  return message;
}

describe("a program", requires("linux"), () => {
  it("that has ended fails a wait at once, and shows its output", async () => {
    await using program = sh("echo hello; echo oh >&2; exit 3");
    assertEquals(
      await failure(program.until("your name? ")),
      "sh -c echo hello; echo oh >&2; exit 3: " +
        'has ended with exit code 3 and never printed "your name? " on standard output\n' +
        "--- stdout\nhello\n\n--- stderr\noh\n\n---",
    );
    assertMatch(
      await failure(program.untilError(/n[o]/i)),
      / never printed \/n\[o\]\/i on standard e/,
    );
    assertMatch(await failure(program.ends(0)), /has ended with exit code 3, not 0\n/);
  });

  it("that has closed its output fails a wait at once", async () => {
    await using program = sh("exec >&-; read line");
    assertMatch(
      await failure(program.until("x")),
      /: has closed standard output and never printed/,
    );
  });

  it("that prints other words all the time fails a wait at its time limit", async () => {
    await using program = sh("while sleep 0.01; do echo again; done");
    const message = await failure(program.until("done", { timeout: 200 }));
    assertMatch(message, /: has not printed "done" on standard output in 200 ms\n/);
    assertMatch(await failure(program.ends(0, { timeout: 50 })), /: has not ended in 50 ms\n/);
  });

  it("shows the line of the test whose wait took too long, by the limit that is set for all", async () => {
    await using program = sh("read line");
    const { stack } = await assertRejects(() => program.until("x", { timeout: 50 }), Error);
    assertMatch(stack ?? "", /\/harness_test\.ts:\d+:\d+/);
    setTimeLimit(50);
    try {
      assertMatch(await failure(program.until("x")), / in 50 ms\n/);
    } finally {
      setTimeLimit(20_000);
    }
    assertThrows(
      () => setTimeLimit(NaN),
      RangeError,
      "milliseconds must be a time in ms, 0 to 2147483647, not NaN",
    );
  });

  it("that no longer reads fails a write", async () => {
    await using program = sh("exit 4");
    await program.ends(4);
    const message = await failure(program.type("x".repeat(1_000_000)));
    assertMatch(message, /has ended with exit code 4 before everything was typed/);
  });

  it("that never reads fails a write at its time limit, and is disposed of all the same", async () => {
    const program = sh("sleep 60 <&0 & echo $!; wait");
    const [pid] = await program.until(/\d+/);
    try {
      const message = await failure(program.type("x".repeat(1_000_000), { timeout: 50 }));
      assertMatch(message, /: has not read its input in 50 ms\n/);
      assertMatch(await failure(program.endInput({ timeout: 50 })), /read its input in 50 ms\n/);
      const begin = performance.now();
      await program[Symbol.asyncDispose](); // the other process holds the input open
      assertLess(performance.now() - begin, 5_000);
    } finally {
      Deno.kill(Number(pid), "SIGKILL");
    }
  });

  it("shows a byte order mark, a character that comes in two writes, and half of one at the end", async () => {
    await using program = sh("printf '\\357\\273\\277h\\303'; read line; printf '\\251!\\303'");
    await program.until("\ufeffh");
    await program.type("\n");
    await program.until("é!");
    await program.ends(0);
    assertEquals(program.stdout, "\ufeffhé!\ufffd");
  });

  it("runs where the test does, or in the folder that is named", async () => {
    for (const cwd of [undefined, "/", new URL("file:///")]) {
      await using program = sh("pwd", cwd === undefined ? {} : { cwd });
      await program.ends(0);
      assertEquals(program.stdout, `${cwd === undefined ? Deno.cwd() : "/"}\n`);
    }
  });

  it("gets nothing but PATH of the environment with clearEnv", async () => {
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

  it("ends with the block, though a process that it started holds its output", async () => {
    const program = sh("sleep 60 & echo $!");
    const [pid] = await program.until(/\d+/);
    try {
      assertMatch(
        await failure(program.ends(0, { timeout: 50 })),
        /a process still holds its output open in 50 ms/,
      );
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
  "nothing is left of programs, wires and servers, nor of failed waits",
  requires("sh"),
  async () => {
    await using program = sh("echo hello");
    await assertRejects(() => program.until("your name? "), Error, "has ended with exit code 0");
    await using other = sh("read line");
    await assertRejects(() => other.until("x", { timeout: 10 }), Error, "in 10 ms");

    const silent: ConnHandler = async (conn) => void await conn.read(new Uint8Array(10));
    await using server = FakeServer.start(silent, { keepOpen: true });
    await using proxy = await Proxy.start(server, { up: "delay=1ms" });
    using wire = await Wire.dial(proxy.port);
    await wire.send("hello");
    await assertRejects(() => wire.until("x", { timeout: 10 }), Error, "in 10 ms");
  },
);

describe("a screen", requires("tmux"), () => {
  it("of a program that has ended fails a wait at once, and is shown", async () => {
    await using screen = await Screen.open(["sh", "-c", "echo exit code 0; exit 3"]);
    assertEquals(
      await failure(screen.shows("your name? ")),
      "sh -c echo exit code 0; exit 3: " +
        'has ended with exit code 3 and never showed "your name? "\n--- screen\nexit code 0\n---',
    );
    assertMatch(await failure(screen.ends(0)), /has ended with exit code 3, not 0\n/);
  });

  it("fails a wait at its time limit; shows words with the blanks at their end, and without", async () => {
    await using screen = await Screen.open([
      "sh",
      "-c",
      "printf 'a\\nname? '; read line; echo [$line]",
    ]);
    assertEquals(await screen.shows("name? "), "a\nname?");
    assertEquals(await screen.shows(/name\?$/), "a\nname?");
    assertMatch(
      await failure(screen.shows(/b/, { timeout: 50 })),
      /has not shown \/b\/ in 50 ms\n/,
    );
    await screen.type(";"); // what tmux would take for the end of a command
    await screen.press("Enter");
    await screen.shows("[;]");
    await screen.ends(0);
    assertEquals(await screen.history(), "");
  });

  it("reports a program that leaves the terminal changed", async () => {
    await using screen = await Screen.open(["stty", "-echo"]);
    assertMatch(await failure(screen.ends(0)), /has not left the terminal's settings as they were/);
  });

  it("runs its program in the directory that is named, which must exist", async () => {
    await using screen = await Screen.open(["pwd"], { cwd: new URL("file:///") });
    assertEquals(await screen.ends(0), "/");
    const opening = () => Screen.open(["pwd"], { cwd: "/no/such" });
    await assertRejects(opening, Deno.errors.NotFound, "/no/such");
  });

  it("gives its program the environment, TERM too, and quotes nothing wrongly", async () => {
    const odd = `it's "$HOME" \\ #{x} ; é`;
    const env = { TERM: "dumb", ODD: odd };
    const print = ["sh", "-c", 'echo "$PWD $TERM $ODD $1"', "sh", odd];
    await using screen = await Screen.open(print, { env, cwd: "/" });
    assertEquals(await screen.ends(0), `/ dumb ${odd} ${odd}`);
    await using other = await Screen.open(["sh", "-c", 'echo "$TERM [$NO_COLOR]"; cat']);
    await other.shows("screen-256color []");
    await other.type(odd);
    await other.press("Enter", "C-d");
    assertEquals(await other.ends(0), `screen-256color []\n${odd}\n${odd}`);
    assertMatch(await failure(other.type("\0")), /a NUL can't be typed: press/);
  });

  for (
    const [what, command, key, code] of [
      ["sleep", ["sh", "-c", "echo go; exec sleep 60"], "C-c", 130],
      ["sleep", ["sh", "-c", "echo go; exec sleep 60"], "C-\\", 131],
      [
        "bash with a trap",
        ["bash", "-c", "trap 'exit 3' INT; echo go; while :; do sleep 0.1; done"],
        "C-c",
        3,
      ],
      ["python3", ["python3", "-c", PYTHON], "C-c", 130],
      ["node, once it no longer reads raw", ["node", "-e", RAW], "C-c", 130],
    ] as const
  ) {
    it(
      `stays when ${key} ends its program: ${what}, ${code}`,
      requires(`${command[0]}`),
      async () => {
        await using screen = await Screen.open([...command]);
        await screen.shows("go");
        if (what.startsWith("node")) {
          await screen.press(key);
          await screen.shows("got it");
        }
        await screen.press(key);
        const shown = await screen.ends(code);
        assertEquals(/Quit|Killed|dumped/.test(shown), false, shown);
        await screen.press("C-c", "C-\\", "C-d", "C-z");
        await sleep(50);
        assertEquals((await screen.text()).slice(0, shown.length), shown);
        await screen.ends(code);
      },
    );
  }

  it("takes long texts, typed and pasted", async () => {
    const text = "0123456789".repeat(2_000);
    const script = "stty -icanon -echo; for how in 1 2; do echo go; head -c 20000 | cksum; done";
    const since = performance.now();
    await using screen = await Screen.open(["sh", "-c", script]);
    await screen.shows("go");
    await screen.type(text); // not before the program has had 200 ms to prepare for that
    assertLess(199, performance.now() - since);
    await screen.shows(/^1342898263 20000\ngo$/m);
    await screen.paste(text);
    await screen.shows(/^go\n1342898263 20000$/m);
  });

  it("has the lines above it as its history", async () => {
    await using screen = await Screen.open(["sh", "-c", "seq 30; read line"], { rows: 10 });
    await screen.shows(/30$/);
    const numbers = Array.from({ length: 30 }, (_, at) => `${at + 1}`);
    assertEquals(await screen.history(), numbers.slice(0, 21).join("\n"));
    assertEquals(await screen.text(), numbers.slice(21).join("\n"));
    assertMatch(await failure(screen.resize(0)), /^tmux resize-window -x 0: /);
    assertEquals(await screen.text(), numbers.slice(21).join("\n")); // after a command that failed too
  });

  it("is drawn as a person sees it", async () => {
    const styled = "\x1b[1;31mred\x1b[0m \x1b[44m<b>\x1b[0m \x1b[7mrev\x1b[0m \x1b[38;5;208mo\n";
    await using screen = await Screen.open(["sh", "-c", `printf '${styled}'; read line`], {
      columns: 40,
    });
    await screen.shows("rev");
    const svg = await screen.svg();
    const texts = [...svg.matchAll(/<text x="([\d.]+)" y="(\d+)"(.*)>(.*)<\/text>/g)];
    const drawn = texts.map((
      [, x, y, rest = "", text],
    ) => [x, y, text, /style="([^"]*)"/.exec(rest)?.[1], /class="([^"]*)"/.exec(rest)?.[1]]);
    assertEquals(drawn, [
      ["10", "23", "red", "fill:#ff7b72", "s1"],
      ["43.6", "23", "&#60;b&#62;", undefined, undefined],
      ["77.2", "23", "rev", "fill:#161b22", "s7"],
      ["110.8", "23", "o", "fill:rgb(255,135,0)", undefined],
    ]);
    assertMatch(svg, /<rect x="43.6" y="10" width="25.2" height="17" fill="#58a6ff"\/>/);
    assertMatch(svg, /<rect x="10" y="27" width="8.4" height="17" .* opacity=".5"\/>/); // the cursor
    assertMatch(svg, /viewBox="0 0 356 54"/);
    await screen.press("Enter");
    await screen.ends(0);
    assertEquals((await screen.svg()).includes('opacity=".5"'), false);
  });

  it("is not deceived by titles, shows line drawing as lines, has nothing of the shell's", async () => {
    const title = "\x1b]2;ended 9 same\x1b\\\\";
    await using screen = await Screen.open(["sh", "-c", `printf '${title}hi'; kill -9 $$`]);
    assertEquals(await screen.ends(137), "hi");
    await using other = await Screen.open(["printf", "\x1b(0lqk\x1b(B lqk\x1b]2;no end"]);
    assertEquals(await other.ends(0), "┌─┐ lqk");
  });

  it("reports a program that kills its terminal's shell", async () => {
    await using screen = await Screen.open(["sh", "-c", "kill -9 $PPID; sleep 60"]);
    assertMatch(await failure(screen.ends(0)), /its terminal's shell was killed/);
  });

  for (const way of ["the block ends", "the test is killed"]) {
    const runs = denoOnly.ignore ? denoOnly : requires("linux");
    it(`leaves no process and no file when ${way}`, runs, async () => {
      const folder = await Deno.makeTempDir({ prefix: "readback-screen-" });
      const leftover = `trap "" HUP TERM; while :; do sleep 1; done`;
      const script = `sh -c '${leftover}' & nohup setsid sh -c '${leftover}' >/dev/null 2>&1 &
        env -i sh -c '${leftover}' & echo "started $$"; exec cat`;
      const module = import.meta.resolve("../../lib/testing/mod.ts");
      const code = `import { Screen } from "${module}";
        await using screen = await Screen.open(["sh", "-c", Deno.args[0]]);
        console.log(await screen.shows(/started \\d+/));
        if (Deno.args[1] === "the test is killed") await new Promise(() => setInterval(() => {}, 1000));`;
      try {
        await Deno.writeTextFile(`${folder}/test.ts`, code);
        await using test = new Program(
          [Deno.execPath(), "run", "--allow-run", `${folder}/test.ts`, script, way],
          { env: { TMPDIR: folder, MARK: folder } },
        );
        const [, shell] = await test.until(/started (\d+)/);
        if (way === "the test is killed") test.signal("SIGKILL");
        else await test.ends(0);
        // A process that has ended and was not yet waited for has no exe.
        await using left = sh(`while grep -lsF ${folder} /proc/[0-9]*/environ | grep -vw $$ ||
          ls -d ${folder}/screen-* 2>/dev/null || [ -e /proc/${shell}/exe ]; do sleep 0.05; done`);
        await left.ends(0);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    });
  }

  it("shows the error of tmux", async () => {
    const opening = () => Screen.open(["cat"], { columns: 0 });
    await assertRejects(opening, Error, "tmux new-session: width too small");
  });
});

describe("what is too long to read", () => {
  it("is shown without its middle", () => {
    assertEquals(shortened("abcdefghij", 4), "ab\n... 6 characters ...\nij");
    assertEquals(shortened("abcd", 4), "abcd");
  });
});

describe("where something is missing", denoOnly, () => {
  it("requires says so, and a screen says what to install", requires("signals"), async () => {
    const module = import.meta.resolve("../../lib/testing/mod.ts");
    // In a process of its own: the tests of other modules run beside this one, in the same process.
    const script = `import { requires, Screen } from "${module}";
      console.log(requires("sh").skip);
      console.log(requires("sh", "no-program").skip);
      Deno.env.set("PATH", "/");
      console.log(requires("cat").skip);
      await Screen.open(["cat"]);`;
    await using test = new Program([Deno.execPath(), "eval", script], { env: { CI: "" } });
    await test.untilError(
      "Error: Screen needs tmux, which is not on PATH: install the package tmux",
    );
    await test.ends(1);
    assertEquals(
      test.stdout,
      "false\nneeds no-program, which is not installed\nneeds cat, which is not installed\n",
    );
  });
});

describe("a fake server", requires("python3"), () => {
  it("goes on after connections that were reset before it accepted them", async () => {
    await using server = FakeServer.start((conn) => conn.write(new Uint8Array([97])).then());
    const args = ["-c", RESETS, `${server.port}`];
    new Deno.Command("python3", { args }).outputSync(); // meanwhile, nothing is accepted
    using wire = await Wire.dial(server.port);
    assertEquals(await wire.rest(), "a");
  });
});

describe("a wire", () => {
  it("fails at once at end-of-file, and shows what was received", async () => {
    await using server = FakeServer.start((conn) => conn.write(new Uint8Array([97, 255])).then());
    using wire = await Wire.dial(server.port);
    assertEquals(
      await failure(wire.until("b\n")),
      '"b\\n" was not received before the end: received "aÿ"',
    );
  });

  it("fails at its time limit, and shows what was received", async () => {
    await using server = FakeServer.start((conn) => conn.write(new Uint8Array([97])).then(), {
      keepOpen: true,
    });
    using wire = await Wire.dial(server.port);
    assertEquals(
      await failure(wire.until(/b/, { timeout: 200 })),
      '/b/ was not received in 200 ms: received "a"',
    );
  });
});

describe("a wire that is written to, or reset", () => {
  it("sends bytes alone", async () => {
    await using server = FakeServer.start(async (conn) => void await conn.read(new Uint8Array(9)));
    using wire = await Wire.dial(server.port);
    await assertRejects(() => wire.send("a€"), TypeError, '"€" is not a byte');
    await assertRejects(() => wire.send("a😀"), TypeError, '"😀" is not a byte');
    await wire.send("\xff");
    await wire.rest();
    assertEquals(server.received, "\xff");
  });

  it("fails a write at its time limit", async () => {
    await using server = FakeServer.start(() => Promise.resolve(), { keepOpen: true });
    using wire = await Wire.dial(server.port);
    const message = await failure(wire.send(new Uint8Array(64 << 20), { timeout: 50 }));
    assertMatch(message, /^\d+ bytes were not taken in 50 ms: received nothing$/);
  });

  it("waits for a reset, and returns what was received before", async () => {
    const listeners = await listen({ resets: true });
    const options = { listeners, faults: "reset@2" };
    await using server = serve(readback({ format: "<{message}>" }), options);
    using wire = await Wire.dial(server.port);
    await wire.send("one\n");
    await wire.until("<one>\n");
    await wire.send("two\n");
    await wire.resets();
    await wire.resets();
    using other = await Wire.dial(server.port);
    await other.send("one\ntwo\n");
    const { message } = await assertRejects(() => other.rest(), Deno.errors.ConnectionReset);
    assertEquals(message, 'end-of-file was not received before the reset: received "<one>\\n"');
    assertEquals(await other.resets(), "<one>\n");
  });

  it("can be waited on by several at once", async () => {
    await using server = FakeServer.start(async (conn) => {
      for (let at = 0; at < 200; at++) await conn.write(latin1(`${at}\n`));
    });
    using wire = await Wire.dial(server.port);
    const waits = Array.from({ length: 20 }, () => wire.until(/\d+\n/));
    assertEquals((await Promise.all(waits)).join("").split("\n").slice(0, 3), ["0", "1", "2"]);
    assertEquals(
      await wire.rest(),
      Array.from({ length: 180 }, (_, at) => `${at + 20}\n`).join(""),
    );
  });

  it("does not take end-of-file for a reset", async () => {
    await using server = FakeServer.start((conn) => conn.write(new Uint8Array([97])).then());
    using wire = await Wire.dial(server.port);
    assertEquals(
      await failure(wire.resets()),
      'no reset was received, but end-of-file: received "a"',
    );
  });
});

describe("readback's two programs", () => {
  it("start in any folder, with nothing of the test's environment", requires("linux"), async () => {
    const options = { cwd: "/", clearEnv: true, env: { HOME: Deno.env.get("HOME") ?? "/" } };
    await using server = await startServer([], options);
    await using client = startClient(["-p", server.port, "-m", "hello"], options);
    await client.until(/\[hello\] .{24}\n/);
    await client.ends(0);
  });

  it("end with the test's process, even if it is killed", denoOnly, async () => {
    const module = import.meta.resolve("../../lib/testing/mod.ts");
    const script = `import { startServer } from "${module}";
      const server = await startServer();
      console.log("port", server.port);
      await new Promise((resolve) => setTimeout(resolve, 60_000));`;
    await using test = new Program([Deno.execPath(), "eval", script]);
    const [, port] = await test.until(/port (\d+)\n/);
    using wire = await Wire.dial(Number(port));
    test.signal("SIGKILL");
    assertEquals(await wire.rest(), "");
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
