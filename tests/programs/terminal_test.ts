/** The client in a real terminal, as a person sees it. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { readback, serve, type Server } from "../../lib/mod.ts";
import { Readable, Writable } from "node:stream";
import { openTerminal } from "../../lib/cli/terminal.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { requires } from "../../lib/testing/requires.ts";
import { program, startServer } from "../../lib/testing/readback.ts";
import { Screen, type ScreenOptions } from "../../lib/testing/screen.ts";
import { STAMP } from "../support/replies.ts";

const SKIP = requires("tmux");

/** The client in a terminal, once it asks. */
async function open(port: number, options: ScreenOptions = {}): Promise<Screen> {
  const screen = await Screen.open([...program("client"), "-p", String(port)], options);
  await screen.shows(">>:");
  return screen;
}

/** What is on the screen once the client has got a reply and asks again; stamps are the same. */
async function replied(screen: Screen, reply: string): Promise<string> {
  const text = await screen.shows(
    new RegExp(`\\[${RegExp.escape(reply)}\\] ${STAMP}\\n>>:[^\\n]*$`),
  );
  return text.replaceAll(new RegExp(STAMP, "g"), "STAMP");
}

/** A server that answers, from when it is told to, until it is told to hesitate again. */
function hesitant() {
  let told = Promise.withResolvers<void>();
  const server = FakeServer.start(async (conn) => {
    const buffer = new Uint8Array(100);
    for (let count; (count = await conn.read(buffer)) !== null;) {
      await told.promise;
      const message = new TextDecoder().decode(buffer.subarray(0, count)).trim();
      await conn.write(new TextEncoder().encode(`[${message}] Mon Dec  9 18:15:50 2019\n`));
    }
  });
  return {
    server,
    answer: () => told.resolve(),
    hesitate: () => void (told = Promise.withResolvers()),
  };
}

