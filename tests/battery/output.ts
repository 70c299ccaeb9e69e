/** Row 26: whoever reads the server's output stops, goes away, or its disk is full. Each throws when it fails. */

import { assert, assertMatch } from "@std/assert";
import { program } from "../../lib/testing/program.ts";
import { unstamped, Wire } from "../../lib/testing/wire.ts";
import { pause } from "./proc.ts";

/** A message that is told in a line of some 1,000 bytes; so many are more than the server holds. */
const MESSAGE = "x".repeat(990);
const TOO_MANY = 5500;
/** How long the account may take, in ms: only a failure does. */
const PATIENCE = 20_000;

/** How lines that were not told are counted. */
const ACCOUNT = /^\((\d+) lines were not told\)\n/m;

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

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
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
  const limited = `ulimit -S -f 8; trap '' XFSZ; exec "$@" >> ${file}`;
  await using server = new Told(
    ["bash", "-c", limited, "bash", ...program("server"), "--port", "0"],
  );
  try {
    server.port = Number(/:(\d+)\n/.exec(await fileUntil(file, /listening on .*\n/))?.[1]);
    await converse(server.port, TOO_MANY);
    await server.assertComplains();
    const raise = ["--pid", String(server.child.pid), "--fsize=unlimited:"];
    assert((await new Deno.Command("prlimit", { args: raise }).output()).success);
    return account(await fileUntil(file, ACCOUNT));
  } finally {
    await Deno.remove(file);
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
  for (const late = performance.now() + PATIENCE; performance.now() < late; await pause(50)) {
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
  let said = "";
  while (!words.test(said.slice(-100_000))) { // the words are in what came last
    const { value, done } = await stream.read();
    assert(!done, `ended and never said ${words}: ${said.slice(-1000)}`);
    said += decoder.decode(value);
  }
  return said;
}
