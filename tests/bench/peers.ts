/** The servers that are compared: ours, and its peers, each written the way its own people would. */

import { find, works } from "./machine.ts";

/** A server that can be started. */
export interface Peer {
  readonly name: string;
  readonly command: readonly string[];
  /** A target is measured against it, so it is measured in every round; the others in one. */
  readonly rival: boolean;
}

/** The names by which peers can be chosen, ours first. */
export const PEERS = [
  "readback",
  "readback-node",
  "c",
  "go",
  "node",
  "uvloop",
  "asyncio",
  "threads",
  "deno",
] as const;
const RIVALS: readonly string[] = ["readback", "c", "node", "uvloop"];

type Name = typeof PEERS[number];

const ROOT = new URL("../../", import.meta.url).pathname;
const HERE = new URL("./peers/", import.meta.url).pathname;
/** Python's uvloop is often a package of the system's own Python only. */
const PYTHONS = ["/usr/bin/python3", "python3"];

/** Our server as `deno task server` runs it, on a free port, for as many clients as the largest row has. */
export function readback(...options: string[]): string[] {
  const run = [Deno.execPath(), "run", "--allow-net", "--no-prompt"];
  const heap = "--v8-flags=--max-semi-space-size=4";
  return [...run, heap, `${ROOT}server.ts`, "--port", "0", "--max-clients", "20000", ...options];
}

/** Our client as a filter. */
export function readbackFilter(port: number): string[] {
  const run = [Deno.execPath(), "run", "--allow-net", "--no-prompt", `${ROOT}client.ts`];
  return [...run, "--quiet", "127.0.0.1", String(port)];
}

/**
 * Those of the chosen peers that this machine can run, compiled where they must be.
 * @param dir where to compile
 * @param lacks is told what is missing
 */
export async function findPeers(
  chosen: readonly Name[],
  dir: string,
  lacks: (what: string) => void,
): Promise<Peer[]> {
  const withUvloop = await firstThat(PYTHONS, (python) => works(python, "-c", "import uvloop"));
  // One Python for all, so that they differ in nothing else.
  const python = withUvloop ?? await firstThat(PYTHONS, (python) => works(python, "--version"));
  const inPython = (program: string | null, ...args: string[]): string[] | null =>
    program === null ? null : [program, ...args];
  const commands: Record<Name, () => string[] | null | Promise<string[] | null>> = {
    readback: () => readback("--quiet"),
    "readback-node": () => inNode(dir),
    c: () => compile(dir, "epoll", ["cc", "-O2"], `${HERE}epoll.c`),
    go: () => compile(dir, "stamp", ["go", "build"], `${HERE}main.go`),
    node: async () => await find("node") ? ["node", `${HERE}node.mjs`] : null,
    uvloop: () => inPython(withUvloop, `${HERE}asyncio_peer.py`, "--uvloop"),
    asyncio: () => inPython(python, `${HERE}asyncio_peer.py`),
    deno: () => [Deno.execPath(), "run", "--allow-net", "--no-prompt", `${HERE}deno.ts`],
    threads: () => inPython(python, `${HERE}threads.py`),
  };
  const peers: Peer[] = [];
  for (const name of chosen) {
    const command = await commands[name]();
    if (command) peers.push({ name, command, rival: RIVALS.includes(name) });
    else lacks(`${name}: ${NEEDS[name]}`);
  }
  return peers;
}

const NEEDS: Record<Name, string> = {
  readback: "needs Deno",
  "readback-node": "needs Node 22 (node)",
  c: "needs a C compiler (cc)",
  go: "needs Go (go)",
  node: "needs Node (node)",
  uvloop: "needs Python 3 with uvloop",
  asyncio: "needs Python 3",
  threads: "needs Python 3",
  deno: "needs Deno",
};

const IN_NODE = `
  import { readback, serve } from "readback";
  const server = serve(readback(), { maxClients: 20_000 });
  console.log("listening on 127.0.0.1:" + server.port);
`;

/** Our library in Node: the package for npm, in a directory. */
async function inNode(dir: string): Promise<string[] | null> {
  if (!await works("node", "-e", "process.exit('withResolvers' in Promise ? 0 : 1)")) return null;
  const args = [
    "run",
    "--quiet",
    "-A",
    ".ci/release.ts",
    "package",
    `${dir}/node_modules/readback`,
  ];
  const { success } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stdout: "null" })
    .output();
  if (!success) return null;
  await Deno.writeTextFile(`${dir}/readback.mjs`, IN_NODE);
  return ["node", `${dir}/readback.mjs`];
}

/** Compiles a source file with a tool; null where there is none. What the tool complains of is shown. */
export async function compile(
  dir: string,
  name: string,
  [tool = "", ...args]: readonly string[],
  source: string,
): Promise<string[] | null> {
  const program = `${dir}/${name}`;
  if (!await find(tool)) return null;
  const command = new Deno.Command(tool, {
    args: [...args, "-o", program, source],
    stderr: "inherit",
  });
  return (await command.output()).success ? [program] : null;
}

async function firstThat<T>(of: readonly T[], is: (one: T) => Promise<boolean>): Promise<T | null> {
  for (const one of of) if (await is(one)) return one;
  return null;
}
