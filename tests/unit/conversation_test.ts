/** What a handler can know of its conversation, and wait for: `onOpen`, the signal, who is there, a time limit, drained. */

import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { once } from "node:events";
import net from "node:net";
import { serveDatagrams } from "../../lib/server/datagrams.ts";
import { serve } from "../../lib/server/serve.ts";
import type { Client, Ending } from "../../lib/server/handler.ts";
import type { ServerConn } from "../../lib/net/conn.ts";
import { asText, Transcript } from "../../lib/cli/output/transcript.ts";
import { Conversation } from "../../lib/server/conversation.ts";
import { FairReads } from "../../lib/server/fair_reads.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { Udp } from "../support/udp.ts";
import { sleep } from "../../lib/wait.ts";
import { block } from "../support/block.ts";

const portOf = ({ addr }: { addr: Deno.Addr }) => (addr as Deno.NetAddr).port;

/** Says something, and resets the connection once something has happened. */
async function resetOnce(happened: Promise<void>, port: number, said: string): Promise<void> {
  const socket = net.connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.write(said);
  await happened;
  socket.resetAndDestroy();
}

/** How many timers of at least this long, or that ring again and again, are left after something. */
async function timersLeft(least: number, happens: () => Promise<void>): Promise<number> {
  const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
  const timers = new Set<unknown>();
  const forget = (timer: number | undefined) => {
    timers.delete(timer);
    clearTimeout(timer);
    clearInterval(timer);
  };
  Object.assign(globalThis, {
    setTimeout: (call: () => void, delay?: number) => {
      const timer = setTimeout(call, delay);
      if (delay !== undefined && delay >= least) timers.add(timer);
      return timer;
    },
    setInterval: (call: () => void, delay?: number) => {
      const timer = setInterval(call, delay);
      timers.add(timer);
      return timer;
    },
    clearTimeout: forget,
    clearInterval: forget,
  });
  try {
    await happens();
    const left = timers.size;
    for (const timer of timers) forget(timer as number);
    return left;
  } finally {
    Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval });
  }
}

/** While something happens, timers of this delay ring at once. */
async function inNoTime(delay: number, happens: () => Promise<void>): Promise<void> {
  const { setTimeout } = globalThis;
  Object.assign(globalThis, {
    setTimeout: (call: () => void, after?: number) => setTimeout(call, after === delay ? 0 : after),
  });
  try {
    await happens();
  } finally {
    Object.assign(globalThis, { setTimeout });
  }
}

const never = () => new Promise<never>(() => {});
const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));

describe("an async open", () => {
  it("gives the state; nothing is heard before, though the client may be greeted", async () => {
    const opened = Promise.withResolvers<string>();
    const heard: string[] = [];
    await using server = serve<string>((message, reply, { state }) => {
      heard.push(message.text);
      reply.write(state);
    }, {
      onOpen: (client) => {
        client.write("hello\n");
        return opened.promise;
      },
    });
    using wire = await Wire.dial(portOf(server));
    await wire.send("what am I?\n");
    assertEquals(await wire.until(/\n/), "hello\n");
    assertEquals([heard, server.clients], [[], 0]);
    opened.resolve("a guest");
    assertEquals(await wire.until(/\n/), "a guest\n");
  });

  it("holds a place meanwhile", async () => {
    const opened = Promise.withResolvers<void>();
    const asked: Client<void>[] = [];
    await using server = serve((message, reply) => reply.write(message), {
      maxClients: 1,
      onOpen: (client) => {
        asked.push(client);
        return opened.promise;
      },
    });
    using one = await Wire.dial(portOf(server));
    using two = await Wire.dial(portOf(server));
    await one.send("one\n");
    await two.send("two\n");
    while (asked.length === 0) await sleep(0);
    assertEquals(asked.length, 1);
    opened.resolve();
    assertEquals(await one.until(/\n/), "one\n");
    assertEquals(asked.length, 1);
    await one.end();
    assertEquals(await two.until(/\n/), "two\n");
  });

  it("that rejects is told, ends the conversation unheard, and frees its place", async () => {
    const told: string[] = [], over: Ending[] = [];
    let rejects = true;
    await using server = serve((message, reply) => reply.write(message), {
      maxClients: 1,
      onOpen: () => rejects ? Promise.reject(new Error("no")) : Promise.resolve(),
      onClose: (_, ending) => void over.push(ending),
      onError: ({ message }) => void told.push(message),
    });
    using one = await Wire.dial(portOf(server));
    assertEquals(await one.rest(), "");
    rejects = false;
    using two = await Wire.dial(portOf(server));
    await two.send("two\n");
    await two.end();
    assertEquals(await two.rest(), "two\n");
    assertEquals([told, over], [["cannot answer: no"], ["left"]]);
  });

  it("may end the conversation", async () => {
    await using server = serve(() => {}, {
      onOpen: async (client) => {
        await null;
        client.write("full\n");
        client.end();
      },
    });
    using wire = await Wire.dial(portOf(server));
    assertEquals(await wire.rest(), "full\n");
  });

  it("that never settles is given up by a stop", async () => {
    const asked = Promise.withResolvers<Client<void>>();
    const opened = Promise.withResolvers<void>();
    const refused: string[] = [];
    const server = serve(() => {}, {
      grace: 20,
      onOpen: (client) => {
        asked.resolve(client);
        return opened.promise;
      },
      onClose: () => void refused.push("a conversation was over"),
      onRefused: (_, reason) => void refused.push(reason),
    });
    using wire = await Wire.dial(portOf(server));
    const { signal } = await asked.promise;
    await server.shutdown();
    opened.resolve(); // too late
    await sleep(0);
    assertEquals([await wire.rest(), refused, signal.aborted], ["", ["the server stops"], true]);
  });
});

