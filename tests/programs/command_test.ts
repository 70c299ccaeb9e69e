/** A command beside the server: what it gets, how both end, and that nothing is left. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { environmentFor } from "../../lib/cli/command.ts";
import { listen, readback, serve } from "../../lib/mod.ts";
import { Program, type Signal } from "../../lib/testing/program.ts";
import { program } from "../../lib/testing/readback.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { Screen } from "../../lib/testing/screen.ts";
import { beside } from "../battery/leftovers.ts";
import { inFolder } from "../support/folder.ts";
import { unstamped } from "../support/replies.ts";

const NEEDS = requires("sh", "nc", "signals");

describe("a command beside the server", NEEDS, () => {
  it("talks to it on a free port, and has the standard streams and the exit code for itself", async () => {
    await using server = beside(
      `read -r line; echo "$line" | nc -N $READBACK_HOST $READBACK_PORT
      echo $READBACK_HOST $READBACK_PORT $READBACK_ADDRESS $READBACK_PATH$READBACK_LOG; exit 7`,
    );
    await server.type("hello\n");
    await server.ends(7);
    const [reply = "", address = ""] = server.stdout.split("\n");
    assertEquals([unstamped(reply), server.stderr], ["[hello] STAMP", ""]);
    assertMatch(address.trim(), /^127\.0\.0\.1 (\d+) 127\.0\.0\.1:\1$/);
  });

  for (
    const [host, given, shown] of [
      ["127.0.0.1", "127.0.0.1", "127.0.0.1"],
      ["0.0.0.0", "127.0.0.1", "127.0.0.1"],
      ["::", "::1", "[::1]"],
    ] as const
  ) {
    it(`is given an address that it can connect to, if the server listens on ${host}`, async () => {
      await using server = serve(readback(), { listeners: await listen({ hostname: host }) });
      const { port } = server;
      assertEquals(await environmentFor(server.addr), {
        READBACK_HOST: given,
        READBACK_PORT: `${port}`,
        READBACK_ADDRESS: `${shown}:${port}`,
      });
      (await Wire.dial(port, given))[Symbol.dispose]();
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
      assertEquals([server.stdout, server.stderr], [`${folder}/s ${folder}/log\n`, ""]);
      assertEquals([...Deno.readDirSync(cwd)].map(({ name }) => name), ["log"]);
      assertMatch(
        await Deno.readTextFile(`${cwd}/log`),
        /^listening on s\nwaiting connection...\n/,
      );
    });
  });

  it("is given a server of datagrams; a signal that ends it is exit code 128 and its number", async () => {
    const script = "echo hi | nc -u -W 1 $READBACK_HOST $READBACK_PORT; kill -TERM $$";
    await using server = beside(script, "--udp");
    await server.ends(143);
    assertEquals([unstamped(server.stdout), server.stderr], ["[hi] STAMP\n", ""]);
  });

  it("that ends cuts the connections that are left, at once; --log prints on standard error", async () => {
    await using server = beside(
      `echo hi | nc -N $READBACK_HOST $READBACK_PORT; echo $READBACK_PORT; read -r line; exit 4`,
      ...["--grace", "1m", "--log", "text"],
    );
    const [, port] = await server.until(/\n(\d+)\n/);
    using wire = await Wire.dial(Number(port));
    await wire.send("here\n");
    await wire.until(/\n/);
    await server.type("end\n");
    await server.ends(4);
    assertEquals(unstamped(server.stdout), `[hi] STAMP\n${port}\n`);
    assertMatch(server.stderr, /^listening on .*\nwaiting .*\nServer received data: "hi" from /);
    assertMatch(server.stderr, /\nclient \S+ was disconnected: cut\n$/);
  });

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

  /** A shell and its child; the child says that it got the signal, and the shell then exits. */
  const trapping = (signal: Signal, then: string) => {
    const name = signal.slice(3);
    const child = `trap "echo child${then}" ${name}; echo ready; while :; do sleep 0.1; done`;
    return `trap 'exit 9' ${name}; sh -c '${child}'; :`;
  };

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it(`and its children get ${signal}`, async () => {
      await using server = beside(trapping(signal, "; exit"));
      await server.until("ready\n");
      server.signal(signal);
      await server.ends(9);
      assertEquals(server.stdout, "ready\nchild\n");
    });
  }

  for (
    const [signal, grace, when, second] of [
      ["SIGHUP", "500ms", "after --grace", undefined],
      ["SIGQUIT", "1m", "at the second", "SIGINT"],
    ] as const
  ) {
    it(`and its children get ${signal}; if they go on, they are killed ${when}`, async () => {
      await using server = beside(trapping(signal, ""), "--grace", grace);
      await server.until("ready\n");
      server.signal(signal);
      await server.until("child\n");
      if (second) server.signal(second);
      await server.ends(137);
    });
  }

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
