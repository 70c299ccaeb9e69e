/** The experiments of docs/learn.md: a server, a client in Python, and what each of them prints. */

import { Program } from "../../lib/testing/program.ts";
import { startServer } from "../../lib/testing/readback.ts";
import type { Page } from "./pages.ts";
import { STAMP } from "./replies.ts";

/** One experiment, as its section of the page shows it. */
export interface Experiment {
  readonly title: string;
  /** Arguments of the server. */
  readonly args: readonly string[];
  /** The client. */
  readonly python: string;
  readonly output: Output;
}

/** What the two programs print. */
export interface Output {
  /** After the line that says where the server listens. */
  readonly server: string;
  readonly client: string;
}

const START = "$ deno task server ";
const PORT = 6969;

/** Reads the experiments of a page: sections with a console block, a Python block and its output. */
export function experimentsIn(page: Page): Experiment[] {
  const sections = Map.groupBy(page.blocks, ({ section }) => section);
  return [...sections].flatMap(([title, [start, python, client]]) => {
    if (!start?.code.startsWith(START) || python?.language !== "python") return [];
    const [command = "", , ...server] = start.code.split("\n");
    const args = command.slice(START.length).split(" ");
    return [{
      ...{ title, args, python: python.code },
      output: { server: server.join("\n"), client: client?.code ?? "" },
    }];
  });
}

/** Runs each line of its input as a program of its own; the end of one is a NUL. Python starts twice as fast without its site packages. */
const RUN = `import json, sys
for line in sys.stdin:
    exec(json.loads(line), {"__name__": "__main__"})
    print("\\0", end="", flush=True)
`;

/** Runs experiments on the same server, and returns what the page should show of each. */
export async function run(experiments: readonly Experiment[]): Promise<Output[]> {
  await using server = await startServer(experiments[0]?.args);
  await using python = new Program(["python3", "-IS", "-c", RUN]);
  for (const { python: code, output } of experiments) {
    await python.type(`${JSON.stringify(code.replaceAll(`${PORT}`, `${server.port}`))}\n`);
    await python.until("\0");
    for (const _ of linesOf(output.server)) await server.until("\n");
  }
  await python.endInput();
  await python.ends(0);
  server.signal("SIGTERM");
  await server.ends(0);
  const clients = python.stdout.split("\0");
  const [, ...lines] = linesOf(server.stdout.replaceAll(`:${server.port}`, `:${PORT}`));
  return experiments.map(({ output }, at) => {
    // A line too many is the last one's.
    const end = at === experiments.length - 1 ? Infinity : linesOf(output.server).length;
    return { server: lines.splice(0, end).join(""), client: clients[at] ?? "" };
  });
}

/** The lines of a text, each with its LF. */
const linesOf = (text: string): string[] => text.match(/.*\n/g) ?? [];

/** Replaces what differs from run to run: times, stamps, ports and amounts of buffered data. */
export function comparable({ server, client }: Output): Output {
  const plain = (text: string) =>
    text.replace(/^ +\d+\.\d{3}/gm, "TIME")
      .replace(new RegExp(STAMP, "g"), "STAMP")
      .replace(/\] [A-Z][a-z]{2}[^"\n]*…/g, "] STAMP…")
      .replace(/127\.0\.0\.1:\d{5}/g, "CLIENT")
      .replace(/\d+(?= MB)/g, "N")
      .replace(/(\d+) replies to \1 messages/g, "N replies to N messages");
  return { server: plain(server), client: plain(client) };
}
