/** Real clients and servers through a relay: all passes as it is, or fails as its faults say. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { Redis, type RedisOptions } from "ioredis";
import { listen, relay, type RelayTarget, serve, type Server } from "../../lib/mod.ts";
import { Program } from "../../lib/testing/program.ts";
import { program } from "../../lib/testing/readback.ts";
import { requires } from "../../lib/testing/requires.ts";

/** Prints where the programs of PostgreSQL's server are, which are not on the path. */
const POSTGRES = "dirname $(ls /usr/lib/postgresql/*/bin/initdb | tail -1)";

/** A relay in this process. */
async function relayTo(target: RelayTarget, faults?: string): Promise<Server> {
  return relay(target, { listeners: await listen({ resets: true }), faults, seed: 1, grace: 0 });
}

/** The exit code of what still ran at its time limit. */
const LATE = "late";

/**
 * What a command printed, how it ended, and how long it took.
 * @param timeout after so many milliseconds, it is killed
 */
async function run(command: readonly (string | number)[], timeout?: number) {
  const start = performance.now();
  await using running = new Program(command.map(String));
  const code = timeout === undefined
    ? await running.exitCode()
    : await running.exitCode({ timeout }).catch(() => LATE);
  return { code, took: performance.now() - start, stdout: running.stdout, stderr: running.stderr };
}

/** A program that runs for as long as the tests of it. */
class Service {
  readonly folder = Deno.makeTempDirSync({ prefix: "readback-" });
  #program: Program | undefined;