describe("a client's signal", () => {
  for (const concurrency of [1, 2]) {
    it(`aborts when the client vanishes while its handler is awaited (concurrency ${concurrency})`, async () => {
      const asked = Promise.withResolvers<void>();
      const ended = Promise.withResolvers<string>();
      await using server = serve(async (message, _, client) => {
        const over = aborted(client.signal);
        asked.resolve();
        await over;
        ended.resolve(message.text); // still the same
      }, { framing: "line", concurrency });
      await resetOnce(asked.promise, portOf(server), "hello\n");
      assertEquals(await ended.promise, "hello");
    });
  }

  it("aborts when the client vanishes, though first accessed after an await", async () => {
    const asked = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    await using server = serve(async (_message, _reply, client) => {
      await sleep(5);
      const over = aborted(client.signal);
      asked.resolve();
      await over;
      ended.resolve();
    }, { framing: "line", grace: 20 });
    await resetOnce(asked.promise, server.port, "hello\n");
    await ended.promise;
  });

  it("ends when the client vanishes while the last replies are awaited", async () => {
    const asked = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<Ending>();
    const never = Promise.withResolvers<void>();
    const onClose = (_: Client, ending: Ending) => closed.resolve(ending);
    await using server = serve(async (message, _, client) => {
      if (message.text === "slow") await never.promise;
      client.end();
      asked.resolve();
    }, { framing: "line", concurrency: 2, onClose });
    await resetOnce(asked.promise, server.port, "slow\nlast\n");
    assertEquals(await closed.promise, "reset");
    never.resolve();
  });

  it("leaves the message as it is, whatever comes while its handler is awaited", async () => {
    const asked = Promise.withResolvers<void>();
    const heard: string[] = [];
    await using server = serve(async (message, reply, { signal }) => {
      asked.resolve();
      await sleep(signal.aborted ? 0 : 30);
      heard.push(message.text);
      reply.write(message);
    }, { framing: "line" });
    using wire = await Wire.dial(portOf(server));
    await wire.send("hello\n");
    await asked.promise;
    await wire.send("other\n");
    assertEquals(await wire.until(/other\n/), "hello\nother\n");
    assertEquals(heard, ["hello", "other"]);
  });

  it("is aborted for whoever asks when the conversation is over", async () => {
    const over = Promise.withResolvers<boolean>();
    await using server = serve(() => {}, { onClose: ({ signal }) => over.resolve(signal.aborted) });
    using wire = await Wire.dial(portOf(server));
    await wire.end();
    assertEquals(await over.promise, true);
  });

  it("aborts when the conversation is over, and is aborted after", async () => {
    const over = Promise.withResolvers<Client<void>>();
    await using server = serve((message, reply, { signal }) => {
      reply.write(`${message.text} ${signal.aborted}`);
    }, { onClose: (client) => over.resolve(client) });
    using wire = await Wire.dial(portOf(server));
    await wire.send("a\nb\n");
    await wire.end();
    assertEquals(await wire.rest(), "a false\nb false\n");
    assert((await over.promise).signal.aborted);
  });

  it("does not abort for a client that only says no more: its replies are sent", async () => {
    const said = Promise.withResolvers<void>();
    await using server = serve(async (_, reply, { signal }) => {
      void signal;
      await said.promise;
      reply.write(String(signal.aborted));
    }, { framing: "line" });
    using wire = await Wire.dial(portOf(server));
    await wire.send("a\nb\nc");
    await wire.end();
    setTimeout(said.resolve, 20);
    assertEquals(await wire.rest(), "false\nfalse\nfalse");
  });

  it("loses no byte of what comes while a handler is awaited", async () => {
    const release = Promise.withResolvers<void>();
    await using server = serve(async (message, reply, { signal }) => {
      void signal;
      await release.promise;
      reply.write(message);
    }, { framing: "line" });
    using wire = await Wire.dial(portOf(server));
    const lines = Array.from({ length: 500 }, (_, at) => `line ${at} ${"x".repeat(at)}\n`);
    for (const line of lines) await wire.send(line);
    await wire.end();
    release.resolve();
    assertEquals(await wire.rest(), lines.join(""));
  });

  it("aborts when a stopping server cuts it", async () => {
    const asked = Promise.withResolvers<void>();
    let reasons = 0;
    const server = serve(async (_, _reply, { signal }) => {
      asked.resolve();
      await aborted(signal);
      reasons++;
    }, { grace: 20, framing: "line" });
    using wire = await Wire.dial(portOf(server));
    await wire.send("a\n");
    await asked.promise;
    await server.shutdown();
    assertEquals(reasons, 1);
  });
});

