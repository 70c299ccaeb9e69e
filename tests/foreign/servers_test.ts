/** The client before servers that nobody here wrote: what each way of asking says, and how it exits. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readback, serve } from "../../lib/mod.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { ServerProgram, startClient } from "../../lib/testing/readback.ts";
import { connect } from "../../lib/net/connect.ts";

/** A server that runs, and what it stands on. */
interface Running extends AsyncDisposable {
  readonly hostname: string;
  readonly port: number;
}

/** What the client is to say, and its exit code; `HERE` is the server. */
interface Expected {
  readonly code: number;
  /** A pattern, or the message that each line is the reply to. */
  readonly stdout: RegExp | readonly string[];
  readonly stderr: string | RegExp;
}

/** A server: what it needs, how it is started, what is said of it. */
interface Foreign {
  readonly needs: readonly string[];
  start(): Promise<Running>;
  readonly ping: Expected;
  /** Without, it would be the same: to `--connect`, all that listen are. */
  readonly connect?: Expected;
  readonly message: Expected;
  readonly filter: Expected;
}

/** These take no port 0; an address of this process's own can't be taken either. */
const OWN = `127.${128 + (Deno.pid >> 16)}.${Deno.pid >> 8 & 255}.${Deno.pid & 255}`;

/** An SMTP server's manners: it speaks first, and refuses what it does not know. */
const GREETER = `
import socketserver
class Greeter(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 here ESMTP\\r\\n")
        for line in self.rfile:
            self.wfile.write(b"502 5.5.2 Error: command not recognized\\r\\n")
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter)
server.daemon_threads = True
print("port", server.server_address[1])
server.serve_forever()
`;

/** A program that says its port. */
async function said(command: readonly string[], words: RegExp): Promise<Running> {
  const program = new ServerProgram(command);
  const [, port] = await Promise.race([program.until(words), program.untilError(words)]);
  program.port = Number(port);
  return Object.assign(program, { hostname: "127.0.0.1" });
}