  async start(command: readonly string[], isReady: RegExp): Promise<void> {
    this.#program = new Program(command);
    await Promise.race([this.#program.until(isReady), this.#program.untilError(isReady)]);
  }

  async stop(): Promise<void> {
    await this.#program?.[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

describe("4 MB each way", () => {
  it("pass byte for byte, at the same time", async () => {
    const LENGTH = 4_000_000;
    const piece = crypto.getRandomValues(new Uint8Array(65_000)); // not a divisor of any buffer's size
    const sha = (bytes?: Uint8Array) => bytes ? hash.update(bytes) : hash;
    const hash = createHash("sha256");
    for (let left = LENGTH; left > 0; left -= piece.length) sha(piece.subarray(0, left));
    const right = hash.digest("hex");
    /** Sends as much as the other end takes, half-closes, and gives the hash of what came. */
    const exchange = async (socket: net.Socket): Promise<string> => {
      const received = createHash("sha256");
      socket.on("data", (bytes: Uint8Array) => received.update(bytes));
      const ended = once(socket, "end");
      for (let left = LENGTH; left > 0; left -= piece.length) {
        if (!socket.write(piece.subarray(0, left))) await once(socket, "drain");
      }
      socket.end();
      await ended;
      return received.digest("hex");
    };
    const server = net.createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const accepted = once(server, "connection");
    const args = ["--port", "0", "--to", `127.0.0.1:${(server.address() as net.AddressInfo).port}`];
    await using relaying = new Program([...program("server", args), ...args]);
    const [, port] = await relaying.until(/listening on .*:(\d+)\n/);
    const client = net.connect({ port: Number(port), host: "127.0.0.1", allowHalfOpen: true });
    const [socket] = await accepted;
    assertEquals(await Promise.all([exchange(client), exchange(socket)]), [right, right]);
    server.close();
    await Promise.all([client, socket].map((one) => one.closed || once(one, "close")));
  });
});

describe("Redis", requires("linux", "redis-server", "redis-cli"), () => {
  const service = new Service();
  const target = { path: `${service.folder}/socket` };
  before(() =>
    service.start(
      [
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        target.path,
        "--save",
        "",
        "--dir",
        service.folder,
      ],
      /Ready to accept|will now accept|ready to accept/,
    )
  );
  after(() => service.stop());

  const cli = (server: Server, ...args: string[]) =>
    run(["redis-cli", "-h", "127.0.0.1", "-p", server.port, ...args], 700);

  it("redis-cli has its pipes, and values of a megabyte", async () => {
    await using server = await relayTo(target);
    const big = "x".repeat(1_000_000);
    await using setting = new Program(["redis-cli", "-p", `${server.port}`, "-x", "SET", "big"]);
    await setting.type(big);
    await setting.endInput();
    await setting.ends(0);
    assertEquals((await cli(server, "GET", "big")).stdout, `${big}\n`);
  });

  for (
    const [faults, code, printed, least] of [
      ["delay=200ms", 0, /^hello\n$/, 199],
      ["up:delay=200ms", 0, /^hello\n$/, 199],
      ["slice=1/5ms", 0, /^hello\n$/, 50],
      ["up:slice=1/5ms", 0, /^hello\n$/, 100],
      ["rate=100", 0, /^hello\n$/, 109], // 11 bytes
      ["up:rate=100", 0, /^hello\n$/, 240], // 25 bytes
      ["read=100", 0, /^hello\n$/, 190], // of which 5 at once
      ["hold=50ms,up:hold=50ms", 0, /^hello\n$/, 0],
      ["cut=3", 1, /^Error: Server closed the connection\n$/, 0],
      ["up:cut=3", 1, /^Error: Server closed the connection\n$/, 0],
      ["reset=3", 1, /^Error: Connection reset by peer\n$/, 0],
      ["refuse", 1, /^Error: |^Could not connect/, 0],
      ["refuse=reset", 1, /^Error: Connection reset by peer\n$|^Could not connect/, 0],
      ["stall=3", LATE, /^$/, 690],
      ["up:stall=3", LATE, /^$/, 690],
      ["deaf", LATE, /^$/, 690],
      ["up:read=3", LATE, /^$/, 690],
    ] as const
  ) {
    it(`redis-cli with ${faults}`, async () => {
      await using server = await relayTo(target, faults);
      const { stdout, stderr, took, ...ended } = await cli(server, "ECHO", "hello");
      assertEquals(ended.code, code, stderr);
      assertMatch(stdout + stderr, printed);
      assert(took >= least, `${took} ms`);
    });
  }

  it("redis-cli that waits is cut off when the connection's life is over", async () => {
    for (
      const [faults, error] of [["life=200ms", "Server closed the connection"], [
        "life=200ms/reset",
        "Connection reset by peer",
      ]] as const
    ) {
      await using server = await relayTo(target, faults);
      const { code, stderr, took } = await cli(server, "BLPOP", "nothing", "0");
      assertEquals([code, stderr], [1, `Error: ${error}\n`]);
      assert(took >= 199 && took < 690, `${took} ms`);
    }
  });

  /** A client of ioredis, which says nothing of errors that a test expects. */
  const connect = ({ port }: Server, options: RedisOptions = {}) => {
    const redis = new Redis({ host: "127.0.0.1", port, lazyConnect: true, ...options });
    redis.on("error", () => {});
    return redis;
  };

  it("ioredis has its pipelines, and what is published", async () => {
    await using server = await relayTo(target, "delay=0..5ms,slice=700/0,up:delay=0..5ms");
    const [redis, subscriber] = [connect(server), connect(server)];
    const numbers = Array.from({ length: 300 }, (_, at) => at);
    const pipeline = redis.pipeline();
    for (const at of numbers) pipeline.set(`key${at}`, "v".repeat(3 * at)).get(`key${at}`);
    const replies = (await pipeline.exec() ?? []).map(([error, value]) => error ?? value);
    assertEquals(replies, numbers.flatMap((at) => ["OK", "v".repeat(3 * at)]));
    await subscriber.subscribe("news");
    const message = once(subscriber, "message");
    await redis.publish("news", "hello");
    assertEquals(await message, ["news", "hello"]);
    const ended = [redis, subscriber].map((one) => once(one, "end"));
    await Promise.all([redis.quit(), subscriber.quit()]);
    await Promise.all(ended);
  });

  it("ioredis tries again, and succeeds with the third connection", async () => {
    await using server = await relayTo(target, "refuse=reset@c1,cut=5@c2");
    const redis = connect(server, { retryStrategy: () => 10, enableReadyCheck: false });
    assertEquals(await redis.ping(), "PONG");
    const ended = once(redis, "end");
    await redis.quit();
    await ended;
  });

  it("ioredis gives up a command that is stalled", async () => {
    await using server = await relayTo(target, "stall");
    const redis = connect(server, {
      commandTimeout: 100,
      enableReadyCheck: false,
      retryStrategy: () => null,
    });
    await assertRejects(() => redis.ping(), Error, "Command timed out");
    const ended = once(redis, "end");
    redis.disconnect();
    await ended;
  });
});

describe("PostgreSQL", requires("linux", "/usr/lib/postgresql/*/bin/initdb"), () => {
  const service = new Service();
  const target = { path: `${service.folder}/.s.PGSQL.5432` };
  let bin = "";
  // As root it does not run: Debian has a user for it.
  const as = requires("root").ignore
    ? []
    : ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
  before(async () => {
    bin = (await run(["sh", "-c", POSTGRES])).stdout.trim();
    const data = `${service.folder}/data`;
    if (as.length > 0) assertEquals((await run(["chown", "postgres", service.folder])).code, 0);
    const made = await run([
      ...as,
      `${bin}/initdb`,
      "-D",
      data,
      "-U",
      "test",
      "-A",
      "trust",
      "--no-sync",
    ]);
    assertEquals(made.code, 0, made.stderr);
    await service.start(
      [...as, `${bin}/postgres`, "-D", data, "-k", service.folder, "-h", "", "-F"],
      /ready to accept connections/,
    );
  });
  after(() => service.stop());

  const psql = (server: Server, query: string) =>
    run([
      `${bin}/psql`,
      `host=127.0.0.1 port=${server.port} user=test dbname=postgres sslmode=disable`,
      "-XAtc",
      query,
    ], 1500);

  it("psql has its rows", async () => {
    await using server = await relayTo(target);
    const { code, stdout } = await psql(
      server,
      "SELECT g, repeat('x', 100) FROM generate_series(1, 5000) g",
    );
    assertEquals(code, 0);
    const rows = Array.from({ length: 5000 }, (_, at) => `${at + 1}|${"x".repeat(100)}\n`);
    assertEquals(stdout, rows.join(""));
  });

  for (
    const [faults, code, printed, least] of [
      ["delay=50ms,slice=100/0,up:slice=1", 0, /^1\n$/, 99],
      ["rate=2k", 0, /^1\n$/, 150],
      ["cut=200", 2, /server closed the connection unexpectedly/, 0],
      ["reset=200", 2, /Connection reset by peer|server closed the connection/, 0],
      ["up:cut=20", 2, /server closed the connection unexpectedly/, 0],
      ["refuse", 2, /server closed the connection unexpectedly/, 0],
      ["refuse=reset", 2, /Connection reset by peer|server closed the connection/, 0],
      ["stall=200", LATE, /^$/, 1490],
    ] as const
  ) {
    it(`psql with ${faults}`, async () => {
      await using server = await relayTo(target, faults);
      const { stdout, stderr, took, ...ended } = await psql(server, "SELECT 1");
      assertEquals(ended.code, code, stderr);
      assertMatch(stdout + stderr, printed);
      assert(took >= least, `${took} ms`);
    });
  }

  it("psql loses its connection in the middle of a query", async () => {
    await using server = await relayTo(target, "life=500ms/reset");
    const { code, stderr, took } = await psql(server, "SELECT pg_sleep(2)");
    assertEquals(code, 2, stderr);
    assert(took < 1490, `${took} ms`);
  });
});

describe("nginx", requires("linux", "nginx", "curl"), () => {
  const service = new Service();
  const target = { path: `${service.folder}/socket` };
  const page = "hello, ".repeat(20_000);
  before(async () => {
    await Deno.chmod(service.folder, 0o755);
    await Deno.writeTextFile(`${service.folder}/page`, page);
    await Deno.writeTextFile(
      `${service.folder}/conf`,
      `daemon off; master_process off; pid ${service.folder}/pid; error_log stderr notice;
events {}
http { access_log off; server { listen unix:${target.path}; root ${service.folder}; } }`,
    );
    await service.start(
      ["nginx", "-e", "stderr", "-c", `${service.folder}/conf`],
      /start worker|nginx\/\d/,
    );
  });
  after(() => service.stop());

  const curl = ({ port }: Server, ...args: string[]) => {
    const url = `http://127.0.0.1:${port}/page`;
    return run([
      "curl",
      "-sS",
      "--max-time",
      "0.7",
      ...args,
      url,
      "--next",
      "-sS",
      "--max-time",
      "0.7",
      ...args,
      url,
    ]);
  };

  it("curl has two pages over one connection", async () => {
    await using server = await relayTo(target, "slice=1000/0");
    const { code, stdout } = await curl(server, "-w", "(%{num_connects})");
    assertEquals([code, stdout], [0, `${page}(1)${page}(0)`]);
  });

  for (
    const [faults, code, error] of [
      ["cut=1000", 18, /transfer closed with \d+ bytes remaining/],
      ["reset=1000", 56, /Connection reset by peer/],
      ["refuse@c1..2", 52, /Empty reply|reset by peer/],
      ["stall=1000", 28, /timed out/],
      ["rate=10k", 28, /timed out/],
      ["up:cut=5", 52, /Empty reply/],
    ] as const
  ) {
    it(`curl with ${faults}`, async () => {
      await using server = await relayTo(target, faults);
      const { code: ended, stderr } = await curl(server, "-o", "/dev/null");
      assert(ended === code || faults.startsWith("refuse") && ended === 56, `${ended}: ${stderr}`);
      assertMatch(stderr, error);
    });
  }
});

describe("a long exchange through nc", requires("nc"), () => {
  it("has every line answered, whatever its pieces and their time", async () => {
    await using behind = serve((message, reply) => reply.write(message), { framing: "line" });
    await using server = await relayTo(
      { port: behind.port },
      "slice=7/0,delay=0..3ms,up:slice=5/0,up:delay=0..3ms",
    );
    await using nc = new Program(["nc", "-N", "127.0.0.1", `${server.port}`]);
    let all = "";
    for (let round = 0; round < 100; round++) {
      const line = `${round}: ${"ls -l ".repeat(round % 17)}\n`;
      await nc.type(line);
      await nc.until(line);
      all += line;
    }
    await nc.endInput();
    await nc.ends(0);
    assertEquals(nc.stdout, all);
  });
});