describe("server.conversations", () => {
  it("are those that are there, with their state", async () => {
    await using server = serve<string>((message, reply) => {
      for (const client of server.conversations) client.write(`to ${client.state}\n`);
      reply.write(message);
    }, { onOpen: ({ addr }) => `${(addr as Deno.NetAddr).port}` });
    using one = await Wire.dial(portOf(server));
    using two = await Wire.dial(portOf(server));
    await two.send("two\n");
    await two.until(/two\n/);
    await one.send("hello\n");
    const port = ({ conn }: Wire) => (conn.localAddr as Deno.NetAddr).port;
    await two.until(new RegExp(`to ${port(two)}\n`));
    const states = Array.from(server.conversations, ({ state }) => state).sort();
    assertEquals(states, [`${port(one)}`, `${port(two)}`].sort());
    await one.end();
    await one.rest();
    while (server.clients > 1) await sleep(0);
    assertEquals(Array.from(server.conversations, ({ state }) => state), [`${port(two)}`]);
  });
});

describe("a handlerTimeout", () => {
  for (const concurrency of [1, 3]) {
    it(`ends a conversation whose handler takes too long (concurrency ${concurrency}); the replies before arrive`, async () => {
      const told: string[] = [], endings: Ending[] = [];
      let signal: AbortSignal | undefined;
      await using server = serve(async (message, reply, client) => {
        if (message.text === "slow") {
          signal = client.signal;
          await never();
        }
        await null;
        reply.write(message);
      }, {
        ...{ concurrency, handlerTimeout: 50, framing: "line" },
        onError: ({ message }) => void told.push(message),
        onClose: (_, ending) => void endings.push(ending),
      });
      using wire = await Wire.dial(portOf(server));
      await wire.send("a\nslow\nb\n");
      assertEquals(await wire.rest(), "a\n");
      assertEquals([told, signal?.aborted], [[
        "cannot answer: the handler took longer than 0.05s",
      ], true]);
      await wire.end();
      await server.shutdown();
      assertEquals(endings, ["failed"]);
    });
  }

  it("is for each message, and leaves no timer behind", async () => {
    const left = await timersLeft(9000, async () => {
      const server = serve(async (message, reply) => {
        await sleep(5);
        reply.write(message);
      }, { handlerTimeout: 9000, concurrency: 2, framing: "line" });
      using wire = await Wire.dial(portOf(server));
      await wire.send("a\nb\nc\nd\n");
      await wire.end();
      assertEquals(await wire.rest(), "a\nb\nc\nd\n");
      await server.shutdown();
    });
    assertEquals(left, 0);
  });

  it("leaves no timer behind when the server stops before", async () => {
    const left = await timersLeft(9000, async () => {
      const asked = Promise.withResolvers<void>();
      const server = serve(() => (asked.resolve(), never()), { handlerTimeout: 9000, grace: 20 });
      using wire = await Wire.dial(portOf(server));
      await wire.send("a\n");
      await asked.promise;
      await server.shutdown();
    });
    assertEquals(left, 0);
  });

  it("over UDP frees the place of a handler that hangs", async () => {
    const told: string[] = [];
    const signals: AbortSignal[] = [];
    await using server = await serveDatagrams(async (message, reply, { signal }) => {
      if (message.text === "slow") {
        signals.push(signal);
        await never();
      }
      reply.write(message);
    }, { handlerTimeout: 50, onError: ({ message }) => void told.push(message) });
    await using udp = await Udp.open();
    for (let hung = 0; hung < 256; hung++) await udp.send("slow", server.addr.port);
    while (told.length < 256) await sleep(5);
    assertEquals(await udp.ask("quick", server.addr.port), "quick");
    assertEquals(told[0], "cannot answer: the handler took longer than 0.05s");
    assert(signals.every(({ aborted }) => aborted));
  });
});

