/** The JSON events: the tables of docs/events.md, the code's types and the programs' output agree. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readback, serve } from "../../lib/mod.ts";
import type { Ending, Handler } from "../../lib/server/handler.ts";
import type { CustomFraming } from "../../lib/wire/framing.ts";
import { FramingError } from "../../lib/wire/message.ts";
import { asJson } from "../../lib/wire/quote.ts";
import type { ClientEvent } from "../../lib/cli/output/report.ts";
import { type Event, Transcript } from "../../lib/cli/output/transcript.ts";
import { unread } from "../battery/output.ts";
import { resetAfter, resetUnaccepted } from "../battery/vanishing.ts";
import { Certificates } from "../support/certificates.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { sleep } from "../../lib/wait.ts";
import { requires } from "../../lib/testing/requires.ts";
import { type ServerProgram, startClient, startServer } from "../../lib/testing/readback.ts";
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
  left: () => told([], (server) => exchange(server, "hello\n")),
  reset: () => told([], ({ port }) => resetAfter(port, "hello\n", 1)),
  "message too long": () => told(["--max-message", "3"], (server) => exchange(server, "hello\n")),
  "framing error": () =>
    inLibrary(() => {}, {
      write: () => ({}),
      read: () => {
        throw new FramingError("no");
      },
    }),
  idle: () => told(["--idle-timeout", "50ms"], (server) => exchange(server, "")),
  failed: () => inLibrary(() => Promise.reject(new Error("no"))),
  stopped: () =>
    told(["--grace", "5s"], async (server) => {
      using wire = await Wire.dial(server.port);
      await server.until('"connected"');
      server.signal("SIGTERM");
      await wire.rest();
    }),
  cut: () =>
    told(["--grace", "50ms"], async (server) => {
      using _neverLeaves = await Wire.dial(server.port);
      await server.until('"connected"');
      server.signal("SIGTERM");
      await server.until('"ended"');
    }),
  done: () => told(["--once"], (server) => exchange(server, "hello\n")),
};

/** What a server tells while something is done to it, and while it stops. */
async function told(
  args: readonly string[],
  does: (server: ServerProgram) => Promise<void>,
): Promise<Line[]> {
  await using server = await startServer([...args, "--log", "json"]);
  await does(server);
  if (!/"ended"|"refused"/.test(server.stdout)) await server.until(/"ended"|"refused"/);
  if (!server.stdout.includes('"stopping"') && !args.includes("--once")) server.signal("SIGTERM");
  await server.ends(0);
  return linesOf(server.stdout);
}

