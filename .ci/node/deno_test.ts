/** The parts of Deno that the tests use beyond those of lib/node/deno.ts, for Node. */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs/promises";
import { mkdtempSync, realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import * as node from "node:test";

interface Options {
  name: string;
  ignore?: boolean;
  only?: boolean;
  timeout?: number;
  fn(t: Context): void | Promise<void>;
}

interface Context {
  step(options: Options): Promise<void>;
}

type Body = Options["fn"];

function test(...args: [Options] | [string, Body] | [string, Partial<Options>, Body]): void {
  const [first, second, third] = args;
  const options = typeof first === "object"
    ? first
    : { name: first, ...typeof second === "object" ? second : {}, fn: (third ?? second) as Body };
  const { name, ignore = false } = options;
  node.test(name, { skip: ignore }, (t) => options.fn(contextOf(t)));
}

function contextOf(t: node.TestContext): Context {
  return {
    step: ({ name, ignore = false, fn }) =>
      t.test(name, { skip: ignore }, (inner) => fn(contextOf(inner))),
  };
}

const env = {
  get: (name: string) => process.env[name],
  set: (name: string, value: string) => void (process.env[name] = value),
  delete: (name: string) => delete process.env[name],
  toObject: () => ({ ...process.env }),
};
const makeTempDir = ({ prefix = "", dir = tmpdir() } = {}) => fs.mkdtemp(`${dir}/${prefix}`);
async function makeTempFile({ prefix = "", suffix = "" } = {}): Promise<string> {
  const file = `${tmpdir()}/${prefix}${crypto.randomUUID()}${suffix}`;
  await fs.writeFile(file, "");
  return file;
}
const makeTempDirSync = ({ prefix = "" } = {}) => mkdtempSync(`${tmpdir()}/${prefix}`);
const remove = (path: string, options = {}) => fs.rm(path, options);
const writeTextFile = (path: string, text: string, { mode = 0o666 } = {}) =>
  fs.writeFile(path, text, { mode });
const readTextFile = (path: string) => fs.readFile(path, "utf8");
const readFile = async (path: string) => new Uint8Array(await fs.readFile(path));
/** The part of `DisposableStack` that the tests use. */
class Disposables {
  readonly #used: Disposable[] = [];

  use<T extends Disposable>(one: T): T {
    this.#used.push(one);
    return one;
  }

  [Symbol.dispose](): void {
    for (const one of this.#used.reverse()) one[Symbol.dispose]();
  }
}

const cwd = () => process.cwd();
const kill = (pid: number, signal: NodeJS.Signals) => void process.kill(pid, signal);
/** The Deno that runs the programs. */
const execPath = () =>
  env.get("DENO") ??
    spawnSync("deno", ["eval", "console.log(Deno.execPath())"]).stdout.toString().trim();
const symlink = (from: string, to: string) => fs.symlink(from, to);
const realPathSync = (path: string) => realpathSync(path);

export {
  cwd as "Deno.cwd",
  Disposables as DisposableStack,
  env as "Deno.env",
  execPath as "Deno.execPath",
  kill as "Deno.kill",
  makeTempDir as "Deno.makeTempDir",
  makeTempDirSync as "Deno.makeTempDirSync",
  makeTempFile as "Deno.makeTempFile",
  readFile as "Deno.readFile",
  readTextFile as "Deno.readTextFile",
  realPathSync as "Deno.realPathSync",
  remove as "Deno.remove",
  symlink as "Deno.symlink",
  test as "Deno.test",
  writeTextFile as "Deno.writeTextFile",
};