describe("client.drained()", () => {
  it("waits for what was pushed, so that all of a long text can be", async () => {
    const line = `${"x".repeat(9999)}\n`;
    await using server = serve(async (_, _reply, client) => {
      for (let count = 0; count < 300; count++) {
        while (!client.write(line)) assert(await client.drained());
      }
      assert(await client.drained());
      client.end();
      assertEquals(await client.drained(), false);
    }, { framing: "line" });
    using wire = await Wire.dial(portOf(server));
    await wire.send("all\n");
    assertEquals((await wire.rest()).length, 300 * line.length);
  });

  it("is false once the client has vanished", async () => {
    const asked = Promise.withResolvers<void>();
    const end = Promise.withResolvers<boolean>();
    await using server = serve(async (_, _reply, client) => {
      client.write("x".repeat(20_000_000)); // more than anybody takes unread
      asked.resolve();
      end.resolve(await client.drained());
    }, { framing: "line" });
    await resetOnce(asked.promise, portOf(server), "all\n");
    await end.promise;
  });

  it("over UDP waits for what is on its way", async () => {
    const done = Promise.withResolvers<number>();
    await using server = await serveDatagrams(async (_, _reply, client) => {
      let refused = 0;
      for (let count = 0; count < 600; count++) {
        while (!client.write("push")) {
          refused++;
          await client.drained();
        }
      }
      done.resolve(refused);
    });
    await using udp = await Udp.open();
    assertEquals(await udp.ask("go", server.addr.port), "push");
    assert(await done.promise > 0);
  });
});

