/** The JSON events: the tables of docs/events.md, the code's types and the programs' output agree. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import {
  type Ending,
  FramingError,
  type Handler,
  listen,
  readback,
  relay,
  serve,
  type ServeOptions,
  type Server,
} from "../../lib/mod.ts";
import { asJson } from "../../lib/wire/quote.ts";
import { parse } from "../../lib/cli/options.ts";
import type { ClientEvent } from "../../lib/cli/output/report.ts";
import { type Event, type Guest, Transcript } from "../../lib/cli/output/transcript.ts";
import { openLog } from "../../lib/cli/server_log.ts";
import { OPTIONS } from "../../lib/cli/server_options.ts";
import { resetAfter } from "../battery/vanishing.ts";
import { Certificates } from "../support/certificates.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { sleep } from "../../lib/wait.ts";
import { requires } from "../../lib/testing/requires.ts";
import { startClient, startServer } from "../../lib/testing/readback.ts";
import { pages } from "../support/pages.ts";
import { latin1, text, Wire } from "../../lib/testing/wire.ts";

/** A field's type as a program sees it: bytes are told as text. */
type Cell<T> = T extends number ? "number"
  : T extends boolean ? "boolean"
  : T extends readonly { from: string }[] ? "object"
  : "string";

/** The events of a union with their fields' types. The compiler holds a value of it against the union. */
type Fields<U extends { event: string }> = {
  [N in U["event"]]: {
    [K in Exclude<keyof Extract<U, { event: N }>, "event">]-?: Record<never, never> extends
      Pick<Extract<U, { event: N }>, K>
      ? `${Cell<NonNullable<Extract<U, { event: N }>[K]>>}, optional`
      : Cell<Extract<U, { event: N }>[K]>;
  };
};

const SERVER: Fields<Event> = {
  listening: {
    address: "string",
    host: "string, optional",
    port: "number, optional",
    faults: "string, optional",
    orders: "boolean, optional",
    seed: "number, optional",
  },
  waiting: {},
  connected: { client: "string" },
  received: { client: "string", bytes: "number", data: "string" },
  sent: { client: "string", bytes: "number", data: "string" },
  framing: { client: "string", framing: "string", why: "string" },
  message: { client: "string", bytes: "number", data: "string" },
  ended: {
    client: "string",
    reason: "string",
    messages: "number",
    bytes: "number",
    replied: "number, optional",
    duration: "number",
    idle: "number",
  },
  fault: {
    client: "string",
    message: "number, optional",
    fault: "string",
    value: "number, optional",
  },
  eof: { client: "string" },
  refused: { client: "string", reason: "string" },
  vanished: { clients: "number" },
  dropped: { lines: "number" },
  stopping: {},
};

const SUMMARY = {
  server: "string",
  sent: "number",
  answered: "number",
  wrong: "number",
  lost: "number",
  late: "number",
  duplicate: "number",
  connects: "number",
  elapsed: "number, optional",
  rate: "number, optional",
  behind: "number, optional",
  delayed: "number, optional",
  outages: "object, optional",
  min: "number, optional",
  avg: "number, optional",
  p50: "number, optional",
  p90: "number, optional",
  p99: "number, optional",
  p999: "number, optional",
  max: "number, optional",
} as const;

const connection = "number, optional";

const CLIENT: Fields<ClientEvent> = {
  reply: {
    server: "string",
    seq: "number",
    bytes: "number",
    data: "string",
    duration: "number, optional",
    connection,
  },
  wrong: { server: "string", seq: "number", bytes: "number", data: "string", connection },
  late: {
    server: "string",
    seq: "number",
    bytes: "number",
    data: "string",
    duration: "number",
    connection,
  },
  duplicate: { server: "string", seq: "number", bytes: "number", data: "string", connection },
  lost: { server: "string", seq: "number", reason: "string, optional", connection },
  unsolicited: { server: "string", bytes: "number", data: "string", connection },
  connection: {
    server: "string",
    seq: "number",
    duration: "number",
    resolve: "number, optional",
    connect: "number",
    handshake: "number, optional",
    connection,
  },
  disconnected: { server: "string", reason: "string", silence: "number", connection },
  outage: {
    server: "string",
    from: "string",
    to: "string, optional",
    duration: "number",
    lost: "number",
  },
  progress: SUMMARY,
  received: { server: "string", bytes: "number", data: "string" },
  sent: { server: "string", bytes: "number", data: "string" },
  summary: { ...SUMMARY, reason: "string, optional" },
};

