/** One measurement: a server on one core, a load program on another. */

import { memoryOf } from "./machine.ts";
import { compile } from "./peers.ts";
import { Process, type Start } from "./process.ts";
import { sleep } from "../../lib/wait.ts";

/** Figures by name; what each is, its row's columns tell. */
export type Figures = Readonly<Record<string, number>>;

const LOADS = new URL("./load/", import.meta.url).pathname;
/** How long a server may take to be ready, in ms. */
const PATIENCE = 10_000;
/** How long a load runs before it measures, in seconds. */
const WARM_UP = 0.3;
/** How long memory may settle, in ms. */
const SETTLE = 300;

/** A server that is ready. */
export interface Ready extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  /** From start to ready, in ms. */
  readonly took: number;
}

/** Where and how to measure. */
export class Bench {
  /**
   * @param dir for what is compiled and written
   * @param serverCore undefined where nothing can be pinned
   */
  constructor(
    readonly dir: string,
    readonly serverCore: number | undefined,
    readonly loadCore: number | undefined,
  ) {}

  /** Compiles the load programs; false without a C compiler. */
  async compileLoads(): Promise<boolean> {
    for (const name of ["steady", "storm", "flood"]) {
      if (!await compile(this.dir, name, ["cc", "-O2"], `${LOADS}${name}.c`)) return false;
    }
    return true;
  }

  /**
   * Starts a server and waits until it says where it listens.
   * @param to the file that is to be its standard output
   */
  async server(command: readonly string[], to?: string): Promise<Ready> {
    if (to) await Deno.remove(to).catch(() => {}); // it would hold the ready line of another
    const began = performance.now();
    const server = new Process(command, { core: this.serverCore, ...(to ? { to } : {}) });
    const timer = setTimeout(() => server.kill(), PATIENCE);
    try {
      const line = await (to ? firstLine(to, server) : server.line());
      const port = Number(/^listening on 127\.0\.0\.1:(\d+)$/.exec(line)?.[1]);
      if (!port) throw new Error(`${command.join(" ")}: said "${line}"`);
      const took = performance.now() - began;
      const dispose = () => server[Symbol.asyncDispose]();
      return { port, pid: server.pid, took, [Symbol.asyncDispose]: dispose };
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** `connections` say `depth` messages of `size` bytes at a time each, for so many seconds. */
  async steady(
    server: Ready,
    { connections = 50, depth = 1, size = 16, seconds = 1 },
  ): Promise<Figures> {
    const { port, pid } = server;
    const numbers = [port, pid, connections, depth, size, WARM_UP, seconds];
    const get = await this.#load("steady", numbers);
    const messages = get("messages"), measured = get("seconds");
    return {
      ready: server.took,
      cpu: get("serverCpu") / messages * 1e6,
      rate: messages / measured,
      p50: get("p50") / 1000,
      p99: get("p99") / 1000,
      p999: get("p999") / 1000,
      unanswered: get("unanswered"),
      evenness: get("tenth") / get("median"),
      serverBusy: get("serverCpu") / measured,
      loadBusy: get("loadCpu") / measured,
    };
  }

  /** `connections` at once, a message each; then what each of them costs while it is silent. */
  async storm(server: Ready, connections: number): Promise<Figures> {
    const before = memoryOf(server.pid);
    let after = before;
    const get = await this.#load("storm", [server.port, connections], async () => {
      await sleep(SETTLE);
      after = memoryOf(server.pid);
    });
    return {
      seconds: get("seconds"),
      unanswered: get("unanswered"),
      memory: (after - before) / connections / 1024,
    };
  }

  /** One client at full speed, with messages of `size` bytes, while another measures its round trips. */
  async flood(server: Ready, size: number, seconds: number): Promise<Figures> {
    const get = await this.#load("flood", [server.port, size, WARM_UP, seconds]);
    return {
      p50: get("p50") / 1000,
      p99: get("p99") / 1000,
      worst: get("worst") / 1000,
      trips: get("trips"),
      flooded: get("flooded"),
    };
  }

  /** Runs a program from one file to another on the load's core; gives the seconds it took. */
  async filter(command: readonly string[], from: string, to: string): Promise<number> {
    const began = performance.now();
    await using program = new Process(command, { ...this.#onLoadCore(), from, to });
    if (!await program.over) throw new Error(`${command.join(" ")}: ${program.complaint}`);
    return (performance.now() - began) / 1000;
  }

  /** Runs a load program; `meanwhile` is called when it has told its figures and before it leaves. */
  async #load(
    name: string,
    numbers: readonly number[],
    meanwhile?: () => Promise<void>,
  ): Promise<(name: string) => number> {
    const command = [`${this.dir}/${name}`, ...numbers.map(String)];
    await using load = new Process(command, this.#onLoadCore());
    const figures: Record<string, number> = JSON.parse(await load.line());
    await meanwhile?.();
    await load.finish();
    if (!await load.over) throw new Error(`${name}: ${load.complaint}`);
    return (figure) => figures[figure] ?? NaN;
  }

  #onLoadCore(): Start {
    return { core: this.loadCore };
  }
}

/** The first line of a file that a program writes; there is nothing to wait on but time. */
async function firstLine(path: string, program: Process): Promise<string> {
  let over = false;
  program.over.then(() => over = true);
  for (;;) {
    const text = await Deno.readTextFile(path).catch(() => "");
    if (text.includes("\n")) return text.slice(0, text.indexOf("\n"));
    if (over) throw new Error(program.complaint || "ended");
    await sleep(5);
  }
}