/** Serves in this process, for what the server program's handler and framing never do. */
async function inLibrary(handler: Handler, framing?: CustomFraming): Promise<Line[]> {
  const lines: string[] = [];
  const transcript = new Transcript({ print: (line) => lines.push(line), format: asJson });
  await using server = serve(handler, {
    framing,
    ...transcript.callbacks,
    onMessage: transcript.onMessage,
    onError: () => {},
  });
  await exchange(server, "hello\n");
  await server.shutdown();
  return linesOf(lines.join("\n"));
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

/** The events and fields that were checked. */
const seen = new Set<string>();

/** Holds a line against the table. */
function check(line: Line, table: Table): void {
  const { time, event, ...rest } = line;
  const types = table[String(event)];
  seen.add(String(event));
  if (types === undefined) throw new Error(`no such event: ${JSON.stringify(line)}`);
  assertMatch(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  for (const [name, type] of Object.entries(types)) {
    if (name in rest || !type.endsWith(", optional")) {
      assertEquals(typeof rest[name], type.split(",")[0], `${name} of ${JSON.stringify(line)}`);
    }
  }
  for (const name in rest) {
    assert(name in types, `${name} of ${JSON.stringify(line)}`);
    seen.add(`${event}.${name}`);
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

describe("what the server tells", requires("signals"), () => {
  for (const [reason, does] of Object.entries(ENDINGS)) {
    it(`of a conversation that was ${reason}`, async () => {
      const lines = await does();
      for (const line of lines) check(line, SERVER);
      assertEquals(lines.filter(({ event }) => event === "ended").map((line) => line["reason"]), [
        reason,
      ]);
    });
  }

  it("of a client that was not let in", requires("openssl"), async () => {
    await using made = await Certificates.make();
    const tls = await made.sign("here", "IP:127.0.0.1");
    const lines = await told(tls, (server) => exchange(server, "no TLS\n"));
    for (const line of lines) check(line, SERVER);
    assertEquals(lines.filter(({ event }) => event === "refused").length, 1);
  });

  it("of connections that were reset before they were accepted", requires("linux"), async () => {
    await using server = await startServer(["--log", "json"]);
    await resetUnaccepted(server, 2);
    await exchange(server, "hello\n");
    await server.until('"vanished"');
    server.signal("SIGTERM");
    await server.ends(0);
    for (const line of linesOf(server.stdout)) check(line, SERVER);
  });

  it("of a relay: bytes both ways, and no messages", async () => {
    await using server = await startServer(["--framing", "line", "--reply", "<{message}>"]);
    const lines = await told(
      ["--to", `127.0.0.1:${server.port}`],
      (port) => exchange(port, "hello\n"),
    );
    for (const line of lines) check(line, SERVER);
    const { reason, messages, bytes, replied } = lines.find(({ event }) => event === "ended") ?? {};
    assertEquals([reason, messages, bytes, replied], ["left", 0, 6, 8]);
  });

  it("of faults: what was asked for, the seed, and each that happens", async () => {
    const args = ["--fault", "twice@2", "--fault", "hold=1ms", "--orders", "--seed", "4294967295"];
    const lines = await told(args, (server) => exchange(server, "a\nb\n!drop\n!delay=5ms..9ms\n"));
    for (const line of lines) check(line, SERVER);
    const { faults, orders, seed } = lines[0] ?? {};
    assertEquals([faults, orders, seed], ["twice@2, hold=1ms", true, 4294967295]);
    const happened = lines.filter(({ event }) => event === "fault");
    assertEquals(
      happened.map(({ message, fault }) => [message, fault]),
      [[2, "twice"], [3, "drop"], [4, "delay=5ms..9ms"], [undefined, "hold=1ms"]],
    );
    const value = Number(happened[2]?.["value"]); // what was drawn
    assert(value >= 5 && value <= 9 && Number.isInteger(value), `${value} ms`);
    assertEquals(happened[0]?.["client"], lines.find(({ event }) => event === "eof")?.["client"]);
  });

  it("of a client's end when it is read, and how long nothing had passed", async () => {
    const lines = await told([], async ({ port }) => {
      using wire = await Wire.dial(port);
      await wire.send("hello\n");
      await wire.until(/\n/);
      await sleep(150);
      await wire.end();
      await wire.rest();
    });
    for (const line of lines) check(line, SERVER);
    assertEquals(
      lines.map(({ event }) => event).slice(2),
      ["connected", "message", "eof", "ended", "waiting", "stopping"],
    );
    const { idle, duration } = lines.find(({ event }) => event === "ended") ?? {};
    assert(Number(idle) >= 145 && Number(idle) <= Number(duration), `${idle} of ${duration} ms`);
  });

  it("of lines that nobody read", async () => {
    const words = /^.*"dropped".*$/m;
    check(JSON.parse(words.exec(await unread(["--log", "json"], words))?.[0] ?? ""), SERVER);
  });

  it("of reads and writes, with --trace", async () => {
    const lines = await told(["--trace"], (server) => exchange(server, "a\n"));
    for (const line of lines) check(line, SERVER);
    assertEquals(
      lines.map(({ event, bytes }) => bytes ? `${event} ${bytes}` : event).slice(2, 7),
      ["connected", "received 2", "framing", "message 1", "sent 29"],
    );
  });

  it("is every event and field that there is", requires("openssl"), () => {
    assertEquals(fieldsOf(SERVER).filter((field) => !seen.has(field)), []);
  });
});

describe("what the client tells", () => {
  it("of a conversation that goes well, and of one that does not", async () => {
    await using server = await startServer(["--max-message", "3"]);
    const where = ["-p", server.port, "--log", "json", "-m", "one", "-m"];
    for (const [last, code] of [["two", 0], ["three", 1]] as const) {
      await using client = startClient([...where, last]);
      await client.ends(code);
      for (const line of linesOf(client.stdout)) check(line, CLIENT);
    }
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
      for (const line of lines) check(line, CLIENT);
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
    const args = ["-i", 0, "--ping", "--log", "json"];
    await using client = startClient(["-p", server.port, ...args]);
    await client.until(/"seq":1001\D/);
    client.signal("SIGQUIT");
    await client.until('"progress"');
    client.signal("SIGINT");
    await client.ends(0);
    const lines = linesOf(client.stdout);
    for (const line of lines) check(line, CLIENT);
    const [outage, progress, summary] = ["outage", "progress", "summary"]
      .map((name) => lines.find(({ event }) => event === name));
    assertEquals(outage?.["lost"], 1);
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

  it("of connections to a name, with TLS", requires("openssl"), async () => {
    await using made = await Certificates.make();
    await using server = await startServer([
      ...["--host", "localhost"],
      ...await made.sign("here", "DNS:localhost"),
    ]);
    const tls = ["--host", "localhost", "-p", server.port, "--tls", "--ca", made.path("ca.pem")];
    const args = ["--connect", "-c", 10, "-i", 0, "--connections", 2, "--log", "json"];
    await using client = startClient([...tls, ...args]);
    await client.ends(0);
    for (const line of linesOf(client.stdout)) check(line, CLIENT);
  });

  it("of reads and writes, with --trace", async () => {
    await using server = serve(readback());
    const args = ["-p", server.port, "-m", "hello", "--log", "json", "--trace"];
    await using client = startClient(args);
    await client.ends(0);
    const lines = linesOf(client.stdout);
    for (const line of lines) check(line, CLIENT);
    assertEquals(
      lines.map(({ event, bytes }) => `${event} ${bytes}`).slice(0, 3),
      ["sent 6", "received 33", "reply 32"],
    );
  });

  it("is every event and field that there is", requires("openssl"), () => {
    assertEquals(fieldsOf(CLIENT).filter((field) => !seen.has(field)), []);
  });
});