describe("what a client gets", () => {
  it("is in order, though it is pushed in one turn", async () => {
    const pushed = Array.from({ length: 50 }, (_, at) => `${at} ${"x".repeat(at * 20)}\n`);
    await using server = serve((_, reply, client) => {
      for (const line of pushed) client.write(line);
      reply.write(".");
    }, { framing: "line" });
    using wire = await Wire.dial(portOf(server));
    await wire.send("go\ngo\n");
    await wire.end();
    const all = await wire.rest();
    assertEquals(all.replaceAll(".\n", ""), pushed.join("").repeat(2));
  });

  it("is nothing that is written after end()", async () => {
    const written: boolean[] = [];
    await using server = serve((_, reply, client) => {
      written.push(client.write("before\n"));
      reply.write("bye");
      client.end();
      written.push(client.write("after\n"));
      queueMicrotask(() => written.push(client.write("later\n")));
    }, { framing: "line" });
    using wire = await Wire.dial(portOf(server));
    await wire.send("a\n");
    const all = await wire.rest();
    assertEquals([all.replace("before\n", ""), written], ["bye\n", [true, false, false]]);
  });

  it("is no reply to what it says after end(), though several are handled at once", async () => {
    const heard: string[] = [];
    const ended = Promise.withResolvers<void>();
    await using server = serve(async (message, reply, client) => {
      heard.push(message.text);
      if (message.text === "bye") {
        client.end();
        setTimeout(ended.resolve, 30);
      }
      await ended.promise;
      reply.write(message);
    }, { framing: "line", concurrency: 10 });
    using wire = await Wire.dial(portOf(server));
    await wire.send("a\nbye\nb\n");
    await wire.send("c\n");
    assertEquals(await wire.rest(), "a\nbye\n");
    assertEquals(heard, ["a", "bye"]);
  });

  it("comes as slowly as it takes it: it is not idle while it takes a byte now and then", async () => {
    const endings: Ending[] = [];
    let taken = 0, said = false;
    const gone = Promise.withResolvers<null>();
    const addr: Deno.UnixAddr = { transport: "unix", path: "" };
    const conn: ServerConn = {
      remoteAddr: addr,
      read(room) {
        if (said) return gone.promise;
        said = true;
        room[0] = 10;
        return Promise.resolve(1);
      },
      async write() {
        await sleep(20);
        if (++taken === 20) gone.resolve(null);
        return 1;
      },
      closeWrite: () => Promise.resolve(),
      close: () => gone.resolve(null),
    };
    const conns = [conn];
    const closed = Promise.withResolvers<never>();
    await using _server = serve((_, reply) => reply.write("x".repeat(19)), {
      framing: "line",
      idleTimeout: 100,
      listeners: [{
        addr,
        accept: () => Promise.resolve(conns.pop() ?? closed.promise),
        close: () => closed.reject(new Deno.errors.BadResource()),
      }],
      onClose: (_, ending) => void endings.push(ending),
    });
    await gone.promise;
    while (endings.length === 0) await sleep(0);
    assertEquals([taken, endings], [20, ["left"]]);
  });
});

describe("clients that wait for a place", () => {
  for (const refused of [0, 1]) {
    it(`are served in the order in which they came, though ${refused} is not let in`, async () => {
      const heard: string[] = [];
      const letIn: ((answer: boolean) => void)[] = [];
      let asked = Promise.withResolvers<void>();
      await using server = serve((message, reply) => {
        heard.push(message.text);
        reply.write(message);
      }, {
        framing: "line",
        maxClients: 1,
        verify: () =>
          new Promise((resolve) => {
            letIn.push(resolve);
            asked.resolve();
          }),
      });
      using wires = new DisposableStack();
      const all: Wire[] = [];
      const come = async () => {
        asked = Promise.withResolvers();
        all.push(wires.use(await Wire.dial(portOf(server))));
        await asked.promise;
      };
      for (let client = 0; client < 4 + refused; client++) await come();
      for (const answer of letIn.slice(0, 4)) answer(true);
      await sleep(0); // they wait for the place now
      for (const answer of letIn.slice(4)) answer(false);
      for (const wire of all.slice(4)) assertEquals(await wire.rest(), "");
      for (const [at, wire] of all.slice(0, 4).entries()) await wire.send(`${at}\n`);
      for (const wire of all.slice(0, 4)) {
        await wire.until(/\n/);
        await wire.end();
      }
      assertEquals(heard, ["0", "1", "2", "3"]);
    });
  }
});

describe("a server that has stopped", () => {
  it("leaves no timer behind, though it watched for idle clients and was told twice while it drained", async () => {
    const left = await timersLeft(5000, async () => {
      const server = serve(() => {}, { idleTimeout: 50_000, drain: 30, grace: 5000 });
      void server.shutdown();
      await server.shutdown();
    });
    assertEquals(left, 0);
  });

  it("says no more that it waits for a connection", () => {
    const lines: string[] = [];
    const transcript = new Transcript({ print: (line) => lines.push(line), format: asText });
    const client = {
      addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
      isHealthCheck: false,
    } as unknown as Client<undefined>;
    const guest = transcript.callbacks.onOpen(client);
    transcript.stopping();
    transcript.callbacks.onClose(
      { ...client, state: guest } as unknown as Client<undefined>,
      "stopped",
    );
    assertEquals(lines, ["client 127.0.0.1:1 was disconnected: stopped"]);
  });
});

