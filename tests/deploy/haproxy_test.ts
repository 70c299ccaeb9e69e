/** Two servers behind a real HAProxy, with the configuration in deploy/. */

import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, ServerProgram } from "../../lib/testing/readback.ts";
import { replaced } from "../support/pages.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";
import { unstamped } from "../support/replies.ts";

const CONFIG = await Deno.readTextFile(new URL("haproxy.cfg", import.meta.url));
const ARGS = ["--proxy-protocol", "127.0.0.1", "--drain", "2s", "--log", "json"];
/** What no wait for HAProxy should take, in ms: only a failure does. */
const PATIENCE = 20_000;

/** Starts a server that trusts this machine. */
async function startBehind(port = 0): Promise<ServerProgram> {
  const args = ["--port", String(port), ...ARGS];
  const server = new ServerProgram([...program("server", args), ...args]);
  server.port = Number((await server.until(/"port":(\d+)\}/))[1]);
  return server;
}

/** HAProxy before two servers. */
class HAProxy extends Program {
  private constructor(readonly folder: string, readonly hostname: string) {
    super(["haproxy", "-db", "-f", `${folder}/haproxy.cfg`]);
  }

  /** Starts it; it accepts connections then. */
  static async start(one: number, two: number, header = "send-proxy-v2"): Promise<HAProxy> {
    const folder = await Deno.makeTempDir();
    // It takes no port 0; an address of this process's own can't be taken either.
    const pid = Deno.pid;
    const hostname = `127.${128 + (pid >> 16)}.${pid >> 8 & 255}.${pid & 255}`;
    const config = replaced(CONFIG, {
      "bind :6969": `bind ${hostname}:6969`,
      "10.0.0.11:6969": `127.0.0.1:${one}`,
      "10.0.0.12:6969": `127.0.0.1:${two}`,
      "send-proxy-v2": header,
    });
    const stats = `global\n    stats socket ${folder}/stats\n\n`;
    await Deno.writeTextFile(`${folder}/haproxy.cfg`, stats + config);
    const haproxy = new HAProxy(folder, hostname);
    try {
      await haproxy.untilServers((servers) => servers.every(isUp));
      return haproxy;
    } catch (error) {
      await haproxy[Symbol.asyncDispose]();
      throw error;
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }

  /** Connects a client. */
  dial(): Promise<Wire> {
    return Wire.dial(6969, this.hostname);
  }

  /** Waits until its statistics of the two servers are as wanted. */
  async untilServers(wanted: (servers: Row[]) => boolean): Promise<Row[]> {
    const latest = performance.now() + PATIENCE;
    for (;;) {
      const servers = await this.#servers().catch(() => []); // it is not up yet
      if (servers.length === 2 && wanted(servers)) return servers;
      assert(performance.now() < latest, `${JSON.stringify(servers)}\n${this.stderr}`);
      await sleep(20); // nothing tells when they change
    }
  }

  async #servers(): Promise<Row[]> {
    using conn = await Deno.connect({ transport: "unix", path: `${this.folder}/stats` });
    await conn.write(new TextEncoder().encode("show stat\n"));
    const [head = "", ...rows] = (await new Response(conn.readable).text()).trim().split("\n");
    const names = head.replace("# ", "").split(",");
    return rows.map((row) => row.split(","))
      .map((row) => Object.fromEntries(names.map((name, at) => [name, row[at] ?? ""])))
      .filter((row) => ["one", "two"].includes(row["svname"] ?? ""));
  }
}

/** A line of HAProxy's statistics. */
type Row = Record<string, string>;

const isUp = (row: Row) => row["status"] === "UP" && row["check_status"] === "L7OK";

/** An event as a server tells it. */
interface Event {
  event: string;
  client?: string;
  bytes?: number;
}

/** What a server has told. */
function eventsOf({ stdout }: Program, event: string): Event[] {
  return stdout.trim().split("\n").map((line) => JSON.parse(line) as Event)
    .filter((told) => told.event === event);
}

const addressOf = ({ conn }: Wire) => `${conn.localAddr.hostname}:${conn.localAddr.port}`;

/** Opens a connection, says one message, hears its reply and closes, over and over; gives how many. */
async function comeAndGo(haproxy: HAProxy, name: string, until: AbortSignal): Promise<number> {
  for (let number = 0;; number++) {
    if (until.aborted) return number;
    using wire = await haproxy.dial();
    await wire.send(`${name} ${number}\n`);
    assertEquals(unstamped(await wire.until(/\n/)), `[${name} ${number}] STAMP\n`);
    await sleep(5); // the load leaves time for others
  }
}