/** An object that a program printed. */
type Line = Readonly<Record<string, string | number | boolean>>;

/** How each ending comes about; the compiler says when one lacks. Each gives what was told. */
const ENDINGS: Record<Ending, () => Promise<Line[]>> = {
  left: () => told({}, (server) => exchange(server, "hello\n")),
  reset: () => told({}, ({ port }) => resetAfter(port, "hello\n", 1)),
  "message too long": () => told({ maxMessage: 3 }, (server) => exchange(server, "hello\n")),
  "framing error": () => {
    const read = () => {
      throw new FramingError("no");
    };
    const framing = { write: () => ({}), read };
    return told({ framing }, (server) => exchange(server, "hello\n"), () => {});
  },
  idle: () => told({ idleTimeout: 50 }, (server) => exchange(server, "")),
  failed: () =>
    told({}, (server) => exchange(server, "hello\n"), () => Promise.reject(new Error("no"))),
  stopped: () =>
    told({}, async (server) => {
      using wire = await Wire.dial(server.port);
      await wire.send("hello\n");
      await wire.until("\n");
      void server.shutdown();
      await wire.rest();
    }),
  cut: () =>
    told({ grace: 50 }, async (server) => {
      using neverLeaves = await Wire.dial(server.port);
      await neverLeaves.send("hello\n");
      await neverLeaves.until("\n");
      await server.shutdown();
    }),
  done: () => told({ once: true }, (server) => exchange(server, "hello\n")),
};

/** Makes a transcript: its server's options, its lines, and a promise for the end of a conversation. */
function transcribe() {
  const told: string[] = [];
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const transcript = new Transcript({ print: (line) => told.push(line), format: asJson });
  const { onMessage, callbacks } = transcript;
  const onClose: typeof callbacks.onClose = (client, reason) => {
    callbacks.onClose(client, reason);
    resolve();
  };
  const common = { ...callbacks, onClose, onError: () => {} };
  return { options: { ...common, onMessage }, common, over, lines: () => linesOf(told.join("\n")) };
}

/** Serves one conversation in this process, and returns the events of it. */
async function told(
  given: ServeOptions<Guest | undefined>,
  does: (server: Server<Guest | undefined>) => Promise<void>,
  handler: Handler<Guest | undefined> = readback(),
): Promise<Line[]> {
  const { options, over, lines } = transcribe();
  await using server = serve(handler, { ...given, ...options });
  await does(server);
  await over;
  await server.shutdown();
  return lines();
}

/** Says something and hears all, to the end. */
async function exchange({ port }: { port: number }, said: string): Promise<void> {
  using wire = await Wire.dial(port);
  await wire.send(said);
  if (said !== "") await wire.end();
  await wire.rest();
}