describe("on a terminal", SKIP, () => {
  it("the tutorial's conversation, until a blank line; then all is as it was", async () => {
    await using server = await startServer();
    await using screen = await open(server.port);
    await screen.type("i am binary");
    await screen.press("Enter");
    const shown = ">>:i am binary\nClient received data: [i am binary] STAMP\n>>:";
    assertEquals(await replied(screen, "i am binary"), shown);
    await screen.press("Enter");
    assertEquals((await screen.ends(0)).replace(new RegExp(STAMP), "STAMP"), shown);
    await server.until(/"i am binary" from .*\nclient .* has broken the connection...\n/);
  });

  it("in a window of 20 columns: long lines and replies wrap, can be edited, stay at Ctrl-C", async () => {
    await using server = serve(readback());
    await using screen = await open(server.port, { columns: 20 });
    await screen.type("a line that is longer than that");
    await screen.press("C-a", "X", "C-e", "!");
    assertEquals(
      await screen.shows(/that!$/),
      ">>:Xa line that is l\nonger than that!",
    );
    await screen.press("Enter");
    const text = await screen.shows(/\n>>:$/);
    assertMatch(
      text.replaceAll("\n", ""),
      new RegExp(`that!Client received data: \\[Xa line that is longer than that!\\] ${STAMP}>>:$`),
    );
    await screen.type("a line that is longer than that");
    await screen.press("Home");
    await screen.type("X");
    const shown = await screen.shows(/\n>>:Xa line that is l\nonger than that$/);
    await screen.press("C-c");
    assertEquals(await screen.ends(130), shown);
  });

  it("follows a window that changes its width, and leaves nothing of a long line behind", async () => {
    const messages: string[] = [];
    await using server = serve(readback(), {
      onMessage: ({ text }) => void messages.push(text),
    });
    // Below other lines: what is above the screen's first row, a terminal doesn't give back.
    const below = ["sh", "-c", 'seq 30; exec "$@"', "sh"];
    const client = [...program("client"), "-p", String(server.port)];
    await using screen = await Screen.open([...below, ...client], { columns: 60 });
    await screen.shows(">>:");
    const line = "0123456789".repeat(7);
    await screen.type(line);
    await screen.shows(/9$/);
    await screen.resize(20);
    await screen.type("x");
    const rows = `>>:${line}x`.match(/.{1,20}/g)?.join("\n");
    const text = await screen.shows(/9x$/);
    assertEquals(text.slice(text.indexOf("30\n")), `30\n${rows}`);

    await screen.press("C-u");
    await screen.shows(/^30\n>>:$/m);
    await screen.resize(60);
    await screen.resize(20);
    await screen.type("longer than the window");
    await screen.press("C-a", "X");
    await screen.shows(/^>>:Xlonger than the\nwindow$/m);
    await screen.press("Enter");
    await screen.shows(/\n>>:$/);
    assertEquals(messages, ["Xlonger than the window"]);
  });

  it("shows what could move the cursor escaped", async () => {
    await using server = serve(readback());
    const message = "\x1b[31m\u009b\u202e";
    const command = [...program("client"), "-p", String(server.port), "-m", message];
    await using screen = await Screen.open(command);
    assertMatch(await screen.ends(0), /^\[\\x1b\[31m\\xc2\\x9b\\xe2\\x80\\xae\] /);
  });

  for (const [what, NO_COLOR, has] of [["colours", "", true], ["none", "1", false]] as const) {
    it(`with NO_COLOR=${NO_COLOR} has ${what}; says on a line of its own that the server closed`, async () => {
      await using server = serve(readback(), { grace: 0 });
      await using screen = await open(server.port, { columns: 60, env: { NO_COLOR } });
      await screen.type("hello");
      await screen.press("Enter");
      await replied(screen, "hello");
      assertEquals((await screen.colours()).includes("\x1b["), has, await screen.colours());
      const line = "half a line that is longer than its window, all of which stays";
      await screen.type(line);
      await screen.shows(/stays$/);
      await screen.press("Home");
      await screen.type("not ");
      const rows = `>>:not ${line}`.match(/.{1,60}/g)?.join("\n");
      await screen.shows(`\n${rows}`);
      await server.close();
      const shown = await screen.ends(1);
      const notice = `\n${rows}\nclient: the server has closed the connection`;
      assertEquals(shown.slice(-notice.length), notice);
      assertEquals((await screen.colours()).includes("\x1b[31mclient:"), has);
    });
  }

  it("--loopback is a conversation without a server to start", async () => {
    await using screen = await Screen.open([...program("client"), "--loopback"]);
    const first = "Type a line for the server in this process. A blank line or Ctrl-D ends.";
    await screen.shows(`${first}\n>>:`);
    await screen.type("hello");
    await screen.press("Enter");
    await replied(screen, "hello");
    await screen.press("Enter");
    await screen.ends(0);
  });
});

describe("a client in a terminal, each time on an empty line,", SKIP, () => {
  let server: Server, screen: Screen;
  before(async () => {
    server = serve(readback());
    screen = await open(server.port);
  });
  after(async () => {
    await screen.close();
    await server.close();
  });

  for (
    const [what, keys, line] of [
      [
        "Left, Right, Home, End",
        ["a", "b", "Left", "x", "Right", "y", "Home", "0", "End", "9"],
        "0axby9",
      ],
      ["C-a, C-e, BSpace, DC", ["a", "b", "C-a", "0", "DC", "C-e", "c", "BSpace"], "0b"],
      ["C-w", ["a", "Space", "b", "b", "C-w", "c"], "a c"],
      ["C-u", ["a", "b", "Left", "C-u"], "b"],
      ["C-k", ["a", "b", "Left", "C-k"], "a"],
      [
        "a wide character",
        ["漢", "字", "Left", "Left", "BSpace", "é", "Right", "BSpace", "x"],
        "éx字",
      ],
    ] as const
  ) {
    it(`edits a line: ${what}`, async () => {
      await screen.press(...keys);
      await screen.shows(new RegExp(`>>:${line}$`));
      await screen.press("Enter");
      await replied(screen, line);
    });
  }

  it("knows the lines before: up and down", async () => {
    for (const line of ["one", "two"]) {
      await screen.type(line);
      await screen.press("Enter");
      await replied(screen, line);
    }
    for (const [key, line] of [["Up", "two"], ["Up", "one"], ["Down", "two"]] as const) {
      await screen.press(key);
      await screen.shows(new RegExp(`>>:${line}$`));
    }
    await screen.press("BSpace", "Enter");
    await replied(screen, "tw");
  });

  it("says every line of a paste, in order; the last, unended, can still be edited", async () => {
    await screen.paste("one\ntwo\nthree");
    await screen.shows(/\[two\].*\n>>:three$/);
    await screen.press("BSpace", "Enter");
    const text = await replied(screen, "thre");
    assertEquals(
      text.slice(text.lastIndexOf(">>:one")),
      ["one", "two", "thre"]
        .map((line) => `>>:${line}\nClient received data: [${line}] STAMP\n`).join("") + ">>:",
    );
  });

  it("says that Ctrl-Z suspends nothing; what was typed stays", async () => {
    await screen.type("half a line");
    await screen.press("Left", "C-z");
    const told = "(Ctrl-Z can't suspend the client: Ctrl-C ends it)";
    await screen.shows(`>>:half a line\n${told}\n>>:half a line`);
    await screen.press("X", "Enter");
    await replied(screen, "half a linXe");
  });

  it("takes a pasted line of 8,000 characters at once", async () => {
    const start = performance.now();
    await screen.paste(`${"x".repeat(7997)}end`);
    await screen.shows(/x\nend$/);
    await screen.press("Enter");
    await screen.shows(new RegExp(`xend\\] ${STAMP}\\n>>:$`));
    const took = performance.now() - start;
    assert(took < 3000, `it took ${took} ms`); // key by key 25 s, as it is some 300 ms
  });

  it("leaves the terminal as it was after Ctrl-C in the middle of a line", async () => {
    await endsInLine(screen, () => screen.press("C-c"), 130);
  });
});

describe("a client in a terminal, while a reply is awaited,", SKIP, () => {
  const SLOW = ">>:slow\nClient received data: [slow] Mon Dec  9 18:15:50 2019\n";
  let peer: ReturnType<typeof hesitant>, screen: Screen;
  before(async () => {
    peer = hesitant();
    screen = await open(peer.server.port);
  });
  after(async () => {
    peer.answer();
    await screen.close();
    await peer.server.close();
  });

  /** Sends a message to which the reply takes time. */
  async function awaitReply(): Promise<void> {
    peer.hesitate();
    await screen.type("slow");
    await screen.press("Enter");
    await screen.shows(/>>:slow\nno reply yet: \d s$/);
  }

  /** What is on the screen since the last such message. */
  const since = (text: string) => text.slice(text.lastIndexOf(">>:slow"));

  it("keeps what is typed, and says that it is awaited", async () => {
    await awaitReply();
    await screen.type("next");
    await screen.shows(/>>:slow\nno reply yet: [1-9] s$/);
    peer.answer();
    assertEquals(await screen.shows(/>>:next$/), `${SLOW}>>:next`);
    await screen.press("C-u");
  });

  it("says what is pasted, in order", async () => {
    await awaitReply();
    await screen.paste("one\ntwo\nthree\n");
    await screen.type("four");
    peer.answer();
    assertMatch(
      since(await screen.shows(/>>:four$/)),
      /^>>:slow\nClient .*\[slow\].*\n>>:one\nClient .*\[one\].*\n>>:two\n.*\n>>:three\n.*\n>>:four$/,
    );
    await screen.press("C-u");
  });

  it("keeps what it said when a long line was typed ahead", async () => {
    await screen.resize(40);
    await awaitReply();
    await screen.type(`${"long ".repeat(20)}end`);
    peer.answer();
    assertMatch(
      since(await screen.shows(/end$/)),
      /^>>:slow\nClient received data: \[slow\] Mon Dec .9\s+18:15:50 2019\n>>:long/,
    );
    await screen.press("C-u");
  });

  it("leaves the terminal as it was after Ctrl-C", async () => {
    await awaitReply();
    await screen.press("C-c");
    assertEquals(since(await screen.ends(130)), ">>:slow");
  });
});

/** Types a line, goes to its beginning, and ends the client there; the line must stay. */
async function endsInLine(screen: Screen, end: () => void | Promise<void>, code: number) {
  await screen.type("half a line");
  await screen.shows("half a line");
  await screen.press("Home");
  await screen.type("X");
  const lastLines = (text: string) => text.split("\n").slice(-2);
  const shown = lastLines(await screen.shows(/\n>>:Xhalf a line$/));
  await end();
  assertEquals(lastLines(await screen.ends(code)), shown);
}

describe("the terminal is as it was", SKIP, () => {
  for (
    const [signal, code] of [
      ["SIGTERM", 143],
      ["SIGHUP", 129],
      ["SIGINT", 130],
      ["SIGQUIT", 131],
    ] as const
  ) {
    it(`after ${signal} from outside in the middle of a line`, async () => {
      await using server = serve(readback());
      const named = ["sh", "-c", 'echo "process $$"; exec "$@"', "sh"];
      const command = [...named, ...program("client"), "-p", String(server.port)];
      await using screen = await Screen.open(command);
      const [, pid] = /process (\d+)/.exec(await screen.shows(">>:")) ?? [];
      await endsInLine(screen, () => Deno.kill(Number(pid), signal), code);
    });
  }
});

describe("--duplex in a terminal", SKIP, () => {
  it("shows what comes above the line being typed, sends blank lines, ends with the server", async () => {
    const pushed = Promise.withResolvers<void>();
    let received = "";
    await using server = FakeServer.start(async (conn) => {
      await pushed.promise;
      await conn.write(new TextEncoder().encode("news\nmore"));
      const buffer = new Uint8Array(100);
      for (let count; (count = await conn.read(buffer)) !== null;) {
        received += new TextDecoder().decode(buffer.subarray(0, count));
      }
      await conn.write(new TextEncoder().encode("bye\n"));
    });
    const command = [...program("client"), "-p", String(server.port), "--duplex", "--crlf"];
    await using screen = await Screen.open(command);
    await screen.shows(">>:");
    await screen.press("Enter");
    await screen.type("half");
    await screen.shows(/half$/);
    pushed.resolve();
    await screen.shows(/>>:\nServer says: news\nServer says: more\n>>:half$/);
    await screen.type(" a line");
    await screen.press("Enter");
    await screen.shows(/>>:$/);
    await screen.press("C-d");
    assertMatch(await screen.ends(0), /Server says: bye$/);
    assertEquals(received, "\r\nhalf a line\r\n");
  });
});

/** A line editor whose keyboard and screen are the test's. */
async function openEditor() {
  let drawn = "";
  const keyboard = new Readable({ read() {} });
  const screen = Object.assign(
    new Writable({
      write(chunk, _, done) {
        drawn += chunk;
        done();
      },
    }),
    { columns: 80 },
  );
  const terminal = await openTerminal(keyboard, screen, ">>:", () => {});
  return {
    terminal,
    /** The next line. */
    async ask() {
      const line = await terminal.next();
      return line && new TextDecoder().decode(line);
    },
    type: (keys: string) => keyboard.emit("data", keys),
    hangUp: () => keyboard.emit("end"),
    resize(columns: number) {
      screen.columns = columns;
      screen.emit("resize");
    },
    /** What was drawn since this was last asked. */
    drawn() {
      const now = drawn;
      drawn = "";
      return now;
    },
    [Symbol.dispose]: () => terminal[Symbol.dispose](),
  };
}

describe("a line editor", () => {
  it("draws a line anew from where it begins in a window of another width", async () => {
    using editor = await openEditor();
    editor.resize(60);
    const answer = editor.ask();
    editor.type("0123456789".repeat(7)); // with the prompt two rows of 60, four of 20
    for (
      const [width, up] of [[20, "\x1b[3A"], [45, "\x1b[1A"], [100, ""], [30, "\x1b[2A"]] as const
    ) {
      editor.drawn();
      editor.resize(width);
      const drawn = editor.drawn();
      assertEquals(drawn.slice(0, drawn.indexOf("\x1b[1G")), up, `${width} columns: ${drawn}`);
    }
    editor.type("\r");
    assertEquals(await answer, "0123456789".repeat(7));
  });

  it("takes a line that is ended while something is written above it", async () => {
    using editor = await openEditor();
    const line = editor.ask();
    editor.type("hel");
    await editor.terminal.interrupt(() => {
      editor.drawn();
      editor.type("lo\r");
      return Promise.resolve();
    });
    assertEquals([await line, editor.drawn()], ["hello", ">>:hello\n"]);
  });

  it("writes what comes after Ctrl-D, without a prompt", async () => {
    using editor = await openEditor();
    const line = editor.ask();
    editor.type("\x04");
    assertEquals(await line, null);
    editor.drawn();
    await editor.terminal.interrupt(() => Promise.resolve());
    assertEquals(editor.drawn(), "");
  });

  it("with TERM=dumb edits by Backspace, and takes no other key for text", async () => {
    const before = Deno.env.get("TERM");
    Deno.env.set("TERM", "dumb");
    using _restored = {
      [Symbol.dispose]: () => before ? Deno.env.set("TERM", before) : Deno.env.delete("TERM"),
    };
    using editor = await openEditor();
    const line = editor.ask();
    for (const keys of ["ab\x7f\x7f\x7fhe", "\x1b[D", "lx\x7fl\x15\to\r"]) editor.type(keys);
    assertEquals(await line, "hello");
    const next = editor.ask();
    editor.type("\x04");
    assertEquals(await next, null);
  });

  it("has no more lines once its terminal is gone", async () => {
    using editor = await openEditor();
    editor.hangUp();
    assertEquals(await editor.ask(), null);
  });

  it("says also while nothing is asked that Ctrl-Z suspends nothing", async () => {
    using editor = await openEditor();
    editor.type("\x1a");
    assertEquals(
      editor.drawn(),
      "\r\x1b[K(Ctrl-Z can't suspend the client: Ctrl-C ends it)\n",
    );
  });
});

describe("where there is waiting, the terminal says so", SKIP, () => {
  it("for a server that is not up yet; then the line is gone, and Ctrl-D leaves all as it was", async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    listener.close();
    const command = [...program("client"), "-p", String(port), "--wait", "20s"];
    await using screen = await Screen.open(command, { columns: 30 });
    assertMatch(await screen.shows("connecting"), /^connecting to 127\.0\.0\.1:/);
    await using _server = FakeServer.start(async (conn) => {
      await conn.read(new Uint8Array(100));
    }, { port });
    assertEquals(await screen.shows(/^>>:$/), ">>:");
    await screen.press("C-d");
    assertEquals(await screen.ends(0), ">>:");
  });

  it("for the filter: how many were answered, until it is done", async () => {
    const { server, answer } = hesitant();
    await using _server = server;
    const folder = await Deno.makeTempDir({ prefix: "readback-terminal-" });
    try {
      const filter = `echo slow | "$@" > ${folder}/replies`;
      const command = [...program("client"), "-p", String(server.port), "--quiet"];
      await using screen = await Screen.open(["sh", "-c", filter, "sh", ...command]);
      await screen.shows(/^0 of 1 messages answered$/);
      answer();
      assertEquals(await screen.ends(0), "");
      assertMatch(await Deno.readTextFile(`${folder}/replies`), /^\[slow\] .*\n$/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
});
