/**
 * Whoever reads the server's output, and its complaints too, stops, goes away, or
 * the disk is full. Each throws when it fails.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Peer } from "../../lib/client/peer.ts";
import { Program } from "../../lib/testing/program.ts";
import { program } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";
import { sockets } from "./proc.ts";
import { isPending, sleep } from "../../lib/wait.ts";

/** A message that is told in a line of some 1,000 bytes; so many are more than the server holds. */
const MESSAGE = "x".repeat(990);
const TOO_MANY = 3500;
/** How long the account may take, in ms: only a failure does. */
const PATIENCE = 20_000;

/** How lines that were not told are counted. */
const ACCOUNT = /^\((\d+) lines were dropped\)\n/m;

/** A server whose standard output is ours to mistreat. */
class Told implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  readonly output: ReadableStreamDefaultReader<Uint8Array>;
  readonly errors: ReadableStreamDefaultReader<Uint8Array>;
  port = 0;

  constructor(command: readonly string[]) {
    const [name = "", ...args] = command;
    const root = new URL("../..", import.meta.url);
    const streams = { stdin: "null", stdout: "piped", stderr: "piped" } as const;
    this.child = new Deno.Command(name, { args, cwd: root, ...streams }).spawn();
    this.output = this.child.stdout.getReader();
    this.errors = this.child.stderr.getReader();
  }

  /** Reads its output until something was said; gives all since. */
  until(words: RegExp): Promise<string> {
    return readUntil(this.output, words);
  }

  /** Its one complaint must be that its output can't be written. */
  async assertComplains(): Promise<void> {
    const said = await readUntil(this.errors, /\n/);
    assertMatch(said, /^server: cannot write to standard output: .*; the conversations go on\n$/);
  }

  /** Asks it to stop, which must work though nobody hears it. */
  async stops(): Promise<void> {
    this.child.kill("SIGTERM");
    assert(!await isPending(this.child.status, PATIENCE), "has not ended");
    assertEquals((await this.child.status).code, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.output.cancel();
    await this.errors.cancel();
    await this.child.status;
  }
}

/** The reader stops, and comes back: what it missed is counted. */
export async function readerStops(): Promise<string> {
  return account(await unread([], ACCOUNT));
}

/** What a server says of more than it could: all up to and with some words. */
export async function unread(args: readonly string[], words: RegExp): Promise<string> {
  await using server = new Told([...program("server"), "--port", "0", ...args]);
  server.port = Number(/:(\d+)["\n]/.exec(await server.until(/listening.*\n/))?.[1]);
  await converse(server.port, TOO_MANY);
  return await server.until(words);
}

/** The reader goes away: the conversations go on. */
export async function readerLeaves(): Promise<void> {
  await using server = new Told([...program("server"), "--port", "0"]);
  server.port = Number(/:(\d+)\n/.exec(await server.until(/listening on .*\n/))?.[1]);
  await server.output.cancel();
  await converse(server.port, 100);
  await server.assertComplains();
}

/** The disk is full, and has room again: what could not be told is counted. A limit on a file's size stands in. */
export async function diskFull(): Promise<string> {
  const file = await Deno.makeTempFile();
  const redirected = ["sh", "-c", `exec "$@" >> ${file}`, "sh"];
  await using server = new Told([...redirected, ...program("server"), "--port", "0"]);
  const limit = async (size: string) => {
    const args = ["--pid", String(server.child.pid), `--fsize=${size}:`];
    assert((await new Deno.Command("prlimit", { args }).output()).success);
  };
  try {
    server.port = Number(/:(\d+)\n/.exec(await fileUntil(file, /listening on .*\n/))?.[1]);
    await limit("8192"); // the system sends SIGXFSZ too
    await converse(server.port, TOO_MANY);
    await server.assertComplains();
    await limit("unlimited");
    return account(await fileUntil(file, ACCOUNT));
  } finally {
    await Deno.remove(file);
  }
}

/** Output and complaints go to one full disk: the server goes on, and ends as it should. */
export async function bothOnFullDisk(): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "readback-full-" });
  const args = ["--unix", `${folder}/s`]; // a port it could tell nobody
  const full = ["sh", "-c", 'exec "$@" > /dev/full 2>&1', "sh"];
  try {
    await using server = new Program([...full, ...program("server", args), ...args]);
    for (const message of ["one", "two"]) {
      using peer = await Peer.connect({ path: `${folder}/s`, wait: PATIENCE });
      assertMatch((await peer.request(message)).text, new RegExp(`^\\[${message}\\] `));
    }
    server.signal("SIGTERM");
    await server.ends(0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Output and complaints go to one pipe whose reader stops: likewise. */
export async function bothUnread(): Promise<void> {
  const limited = 'ulimit -n 40; exec "$@" 2>&1';
  await using server = new Told(
    ["bash", "-c", limited, "bash", ...program("server"), "--port", "0"],
  );
  server.port = Number(/:(\d+)\n/.exec(await server.until(/listening on .*\n/))?.[1]);
  await converse(server.port, TOO_MANY);
  {
    using crowd = new DisposableStack(); // more than it has descriptors for: it complains
    for (let client = 0; client < 60; client++) crowd.use(await Wire.dial(server.port));
    for (let before = -1, now = 0; before !== now; await sleep(20)) {
      before = now;
      now = await sockets(server.child.pid);
    }
  }
  await converse(server.port, 1);
  await server.stops();
}

/** What is wrong with a command line can't be told: the exit code says so all the same. */
export async function usageErrorOnFullDisk(): Promise<void> {
  for (const name of ["server", "client"] as const) {
    const full = ["sh", "-c", 'exec "$@" > /dev/full 2>&1', "sh"];
    await using wrong = new Program([...full, ...program(name), "--frobnicate"]);
    await wrong.ends(2);
  }
}

/** Every message must have been told or counted. */
function account(said: string): string {
  const untold = Number(ACCOUNT.exec(said)?.[1]);
  const told = said.split("Server received data").length - 1;
  assert(told + untold >= TOO_MANY, `${told} told and ${untold} counted of ${TOO_MANY}`);
  return `${told} messages told later, ${untold} lines counted`;
}

/** A conversation of so many messages; all are answered. */
async function converse(port: number, messages: number): Promise<void> {
  using wire = await Wire.dial(port);
  const lines = `${MESSAGE}\n`.repeat(messages);
  const [heard] = await Promise.all([wire.rest(), wire.send(lines).then(() => wire.end())]);
  assert(unstamped(heard) === `[${MESSAGE}] STAMP\n`.repeat(messages), "a reply is wrong");
}

async function fileUntil(file: string, words: RegExp): Promise<string> {
  for (const late = performance.now() + PATIENCE; performance.now() < late; await sleep(50)) {
    const said = await Deno.readTextFile(file);
    if (words.test(said)) return said;
  }
  throw new Error(`${file} never said ${words}: ${(await Deno.readTextFile(file)).slice(-1000)}`);
}

/** Reads on until something was said; gives all of it. */
async function readUntil(
  stream: ReadableStreamDefaultReader<Uint8Array>,
  words: RegExp,
): Promise<string> {
  const decoder = new TextDecoder();
  let said = "", last = ""; // the words are in what came last
  while (!words.test(last)) {
    const { value, done } = await stream.read();
    assert(!done, `ended and never said ${words}: ${last}`);
    const text = decoder.decode(value, { stream: true });
    said += text;
    last = `${last.slice(-1000)}${text}`;
  }
  return said;
}