function linesOf(text: string): Line[] {
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

/** Events, their fields and those fields' types. */
type Table = Readonly<Record<string, Readonly<Record<string, string>>>>;

function fieldsOf(table: Table): string[] {
  return Object.entries(table)
    .flatMap((
      [event, fields],
    ) => [event, ...Object.keys(fields).map((name) => `${event}.${name}`)]);
}

/** The events and fields of each table that were checked. */
const seen = { server: new Set<string>(), client: new Set<string>() };

/** Holds a line against the table. */
function check(line: Line, program: "server" | "client"): void {
  const table: Table = { server: SERVER, client: CLIENT }[program];
  const { time, event, ...rest } = line;
  const types = table[String(event)];
  seen[program].add(String(event));
  if (types === undefined) throw new Error(`no such event: ${JSON.stringify(line)}`);
  assertMatch(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  for (const [name, type] of Object.entries(types)) {
    if (name in rest || !type.endsWith(", optional")) {
      assertEquals(typeof rest[name], type.split(",")[0], `${name} of ${JSON.stringify(line)}`);
    }
  }
  for (const name in rest) {
    assert(name in types, `${name} of ${JSON.stringify(line)}`);
    seen[program].add(`${event}.${name}`);
  }
}

describe("docs/events.md", () => {
  const page = pages.find(({ path }) => path === "docs/events.md");

  for (const [title, table] of [["server", SERVER], ["client", CLIENT]] as const) {
    it(`has the events of the ${title} as the code has them`, () => {
      const events = page?.rows(`Events of the ${title}`)
        .map(([event = "", fields = ""]) => [event, typed(fields)]);
      assertEquals<unknown>(Object.fromEntries(events ?? []), table);
    });
  }

  it("has every reason for which a conversation ends", () => {
    const section = page?.section("Events of the server") ?? "";
    const [, words = ""] = section.split("\nA conversation's `reason` is ");
    const reasons = [...words.matchAll(/`([a-z ]+)`/g)].map(([, reason]) => reason);
    assertEquals(reasons, Object.keys(ENDINGS));
  });
});

/** The types of fields that are written as `client`, `bytes: number`, `port?: number`. */
function typed(fields: string): Record<string, string> {
  const all = [...fields.matchAll(/(\w+)(\?)?(?:: (\w+))?/g)];
  return Object.fromEntries(
    all.map(([, name, optional, type = "string"]) => [name, optional ? `${type}, optional` : type]),
  );
}

describe("over TLS", requires("openssl"), () => {
  let made: Certificates;
  let here: { cert: string; key: string };
  beforeAll(async () => {
    made = await Certificates.make();
    await made.sign("here", "DNS:localhost");
    const read = (name: string) => Deno.readTextFile(made.path(name));
    here = { cert: await read("here.pem"), key: await read("here.key") };
  });
  afterAll(() => made[Symbol.asyncDispose]());

  it("the server tells of a client that was not let in", async () => {
    const { options, lines } = transcribe();
    await using server = serve(readback(), { ...options, listeners: await listen(here) });
    await exchange(server, "no TLS\n");
    await server.shutdown();
    for (const line of lines()) check(line, "server");
    assertEquals(lines().map(({ event }) => event), ["refused"]);
  });

  it("the client tells of connections to a name", async () => {
    const listeners = await listen({ hostname: "localhost", ...here });
    await using server = serve(readback(), { listeners });
    const tls = ["--host", "localhost", "-p", server.port, "--tls", "--ca", made.path("ca.pem")];
    const args = ["--connect", "-c", 4, "-i", 0, "--connections", 2, "--log", "json"];
    await using client = startClient([...tls, ...args]);
    await client.ends(0);
    for (const line of linesOf(client.stdout)) check(line, "client");
  });
});

describe("what the server tells", () => {
  for (const [reason, does] of Object.entries(ENDINGS)) {
    it(`of a conversation that was ${reason}`, async () => {
      const lines = await does();
      for (const line of lines) check(line, "server");
      assertEquals(lines.filter(({ event }) => event === "ended").map((line) => line["reason"]), [
        reason,
      ]);
    });
  }

  it("as a program, of conversations that end in several ways", requires("signals"), async () => {
    const args = ["--log", "json", "--max-message", "5", "--grace", "1s"];
    await using server = await startServer(args);
    using wire = await Wire.dial(server.port);
    await wire.send("hello\n");
    await wire.until(/\n/);
    await sleep(150); // nothing passes, which the event tells
    await wire.end();
    await wire.rest();
    await server.until('"left"');
    await resetAfter(server.port, "hello\n", 1);
    await server.until('"reset"');
    await exchange(server, "hello!\n");
    await server.until('"message too long"');
    using _neverLeaves = await Wire.dial(server.port);
    using leaves = await Wire.dial(server.port);
    await server.until(/"connected"[^]*"connected"/);
    server.signal("SIGTERM");
    await leaves.rest();
    leaves.close();
    await server.ends(0);
    const lines = linesOf(server.stdout);
    for (const line of lines) check(line, "server");
    const ends = lines.filter(({ event }) => event === "ended");
    const reasons = ["left", "reset", "message too long", "stopped", "cut"];
    assertEquals(ends.map((line) => line["reason"]), reasons);
    assertEquals(
      lines.map(({ event }) => event).slice(0, 7),
      ["listening", "waiting", "connected", "message", "eof", "ended", "waiting"],
    );
    assertEquals(lines.filter(({ event }) => event === "stopping").length, 1);
    const { idle, duration } = ends[0] ?? {};
    assert(Number(idle) >= 100 && Number(idle) <= Number(duration), `${idle} of ${duration} ms`);
  });

  it("of connections that were reset before they were accepted", requires("linux"), async () => {
    const listeners = await listen({});
    const [{ addr } = { addr: undefined }] = listeners;
    assert(addr !== undefined && "port" in addr);
    for (let time = 0; time < 2; time++) await resetAfter(addr.port, "", 0);
    const lines = await told({ listeners }, (server) => exchange(server, "hello\n"));
    for (const line of lines) check(line, "server");
    assertEquals(lines.find(({ event }) => event === "vanished")?.["clients"], 2);
  });

  it("of a relay: bytes both ways, and no messages", async () => {
    await using server = serve((message, reply) => reply.write(`<${message.text}>`), {
      framing: "line",
    });
    const { common, over, lines } = transcribe();
    await using between = relay({ port: server.port }, common);
    await exchange(between, "hello\n");
    await over;
    for (const line of lines()) check(line, "server");
    const { reason, messages, bytes, replied } = lines().find(({ event }) => event === "ended") ??
      {};
    assertEquals([reason, messages, bytes, replied], ["left", 0, 6, 8]);
  });

  it("as a program, of faults and, with --trace, of reads and writes", async () => {
    const args = ["--fault", "twice@2", "--fault", "hold=1ms", "--orders", "--seed", "4294967295"];
    await using server = await startServer([...args, "--log", "json", "--trace"]);
    {
      using wire = await Wire.dial(server.port);
      await wire.send("a\n");
      await wire.until("\n");
      await wire.send("b\n!drop\n!delay=5ms..9ms\n");
      await wire.end();
      await wire.rest();
    }
    await server.until('"ended"');
    await server.endInput();
    await server.ends(0);
    const lines = linesOf(server.stdout);
    for (const line of lines) check(line, "server");
    const { faults, orders, seed } = lines[0] ?? {};
    assertEquals([faults, orders, seed], ["twice@2, hold=1ms", true, 4294967295]);
    assertEquals(
      lines.map(({ event, bytes }) => bytes ? `${event} ${bytes}` : event).slice(2, 7),
      ["connected", "received 2", "framing", "message 1", "sent 29"],
    );
    const happened = lines.filter(({ event }) => event === "fault");
    assertEquals(
      happened.map(({ message, fault }) => [message, fault]),
      [[2, "twice"], [3, "drop"], [4, "delay=5ms..9ms"], [undefined, "hold=1ms"]],
    );
    const value = Number(happened[2]?.["value"]); // what was drawn
    assert(value >= 5 && value <= 9 && Number.isInteger(value), `${value} ms`);
    assertEquals(happened[0]?.["client"], lines.find(({ event }) => event === "eof")?.["client"]);
  });

  it("of lines that nobody read", requires("mkfifo"), async () => {
    const folder = await Deno.makeTempDir({ prefix: "readback-unread-" });
    try {
      const path = `${folder}/log`;
      assert((await new Deno.Command("mkfifo", { args: [path] }).output()).success);
      using reader = await Deno.open(path, { read: true, write: true });
      const options = parse(OPTIONS, ["--log", "json", "--log-file", path]);
      assert(typeof options === "object");
      const log = await openLog(options, (sentence) => assert(false, sentence));
      for (let lines = 0; lines < 3000; lines++) log.print("x".repeat(1000));
      const buffer = new Uint8Array(65536);
      let all = "";
      for (let count; !/"dropped".*\n/.test(all) && (count = await reader.read(buffer)) !== null;) {
        all = all.slice(-1000) + text(buffer.subarray(0, count));
      }
      await log.flush();
      log.file?.close();
      check(JSON.parse(/^.*"dropped".*$/m.exec(all)?.[0] ?? ""), "server");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });

  it("is every event and field that there is", requires("linux", "openssl", "mkfifo"), () => {
    assertEquals(fieldsOf(SERVER).filter((field) => !seen.server.has(field)), []);
  });
});

describe("what the client tells", () => {
  it("of a conversation, with its reads and writes by --trace", async () => {
    await using server = serve(readback());
    const args = ["-p", server.port, "-m", "hello", "--log", "json", "--trace"];
    await using client = startClient(args);
    await client.ends(0);
    const lines = linesOf(client.stdout);
    for (const line of lines) check(line, "client");
    assertEquals(
      lines.map(({ event, bytes }) => `${event} ${bytes}`),
      ["sent 6", "received 33", "reply 32", "summary undefined"],
    );
  });

  it("of a conversation that fails", async () => {
    await using server = serve(readback(), { maxMessage: 3 });
    await using client = startClient([
      "-p",
      server.port,
      "--log",
      "json",
      "-m",
      "one",
      "-m",
      "long",
    ]);
    await client.ends(1);
    const lines = linesOf(client.stdout);
    for (const line of lines) check(line, "client");
    assertEquals(lines.map(({ event }) => event), ["reply", "summary"]);
  });

  for (
    const [connections, replies, interval, count, last] of [
      [1, { 1: "1", 2: "no", 4: "3 4 4 hello" }, "500ms", 5, 4],
      [2, { 1: "1", 2: "no", 4: "4", 5: "3 5 5 hello", 6: "6" }, "1s", 7, 5],
    ] as const
  ) {
    it(`of a measurement that meets all that can go wrong, over ${connections} connections`, async () => {
      await using server = FakeServer.start(async (conn) => {
        const buffer = new Uint8Array(100);
        for (let size; (size = await conn.read(buffer)) !== null;) {
          const number = Number(/\d+/.exec(text(buffer.subarray(0, size))));
          if (number === count) return;
          const words = (replies as Record<number, string>)[number]?.split(" ") ?? [];
          const lines = words.map((word) => /\d/.test(word) ? `ping ${word}\n` : `${word}\n`);
          await conn.write(latin1(lines.join("")));
        }
      });
      const args = ["-c", count, "-i", interval, "--connections", connections, "-t", "170ms"];
      await using client = startClient(["-p", server.port, "--ping", "--log", "json", ...args]);
      await client.ends(1);
      const lines = linesOf(client.stdout);
      for (const line of lines) check(line, "client");
      const events = lines.map(({ event, seq }) => seq ? `${event} ${seq}` : event);
      assertEquals(events, [
        ...["reply 1", "wrong 2", "lost 3", ...last > 4 ? ["reply 4"] : []],
        ...["late 3", `reply ${last}`, `duplicate ${last}`, "unsolicited"],
        ...last > 4 ? ["reply 6"] : [],
        ...["disconnected", `lost ${count}`, "summary"],
      ]);
      const numbers = lines.map(({ connection, seq }) => [connection, Number(seq)] as const)
        .filter(([, seq]) => seq > 0);
      for (const [number, seq] of numbers) {
        assertEquals(number, connections === 1 ? undefined : 2 - seq % 2);
      }
    });
  }

  it("of an outage, and at SIGQUIT", requires("signals"), async () => {
    let connections = 0;
    await using server = FakeServer.start(async (conn) => {
      const buffer = new Uint8Array(1000);
      const isFirst = connections++ === 0;
      for (let size; (size = await conn.read(buffer)) !== null && !isFirst;) {
        await conn.write(buffer.subarray(0, size));
      }
    });
    const args = ["-i", "100us", "--ping", "--log", "json"];
    await using client = startClient(["-p", server.port, ...args]);
    await client.until(/"seq":1100\D/); // there is a p999 of 1,000
    client.signal("SIGQUIT");
    await client.until('"progress"');
    client.signal("SIGINT");
    await client.ends(0);
    const lines = linesOf(client.stdout);
    for (const line of lines) check(line, "client");
    const [outage, progress, summary] = ["outage", "progress", "summary"]
      .map((name) => lines.find(({ event }) => event === name));
    assertEquals(outage?.["lost"], lines.filter(({ event }) => event === "lost").length);
    assert(Number(outage?.["lost"]) >= 1, client.stdout);
    assert(Number(progress?.["answered"]) >= 1000, client.stdout);
    assert(Number(summary?.["answered"]) >= Number(progress?.["answered"]), client.stdout);
    const { time: _, server: __, event: ___, ...fields } = outage ?? {};
    assertEquals(summary?.["outages"] as unknown, [fields]);
  });

  it("of figures so far, where a pending reply is not lost yet", requires("signals"), async () => {
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    await using server = serve(() => {
      resolve();
      return new Promise(() => {});
    }, { grace: 0 });
    const args = ["-i", "5ms", "--ping", "--log", "json"];
    await using client = startClient(["-p", server.port, ...args]);
    await asked;
    client.signal("SIGQUIT");
    await client.until(/"progress".*"answered":0,"wrong":0,"lost":0,/);
    client.signal("SIGINT");
    await client.until(/"summary".*"lost":[1-9]/);
  });

  it("is every event and field that there is", requires("openssl"), () => {
    assertEquals(fieldsOf(CLIENT).filter((field) => !seen.client.has(field)), []);
  });
});