/**
 * Says messages without waiting for replies; when the conversation is ended, says
 * those that were not answered in the next one.
 * @return how many were answered, each once, and in how many conversations
 */
async function stayAndTalk(haproxy: HAProxy, until: AbortSignal): Promise<[number, number]> {
  let answered = 0;
  for (let conversations = 1;; conversations++) {
    using wire = await haproxy.dial();
    let isOver = false;
    const saying = (async (next: number) => {
      for (; !until.aborted && !isOver; next += 10) {
        await wire.send(Array.from({ length: 10 }, (_, more) => `${next + more}\n`).join(""));
        await sleep(5);
      }
      if (!isOver) await wire.end();
    })(answered);
    const heard = wire.rest().finally(() => isOver = true); // a reset throws
    const [all] = await Promise.all([heard, saying]);
    const replies = unstamped(all).split("\n");
    assertEquals(replies.pop(), "", "the last reply is not whole");
    for (const reply of replies) assertEquals(reply, `[${answered++}] STAMP`);
    if (until.aborted) return [answered, conversations];
  }
}

describe("behind HAProxy", requires("haproxy"), () => {
  for (const header of ["send-proxy", "send-proxy-v2"]) {
    it(`${header}: connections spread, the transcript names the clients, the statistics agree`, async () => {
      await using one = await startBehind();
      await using two = await startBehind();
      await using haproxy = await HAProxy.start(one.port, two.port, header);
      const clients: string[] = [];
      {
        using wires = new DisposableStack();
        for (let number = 0; number < 20; number++) {
          const wire = wires.use(await haproxy.dial());
          clients.push(addressOf(wire));
          await wire.send(`hello from ${number}\n`);
          assertEquals(unstamped(await wire.until(/\n/)), `[hello from ${number}] STAMP\n`);
        }
      }
      const rows = await haproxy.untilServers((rows) => rows.every((row) => row["scur"] === "0"));
      const told = [];
      for (const [at, server] of [one, two].entries()) {
        await server.until(/("event":"ended"[^]*){10}"waiting"/);
        const connected = eventsOf(server, "connected");
        const bytes = eventsOf(server, "message").reduce(
          (sum, { bytes = 0 }) => sum + bytes + 1,
          0,
        );
        assertEquals([String(connected.length), String(bytes)], [
          rows[at]?.["stot"],
          rows[at]?.["bin"],
        ]);
        assertEquals(connected.length, 10);
        told.push(...connected.map(({ client = "" }) => client));
      }
      assertEquals(told.toSorted(), clients.toSorted()); // and no health check
    });
  }

  it("a server that is stopped under load loses no reply, goes, and comes back", async () => {
    await using one = await startBehind();
    await using two = await startBehind();
    await using haproxy = await HAProxy.start(one.port, two.port);
    const stop = new AbortController();
    const load = Promise.all([
      Promise.all(["a", "b", "c", "d"].map((name) => comeAndGo(haproxy, name, stop.signal))),
      Promise.all(Array.from({ length: 4 }, () => stayAndTalk(haproxy, stop.signal))),
    ]);
    const during = <T>(wait: Promise<T>) => Promise.race([wait, load.then(() => wait)]);
    await during(haproxy.untilServers((rows) => rows.every((row) => Number(row["stot"]) > 50)));

    one.signal("SIGTERM");
    await during(haproxy.untilError("Server readback/one is DOWN"));
    await during(one.ends(0));
    const [gone] = await during(haproxy.untilServers(([row]) => row?.["scur"] === "0"));
    await using again = await startBehind(one.port);
    await during(haproxy.untilError("Server readback/one is UP"));
    await during(
      haproxy.untilServers(([row]) => Number(row?.["stot"]) > Number(gone?.["stot"]) + 50),
    );
    stop.abort();

    const [counts, talks] = await load;
    assert(talks.some(([, conversations]) => conversations > 1), "nobody had to go to the other");
    const replies = [...counts, ...talks.map(([answered]) => answered)]
      .reduce((sum, count) => sum + count);
    const rows = await haproxy.untilServers((rows) => rows.every((row) => row["scur"] === "0"));
    const servers = [one, again, two];
    for (const server of [two, again]) {
      server.signal("SIGTERM");
      await server.ends(0);
    }
    const heard = servers.flatMap((server) => eventsOf(server, "message")).length;
    assertEquals(
      heard,
      replies,
      "a message that a server heard has no reply",
    );
    const connected = servers.flatMap((server) => eventsOf(server, "connected")).length;
    assertEquals(connected, rows.reduce((sum, row) => sum + Number(row["stot"]), 0));
    for (const server of servers) {
      assertEquals([eventsOf(server, "refused"), server.stderr], [[], ""]);
    }
  });
});