/** A program on a port of this process's own address. */
async function own(port: number, command: readonly string[]): Promise<Running> {
  const program = Object.assign(new Program(command), { hostname: OWN, port });
  try {
    (await connect({ hostname: OWN, port, wait: 20_000 })).close();
    return program;
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * A balancer before our server.
 * @param config its configuration, by the address of the server
 */
async function before(
  port: number,
  command: (file: string) => string[],
  config: (server: string, folder: string) => string,
): Promise<Running> {
  const stack = new AsyncDisposableStack();
  try {
    const folder = await Deno.makeTempDir({ prefix: "readback-foreign-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const server = stack.use(serve(readback(), { grace: 0 }));
    await Deno.writeTextFile(`${folder}/config`, config(`127.0.0.1:${server.port}`, folder));
    stack.use(await own(port, command(`${folder}/config`)));
    const owned = stack.move();
    return { hostname: OWN, port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  } finally {
    await stack.disposeAsync();
  }
}

/** Two round trips. */
const answered = (bytes: number): Expected => ({
  code: 0,
  stdout: new RegExp(
    `^${bytes} bytes from HERE: seq=1 time=.* ms\n${bytes} bytes from HERE: seq=2 time=.* ms\n` +
      `--- HERE ---\n2 sent, 2 answered, 0 lost \\(0 %\\)\n`,
  ),
  stderr: "",
});
/** Any server that listens. */
const CONNECTED: Expected = {
  code: 0,
  stdout:
    /^connected to HERE: seq=1 time=.* ms\nconnected to HERE: seq=2 time=.* ms\n--- HERE ---\n2 tried, 2 connected, 0 lost \(0 %\)\n/,
  stderr: "",
};
/** Lines for proxies, which take what is still on its way for lost when the client half-closes, or may. */
const MANY = Array.from({ length: 5000 }, (_, number) => `${number}`);
const says = (stdout: RegExp): Expected => ({ code: 0, stdout, stderr: "" });

/** What is said beside the reply, as far as it comes before the end. */
const UNASKED = /^(Server says: .*\n)*$/;

const SERVERS: Readonly<Record<string, Foreign>> = {
  "Python's http.server": {
    needs: ["python3"],
    start: () =>
      said(
        ["python3", "-u", "-m", "http.server", "-b", "127.0.0.1", "0"],
        /^Serving HTTP on .* port (\d+) /,
      ),
    ping: {
      code: 1,
      stdout:
        /^wrong reply from HERE: seq=1 "<!DOCTYPE HTML.*>"\n(Server says: .*\n)+[^]*\n2 sent, 0 answered, 2 wrong, 0 lost \(0 %\), 2 connects\nelapsed .*\n(the client .*\n)?$/,
      stderr:
        /^(client: the server has closed the connection after \d\.\d s of silence\n)+(client: 0 of 2 .*\n)?$/,
    },
    connect: CONNECTED,
    message: { ...says(/^<!DOCTYPE HTML.*>\n$/), stderr: UNASKED },
    filter: {
      code: 1,
      stdout: /^<!DOCTYPE HTML.*>\n/,
      // It may leave with lines unread, which is a reset.
      stderr:
        /^client: the server (sent more replies than messages|has reset the connection: \d of 3 messages were answered)\n$/,
    },
  },
  "an SMTP server": {
    needs: ["python3"],
    start: () => said(["python3", "-u", "-c", GREETER], /^port (\d+)\n/),
    ping: {
      code: 1,
      // The greeting may come before the first message is said, or after.
      stdout:
        /(Server says|wrong reply from HERE: seq=1).* "?220 here ESMTP"?\n[^]*502 5\.5\.2 [^]*\n2 sent, 0 answered, 2 wrong, 0 lost \(0 %\)\nelapsed .*\n(the client .*\n)?$/,
      stderr: "client: 0 of 2 messages were answered: 2 wrong " +
        "(a reply holds its message; with --any, any line is one)\n",
    },
    connect: CONNECTED,
    message: { ...says(/^(220|502) .*\n$/), stderr: UNASKED },
    filter: {
      code: 1,
      stdout: /^220 here ESMTP\r?\n(502 [^\n]*\n){1,3}$/,
      stderr: "client: the server sent more replies than messages\n",
    },
  },
  "ncat -k -e /bin/cat": {
    needs: ["ncat"],
    start: () => own(7101, ["ncat", "-l", "-k", "-e", "/bin/cat", OWN, "7101"]),
    ping: answered(6),
    message: says(/^hello\n$/),
    filter: says(/^one\ntwo\nthree\n$/),
  },
  "socat": {
    needs: ["socat"],
    start: () =>
      said(
        ["socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork,backlog=100", "EXEC:cat"],
        /listening on .*:(\d+)\n/,
      ),
    ping: answered(6),
    message: says(/^hello\n$/),
    filter: says(/^one\ntwo\nthree\n$/),
  },
  "HAProxy before ours": {
    needs: ["haproxy"],
    start: () =>
      before(
        7102,
        (file) => ["haproxy", "-db", "-f", file],
        (server) =>
          `defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
listen readback
  bind ${OWN}:7102
  server one ${server}
`,
      ),
    ping: answered(33),
    connect: CONNECTED,
    message: says(/^\[hello\] .{24}\n$/),
    filter: { code: 0, stdout: MANY, stderr: "" },
  },
  "nginx before ours": {
    needs: ["nginx"],
    start: () =>
      before(
        7103,
        (file) => ["nginx", "-e", "stderr", "-c", file],
        (server, folder) =>
          `daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events {}
stream {
  server {
    listen ${OWN}:7103;
    proxy_pass ${server};
  }
}
`,
      ),
    ping: answered(33),
    message: says(/^\[hello\] .{24}\n$/),
    filter: { code: 0, stdout: MANY, stderr: "" },
  },
};

const WAYS = {
  ping: ["--ping", "-c", "2", "-i", "100ms"],
  connect: ["--ping", "--connect", "-c", "2", "-i", "20ms"],
  message: ["-m", "hello"],
  filter: ["--quiet"],
} as const;

/** Checks that each line is the reply to its message. */
function assertReplies(stdout: string, messages: readonly string[]): void {
  const replies = stdout.split("\n");
  const wrong = replies.findIndex((reply, at) => !reply.startsWith(`[${messages[at]}] `));
  assertEquals(wrong, messages.length, `reply ${wrong} is ${replies[wrong]}`); // after the last LF is nothing
}

describe("the client says what is so, with --ping, --ping --connect, -m and as a filter", () => {
  for (const [name, foreign] of Object.entries(SERVERS)) {
    it(`before ${name}`, requires(...foreign.needs), async () => {
      await using server = await foreign.start();
      const { hostname, port } = server;
      for (const [way, args] of Object.entries(WAYS)) {
        const due = foreign[way as keyof typeof WAYS];
        if (due === undefined) continue;
        const { code, stdout, stderr } = due;
        await using client = startClient([`${hostname}:${port}`, "-t", "5s", ...args]);
        const lines = stdout instanceof RegExp ? ["one", "two", "three"] : stdout;
        if (way === "filter") await client.type(`${lines.join("\n")}\n`);
        await client.endInput();
        const is = await client.exitCode();
        const said = client.stdout.replaceAll(`${hostname}:${port}`, "HERE");
        const told = `${way}, exit ${is}\n--- stdout\n${said}\n--- stderr\n${client.stderr}`;
        assertEquals(is, code, told);
        if (stdout instanceof RegExp) assertMatch(said, stdout, told);
        else assertReplies(said, stdout);
        if (typeof stderr === "string") assertEquals(client.stderr, stderr, told);
        else assertMatch(client.stderr, stderr, told);
      }
    });
  }
});
