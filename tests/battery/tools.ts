/** What others use to talk to a server. */

import { assertEquals } from "@std/assert";

const LF = 10;

/** The tools, and what makes each send end-of-file and wait for the last reply. */
export const TOOLS: Readonly<Record<string, (port: number) => string[]>> = {
  ncat: (port) => ["ncat", "127.0.0.1", String(port)],
  "nc -N": (port) => ["nc", "-N", "127.0.0.1", String(port)],
  socat: (port) => ["socat", "-t", "30", "-", `TCP:127.0.0.1:${port}`],
};

/** So many lines through a filter come back as so many replies. */
export async function lines(command: readonly string[], count: number): Promise<string> {
  const start = performance.now();
  const [name = "", ...args] = command;
  const child = new Deno.Command(name, {
    args,
    cwd: new URL("../..", import.meta.url),
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const numbers = ReadableStream.from(numbered(count)).pipeTo(child.stdin);
  let replies = 0;
  for await (const chunk of child.stdout) {
    for (const byte of chunk) if (byte === LF) replies++;
  }
  const { code } = await child.status;
  await numbers.catch(() => {}); // it ended before it had read all: then replies are missing
  assertEquals({ replies, code }, { replies: count, code: 0 });
  const seconds = (performance.now() - start) / 1000;
  return `${count} lines, ${replies} replies in ${seconds.toFixed(1)} s`;
}

function* numbered(count: number): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  for (let at = 0; at < count; at += 5000) {
    const length = Math.min(5000, count - at);
    yield encoder.encode(Array.from({ length }, (_, more) => `${at + more}\n`).join(""));
  }
}