describe("verify over UDP", () => {
  it("asks of each datagram, sync or async; who is refused is not heard", async () => {
    for (
      const wrap of [(answer: boolean) => answer, (answer: boolean) => Promise.resolve(answer)]
    ) {
      const refused: string[] = [];
      await using good = await Udp.open();
      await using bad = await Udp.open();
      await using server = await serveDatagrams((message, reply) => reply.write(message), {
        verify: ({ port }) => wrap(port === good.port),
        onRefused: ({ port }, reason) => void refused.push(`${port === bad.port} ${reason}`),
      });
      await bad.send("let me in", server.addr.port);
      assertEquals(await good.ask("hello", server.addr.port), "hello");
      assertEquals([refused, server.messages, server.bytes], [["true not let in"], 1, 5]);
    }
  });

  it("that settles once the server has stopped lets nobody in", async () => {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<boolean>();
    let heard = 0;
    await using udp = await Udp.open();
    const server = await serveDatagrams(() => void heard++, {
      grace: 20,
      verify: () => {
        asked.resolve();
        return answer.promise;
      },
    });
    await udp.send("hello", server.addr.port);
    await asked.promise;
    await server.shutdown();
    answer.resolve(true);
    await sleep(0);
    assertEquals([heard, server.messages], [0, 0]);
  });

  it("that never settles refuses in the end", async () => {
    const asked = Promise.withResolvers<void>();
    const refused: string[] = [];
    await using udp = await Udp.open();
    await using server = await serveDatagrams(() => {}, {
      grace: 20,
      verify: () => {
        asked.resolve();
        return never();
      },
      onRefused: (_, reason) => void refused.push(reason),
    });
    await inNoTime(10_000, async () => {
      await udp.send("hello", server.addr.port);
      await asked.promise;
    });
    while (refused.length === 0) await sleep(0);
    assertEquals(refused, ["did not begin within 10s"]);
  });

  it("that throws or rejects refuses", async () => {
    const refused: string[] = [];
    const answers: (() => boolean | Promise<boolean>)[] = [
      () => {
        throw new Error("no");
      },
      () => Promise.reject(new Error("never")),
      () => true,
    ];
    await using udp = await Udp.open();
    await using server = await serveDatagrams((message, reply) => reply.write(message), {
      verify: () => answers.shift()?.() ?? true,
      onRefused: (_, reason) => {
        refused.push(reason);
        throw new Error("told");
      },
      onError: ({ message }) => void refused.push(message),
    });
    await udp.send("a", server.addr.port);
    await udp.send("b", server.addr.port);
    assertEquals(await udp.ask("c", server.addr.port), "c");
    assertEquals(refused.toSorted(), ["cannot answer: told", "cannot answer: told", "never", "no"]);
  });
});

describe("a line in two pieces, in auto", () => {
  for (const [isCrowded, messages] of [[false, ["hel", "lo\n"]], [true, ["hello"]]] as const) {
    it(`is ${messages.length === 1 ? "one" : "two"} ${isCrowded ? "in a crowd" : "alone"}`, async () => {
      const received: string[] = [];
      const over = Promise.withResolvers<void>();
      using reads = new FairReads();
      let turns = 0; // a crowd, in which nothing is read for 100 ms
      Object.defineProperty(reads, "crowdedTurns", { get: () => isCrowded ? turns++ : 0 });
      const pieces = ["hel", "lo\n"];
      const conn = {
        remoteAddr: { transport: "unix", path: "" } as const,
        async read(into: Uint8Array) {
          if (pieces.length < 2) await sleep(100);
          const piece = pieces.shift();
          if (piece === undefined) return null;
          return new TextEncoder().encodeInto(piece, into).written;
        },
        write: (bytes: Uint8Array) => Promise.resolve(bytes.length),
        closeWrite: () => Promise.resolve(),
        close: () => {},
      };
      void new Conversation(conn, {
        ...{ framing: "auto", handlerTimeout: 0, separate: false, maxMessage: 100 },
        ...{ concurrency: 1, once: false, reads, ending: undefined },
        ...{ onMessage: undefined, onEof: undefined, onFraming: undefined, failed: () => {} },
        handler: (message) => void received.push(message.text),
        over: () => over.resolve(),
      }).run();
      await over.promise;
      assertEquals(received, [...messages]);
    });
  }
});

