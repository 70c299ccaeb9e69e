/** The client before servers that nobody here wrote: what each way of asking says, and how it exits. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { ServerProgram, startClient, startServer } from "../../lib/testing/readback.ts";
import { connect } from "../../lib/net/connect.ts";

/** A server that runs, and what it stands on. */
interface Running extends AsyncDisposable {
  readonly hostname: string;
  readonly port: number;
}

/** What the client is to say, and its exit code; `HERE` is the server. */
interface Expected {
  readonly code: number;
  readonly stdout: RegExp;
  readonly stderr: string | RegExp;
}

/** A server: what it needs, how it is started, what is said of it. */
interface Foreign {
  readonly needs: readonly string[];
  start(): Promise<Running>;
  readonly ping: Expected;
  readonly connect: Expected;
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
    const server = stack.use(await startServer(["--quiet"]));
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
    connect: CONNECTED,
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
    connect: CONNECTED,
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
    filter: says(/^\[one\] .{24}\n\[two\] .{24}\n\[three\] .{24}\n$/),
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
    connect: CONNECTED,
    message: says(/^\[hello\] .{24}\n$/),
    filter: says(/^\[one\] .{24}\n\[two\] .{24}\n\[three\] .{24}\n$/),
  },
};

const WAYS = {
  ping: ["--ping", "-c", "2", "-i", "100ms"],
  connect: ["--ping", "--connect", "-c", "2", "-i", "20ms"],
  message: ["-m", "hello"],
  filter: ["--quiet"],
} as const;

const LINES = 5000;
/** These take what is still on its way for lost when the client half-closes, or may. */
const PROXIES = ["HAProxy before ours", "nginx before ours"];

for (const name of PROXIES) {
  const { needs: what, start } = SERVERS[name] as Foreign;
  describe(`${LINES} lines through ${name}`, requires(...what), () => {
    it("are all answered", async () => {
      await using server = await start();
      await using client = startClient([`${server.hostname}:${server.port}`, "--quiet"]);
      const lines = Array.from({ length: LINES }, (_, number) => `${number}`);
      await client.type(lines.map((line) => `${line}\n`).join(""));
      await client.endInput();
      await client.ends(0);
      const wrong = client.stdout.split("\n").findIndex((reply, at) =>
        !reply.startsWith(`[${lines[at]}] `)
      );
      assertEquals(wrong, LINES, `reply ${wrong} is not to its line`); // after the last LF is nothing
    });
  });
}

for (const [name, foreign] of Object.entries(SERVERS)) {
  describe(`before ${name}`, requires(...foreign.needs), () => {
    it("the client says what is so, with --ping, --ping --connect, -m and as a filter", async () => {
      await using server = await foreign.start();
      const { hostname, port } = server;
      for (const [way, args] of Object.entries(WAYS)) {
        await using client = startClient([`${hostname}:${port}`, "-t", "5s", ...args]);
        if (way === "filter") await client.type("one\ntwo\nthree\n");
        await client.endInput();
        const code = await client.exitCode();
        const { code: due, stdout, stderr } = foreign[way as keyof typeof WAYS];
        const said = client.stdout.replaceAll(`${hostname}:${port}`, "HERE");
        const told = `${way}, exit ${code}\n--- stdout\n${said}\n--- stderr\n${client.stderr}`;
        assertEquals(code, due, told);
        assertMatch(said, stdout, told);
        if (typeof stderr === "string") assertEquals(client.stderr, stderr, told);
        else assertMatch(client.stderr, stderr, told);
      }
    });
  });
}
