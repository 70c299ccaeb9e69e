/** A command beside the server: what it gets, how both end, and that nothing is left. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Program } from "../../lib/testing/program.ts";
import { program } from "../../lib/testing/readback.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { Screen } from "../../lib/testing/screen.ts";
import { beside } from "../battery/leftovers.ts";
import { inFolder } from "../support/folder.ts";
import { unstamped } from "../support/replies.ts";

const NEEDS = requires("sh", "nc", "signals");

describe("a command beside the server", NEEDS, () => {
  it("talks to it on a free port, and has the standard streams for itself", async () => {
    await using server = beside('read -r line; echo "$line" | nc -N $READBACK_HOST $READBACK_PORT');
    await server.type("hello\n");
    await server.ends(0);
    assertEquals([unstamped(server.stdout), server.stderr], ["[hello] STAMP\n", ""]);
  });

  for (
    const [host, expected] of [
      ["127.0.0.1", /^127\.0\.0\.1 (\d+) 127\.0\.0\.1:\1$/],
      ["0.0.0.0", /^127\.0\.0\.1 (\d+) 127\.0\.0\.1:\1$/],
      ["[::]", /^::1 (\d+) \[::1\]:\1$/],
    ] as const
  ) {
    it(`is given an address that it can connect to: ${host}`, async () => {
      await using server = beside(
        "echo $READBACK_HOST $READBACK_PORT $READBACK_ADDRESS $READBACK_PATH$READBACK_LOG",
        host,
      );
      await server.ends(0);
      assertMatch(server.stdout.trim(), expected);
    });
  }

  it("is given the paths of a Unix socket and of the log, from the root", async () => {
    await inFolder(async (cwd) => {
      const args = ["--log-file", "log", "--unix", "s"];
      const command = [
        ...args,
        "--",
        "sh",
        "-c",
        "echo $READBACK_PATH $READBACK_LOG$READBACK_PORT",
      ];
      await using server = new Program([...program("server", command), ...command], { cwd });
      await server.ends(0);
      const folder = await Deno.realPath(cwd);
      assertEquals(server.stdout, `${folder}/s ${folder}/log\n`);
      assertEquals([...Deno.readDirSync(cwd)].map(({ name }) => name), ["log"]);
      assertMatch(
        await Deno.readTextFile(`${cwd}/log`),
        /^listening on s\nwaiting connection...\n/,
      );
    });
  });

  it("is given a server of datagrams", async () => {
    await using server = beside("echo hi | nc -u -W 1 $READBACK_HOST $READBACK_PORT", "--udp");
    await server.ends(0);
    assertEquals(unstamped(server.stdout), "[hi] STAMP\n");
  });

  it("with --log: the transcript is on standard error", async () => {
    await using server = beside("echo hi | nc -N $READBACK_HOST $READBACK_PORT", "--log", "text");
    await server.ends(0);
    assertEquals(unstamped(server.stdout), "[hi] STAMP\n");
    assertMatch(server.stderr, /^listening on .*\nwaiting .*\nServer received data: "hi" from /);
  });

  it("that ends cuts the connections that are left, at once", async () => {
    const args = ["--grace", "1m", "--log", "json"];
    await using server = beside("echo $READBACK_PORT; read -r line; exit 4", ...args);
    const [, port] = await server.until(/(\d+)\n/);
    using _wire = await Wire.dial(Number(port));
    await server.untilError('"connected"');
    await server.type("end\n");
    await server.ends(4);
    assertMatch(server.stderr, /"event":"ended".*"reason":"cut"/);
  });

  for (
    const [script, code] of [["exit 0", 0], ["exit 7", 7], ["kill -TERM $$", 143], [
      "kill -KILL $$",
      137,
    ]] as const
  ) {
    it(`"${script}" is exit code ${code}`, async () => {
      await using server = beside(script);
      await server.ends(code);
      assertEquals([server.stdout, server.stderr], ["", ""]);
    });
  }

  for (
    const [args, code, sentence] of [
      [["no-such-command"], 127, 'cannot run "no-such-command": there is no such command'],
      [["./no-such-file"], 127, 'cannot run "./no-such-file": there is no such command'],
      [["./LICENSE"], 126, 'cannot run "./LICENSE": it is not executable'],
      [["/"], 126, 'cannot run "/": it is not executable'],
      [[], 2, "a command is missing after --"],
    ] as const
  ) {
    it(`"-- ${args.join(" ")}" is exit code ${code}, and a sentence`, async () => {
      await using server = new Program([...program("server", ["--"]), "--", ...args]);
      await server.ends(code);
      assertEquals(server.stderr, `server: ${sentence}\n`);
    });
  }

  it("without --allow-run is exit code 2, and a sentence", async () => {
    await using server = new Program([...program("server"), "--", "true"]);
    await server.ends(2);
    const sentence = 'cannot run "true": give Deno the permission with --allow-run';
    assertEquals(server.stderr, `server: ${sentence}\n`);
  });

  it("can't be combined with --until-eof", async () => {
    await using server = beside("true", "--until-eof");
    await server.ends(2);
    assertMatch(server.stderr, /^server: cannot combine --until-eof and a command: .*\n$/);
  });

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
    it(`and its children get ${signal}`, async () => {
      const name = signal.slice(3);
      const child = `trap "echo child; exit" ${name}; echo ready; while :; do sleep 0.01; done`;
      await using server = beside(`trap 'exit 9' ${name}; sh -c '${child}'; :`);
      await server.until("ready\n");
      server.signal(signal);
      await server.ends(9);
      assertEquals(server.stdout, "ready\nchild\n");
    });
  }

  it("that ignores a signal is killed after --grace, or at the second", async () => {
    const deaf = "trap '' TERM INT; echo ready; while :; do sleep 0.01; done";
    await using first = beside(deaf, "--grace", "50ms");
    await using second = beside(deaf, "--grace", "1m");
    await Promise.all([first.until("ready\n"), second.until("ready\n")]);
    first.signal("SIGTERM");
    second.signal("SIGTERM");
    second.signal("SIGINT");
    await Promise.all([first.ends(137), second.ends(137)]);
  });

  it("on a terminal can be typed at, and gets Ctrl-C once", requires("tmux"), async () => {
    const script = `trap 'n=x$n' INT; read -r line; echo "got $line"
      while [ -z "$n" ]; do sleep 0.05; done; sleep 0.3; echo "interrupted $n"; exit 5`;
    const args = ["--", "sh", "-c", script];
    await using screen = await Screen.open([...program("server", args), ...args]);
    await screen.type("hello");
    await screen.press("Enter");
    await screen.shows("got hello");
    await screen.press("C-c");
    assertMatch(await screen.ends(5), /^hello\ngot hello\n\^Cinterrupted x$/);
  });
});