it("a conversation reads nothing while it is not its turn", async () => {
  class Turns extends FairReads {
    turn = Promise.withResolvers<void>();
    written: number[] = [];
    override waitForTurn(bytes: number): Promise<void> {
      this.written.push(bytes);
      return this.turn.promise;
    }
  }
  using reads = new Turns();
  const over = Promise.withResolvers<void>();
  const pieces = ["a\n", "b\n"];
  let count = 0;
  const conn = {
    remoteAddr: { transport: "unix", path: "" } as const,
    read(into: Uint8Array) {
      count++;
      const piece = pieces.shift();
      if (piece === undefined) return Promise.resolve(null);
      return Promise.resolve(new TextEncoder().encodeInto(piece, into).written);
    },
    write: (bytes: Uint8Array) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  void new Conversation(conn, {
    ...{ framing: "line", handlerTimeout: 0, separate: false, maxMessage: 100 },
    ...{ concurrency: 1, once: false, reads, ending: undefined },
    ...{ onMessage: undefined, onEof: undefined, onFraming: undefined, failed: () => {} },
    handler: (message, reply) => reply.write(message),
    over: () => over.resolve(),
  }).run();
  await sleep(5);
  assertEquals([count, reads.written], [1, [2]]);
  reads.turn.resolve();
  await over.promise;
  assertEquals([count, reads.written], [3, [2, 2, 0]]);
});

describe("a process that was stopped", () => {
  it("disconnects nobody as idle whose message has arrived", async () => {
    const endings: Ending[] = [];
    await using server = serve((message, reply) => reply.write(message), {
      idleTimeout: 100,
      onClose: (_, ending) => endings.push(ending),
    });
    using wires = new DisposableStack();
    const all: Wire[] = [];
    for (let count = 0; count < 20; count++) all.push(wires.use(await Wire.dial(server.port)));
    for (let time = 0; time < 3; time++) {
      await sleep(70);
      for (const wire of all) await wire.send("hello\n");
      block(300);
      for (const wire of all) await wire.until(/(hello\n){1}$/);
    }
    assertEquals(endings, []);
  });

  it("gives up no handler whose answer has arrived", async () => {
    using upstream = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const began = Promise.withResolvers<void>();
    await using server = serve(async (_, reply) => {
      using conn = await Deno.connect({ port: upstream.addr.port });
      const buffer = new Uint8Array(10);
      began.resolve();
      reply.write(buffer.subarray(0, await conn.read(buffer) ?? 0));
    }, { framing: "line", handlerTimeout: 100 });
    using wire = await Wire.dial(server.port);
    await wire.send("hello\n");
    using conn = await upstream.accept();
    await began.promise;
    await conn.write(new TextEncoder().encode("answer"));
    block(300);
    assertEquals(await wire.until(/\n/), "answer\n");
  });

  it("refuses no client whose first bytes have arrived", async () => {
    const refused: string[] = [];
    const asked = Promise.withResolvers<void>();
    await using server = serve((message, reply) => reply.write(message), {
      idleTimeout: 100,
      onAccept: async (conn) => {
        asked.resolve();
        await conn.read(new Uint8Array(3)); // as a PROXY header is
        return conn;
      },
      onRefused: (_, reason) => refused.push(reason),
    });
    using wire = await Wire.dial(server.port);
    await asked.promise;
    await wire.send("yeshello\n");
    block(300);
    assertEquals(await wire.until(/\n/), "hello\n");
    assertEquals(refused, []);
  });
});

describe("a stop", () => {
  for (const framing of ["line", "raw"] as const) {
    it(`answers all that has arrived, though that takes long (${framing})`, async () => {
      const endings: Ending[] = [];
      const count = framing === "line" ? 80 : 1;
      await using server = serve(async (message, reply) => {
        await sleep(framing === "line" ? 10 : 800);
        reply.write(message.text.slice(0, 5));
      }, { framing, grace: 20_000, onClose: (_, ending) => endings.push(ending) });
      using wire = await Wire.dial(server.port);
      for (let at = 0; at < count; at++) await wire.send(`${`${at}`.padEnd(999)}\n`);
      await sleep(100);
      const stopped = server.shutdown();
      const replies = Array.from({ length: count }, (_, at) => `${at}`.padEnd(5));
      assertEquals(await wire.rest(), replies.join("\n") + (framing === "line" ? "\n" : ""));
      await wire.end();
      await stopped;
      assertEquals(endings, ["stopped"]);
    });
  }

  it("answers all that has arrived of a client that reads late", async () => {
    await using server = serve((message, reply) => reply.write(message), {
      ...{ framing: "line", grace: 20_000 },
    });
    using conn = await Deno.connect({ port: server.port });
    const lines = new TextEncoder().encode(`${"x".repeat(999)}\n`.repeat(100));
    let sent = 0; // bytes
    const sending = (async () => {
      while (sent < 200 * lines.length) {
        sent += await conn.write(lines.subarray(sent % lines.length));
      }
    })();
    for (let before = -1; before !== sent;) { // until the network takes no more
      before = sent;
      await sleep(100);
    }
    const stopped = server.shutdown();
    await sleep(700); // longer than a stopping server waits for messages
    let received = 0;
    const buffer = new Uint8Array(65536);
    for (let count; (count = await conn.read(buffer)) !== null;) received += count;
    await sending;
    assertEquals(received, sent);
    conn.close();
    await stopped;
  });

  for (const concurrency of [1, 2]) {
    it(`answers what is sent while a handler is awaited (concurrency ${concurrency})`, async () => {
      const began = Promise.withResolvers<void>();
      const endings: Ending[] = [];
      const server = serve(async (message, reply) => {
        began.resolve();
        await sleep(message.text === "slow" ? 400 : 0);
        reply.write(message);
      }, { framing: "line", concurrency, onClose: (_, ending) => endings.push(ending) });
      using wire = await Wire.dial(server.port);
      await wire.send("slow\n");
      await began.promise;
      const stopped = server.shutdown();
      await sleep(150);
      await wire.send("quick\n");
      assertEquals(await wire.rest(), "slow\nquick\n");
      await wire.end();
      await stopped;
      assertEquals(endings, ["stopped"]);
    });
  }

  it("answers all that has arrived of a crowd, however long that is not read", async () => {
    await using server = serve((message, reply) => reply.write(message), {
      ...{ framing: "line", grace: 20_000 },
    });
    using wires = new DisposableStack();
    const all: Wire[] = [];
    for (let count = 0; count < 250; count++) all.push(wires.use(await Wire.dial(server.port)));
    while (server.clients < all.length) await sleep(1);
    const lines = `${"x".repeat(60)}\n`.repeat(100);
    await Promise.all(all.map((wire) => wire.send(lines)));
    // A busy system may deliver it later. Nothing is read while this thread is blocked.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    const stopped = server.shutdown();
    const answers = await Promise.all(all.map(async (wire) => {
      const answer = await wire.rest();
      await wire.end();
      return answer;
    }));
    assertEquals(answers.filter((answer) => answer !== lines).length, 0);
    await stopped;
  });

  it("ends a client that never pauses half a second after it", async () => {
    const endings: Ending[] = [];
    await using server = serve((message, reply) => reply.write(message), {
      ...{ framing: "line", grace: 20_000 },
      onClose: (_, ending) => endings.push(ending),
    });
    using conn = await Deno.connect({ port: server.port });
    let isOver = false;
    const sending = (async () => {
      for (; !isOver; await sleep(5)) await conn.write(new TextEncoder().encode("a\n"));
    })();
    await sleep(20);
    const began = performance.now();
    const stopped = server.shutdown();
    const buffer = new Uint8Array(65536);
    while (await conn.read(buffer) !== null);
    assertLess(performance.now() - began, 5000);
    isOver = true;
    await sending;
    conn.close();
    await stopped;
    assertEquals(endings, ["stopped"]);
  });
});
