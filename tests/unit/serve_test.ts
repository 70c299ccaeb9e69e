/** serve() with other handlers and listeners than the stamp server's. */

import { assertEquals, assertLess, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Client, Ending, Handler } from "../../lib/server/handler.ts";
import { Peer } from "../../lib/client/peer.ts";
import { Closed } from "../../lib/net/errors.ts";
import { serve, Server } from "../../lib/server/serve.ts";
import type { ServerConn } from "../../lib/net/conn.ts";
import type { ServeOptions } from "../../lib/server/serve_options.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { sleep, turn } from "../../lib/wait.ts";
import { clientOf, listenerOf } from "../support/listener.ts";

/** Serves on a free port for as long as a test uses it. */
function serveHere<S>(handler: Handler<S>, options: ServeOptions<S> = {}) {
  const server = new Server(handler, { framing: "line", grace: 100, ...options });
  const port = "port" in server.addr ? server.addr.port : 0;
  return { server, port, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** What comes back for what is sent, to the end. */
async function exchange(port: number, sent: string): Promise<string> {
  using wire = await Wire.dial(port);
  await wire.send(sent);
  await wire.end();
  return await wire.rest();
}

/** Of a greeting, a reply and a push that comes so many microtasks after the greeting's end: one byte a write. */
async function whatATricklingClientHears(turns: number): Promise<string> {
  const { promise: all, resolve } = Promise.withResolvers<void>();
  const unix: Deno.UnixAddr = { transport: "unix", path: "" };
  let said = false, heard = "", client: Client | undefined;
  const conn: ServerConn = {
    remoteAddr: unix,
    read(room) {
      if (said) return all.then(() => null);
      said = true;
      room.set([10]);
      return Promise.resolve(1);
    },
    async write(bytes) {
      await sleep(0);
      heard += String.fromCharCode(bytes[0] as number);
      if (heard.endsWith(">")) void push();
      if (heard.includes(")") && heard.includes("\n")) resolve();
      return 1;
    },
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  async function push() {
    for (let turn = 0; turn < turns; turn++) await null;
    client?.write("(pushed)");
  }
  const conns = [conn];
  const closed = Promise.withResolvers<never>();
  const listener = {
    addr: unix,
    accept: () => Promise.resolve(conns.pop() ?? closed.promise),
    close: () => closed.reject(new Deno.errors.BadResource()),
  };
  const server = serve((_, reply) => reply.write("a reply"), {
    listeners: [listener],
    framing: "line",
    onOpen: (one) => void (client = one).write("<a long greeting>"),
  });
  await all;
  await server.shutdown();
  return heard;
}

const upper: Handler = (message, reply) => {
  const text = new TextDecoder().decode(message.bytes);
  reply.write(new TextEncoder().encode(text.toUpperCase()));
};

describe("serve", () => {
  it("is any line service", async () => {
    await using here = serveHere(upper);
    assertEquals(await exchange(here.port, "hello\r\nyou\nlast"), "HELLO\r\nYOU\nLAST");
  });

  it("waits for a reply that takes its time, and keeps the order", async () => {
    await using here = serveHere(async (message, reply) => {
      const milliseconds = Number(new TextDecoder().decode(message.bytes));
      await sleep(milliseconds);
      reply.write(message);
    });
    assertEquals(await exchange(here.port, "30\n0\n10\n"), "30\n0\n10\n");
  });

  for (
    const [what, fail] of [
      ["throws", () => {
        throw new Error("no");
      }],
      ["rejects", () => Promise.reject(new Error("no"))],
    ] as const
  ) {
    it(`a handler that ${what} costs one conversation: replies before it arrive, half of its own does not`, async () => {
      const failures: string[] = [], endings: Ending[] = [];
      await using here = serveHere((message, reply) => {
        reply.write(message);
        return new TextDecoder().decode(message.bytes) === "bad" ? fail() : undefined;
      }, {
        onError: ({ message }) => void failures.push(message),
        onClose: (_, ending) => void endings.push(ending),
      });
      using other = await Wire.dial(here.port);
      assertEquals(await exchange(here.port, "good\nbad\nnever\n"), "good\n");
      await other.send("still here\n");
      assertEquals(await other.until(/\n/), "still here\n");
      assertEquals([failures, endings], [["cannot answer: no"], ["failed"]]);
    });
  }

  it("a listener that is out of descriptors is rested, said once, and goes on", async () => {
    const exhausted = Object.assign(new Error("Too many open files"), { code: "EMFILE" });
    const outcomes = [exhausted, exhausted, new Deno.errors.NotConnected(), exhausted];
    const told: string[] = [];
    const { promise, reject } = Promise.withResolvers<never>();
    const addr = { transport: "tcp", hostname: "127.0.0.1", port: 1 } as const;
    const server = serve(upper, {
      listeners: [{
        addr,
        accept: () => {
          const outcome = outcomes.shift();
          if (outcome === undefined) void server.shutdown();
          return outcome ? Promise.reject(outcome) : promise;
        },
        close: () => reject(new Deno.errors.BadResource()),
      }],
      onError: ({ message }) => void told.push(message),
    });
    await server.finished;
    assertEquals([outcomes.length, told], [0, ["cannot accept for now: Too many open files"]]);
  });

  it("stops by its signal, also by one that was aborted before", async () => {
    for (const early of [true, false]) {
      const stop = new AbortController();
      if (early) stop.abort();
      await using here = serveHere(upper, { signal: stop.signal });
      stop.abort();
      await here.server.finished;
      await here.server.shutdown();
    }
  });
});

describe("a client of serve", () => {
  it("is greeted, before it says anything", async () => {
    await using here = serveHere(upper, { onOpen: (client) => void client.write("220 ready\r\n") });
    using wire = await Wire.dial(here.port);
    assertEquals(await wire.until(/\n/), "220 ready\r\n");
    await wire.send("hello\n");
    assertEquals(await wire.until(/\n/), "HELLO\n");
  });

  it("is sent away: told why, then closed", async () => {
    await using here = serveHere(upper, {
      onOpen: (client) => {
        client.write("we are full\n");
        client.end();
      },
    });
    assertEquals(await exchange(here.port, ""), "we are full\n");
  });

  for (const isAsked of [false, true]) {
    const what = isAsked ? "are asked about and greeted" : "come";
    it(`costs no other its place, and gets its own reply, however many ${what} at once`, async () => {
      const refused: string[] = [];
      const crowd = Array.from({ length: 1100 }, (_, at) => clientOf(`client ${at}\n`));
      const all = Promise.withResolvers<void>();
      let opening = 0;
      const onOpen = () => {
        if (++opening === crowd.length) all.resolve();
        return all.promise; // a thousand may be asked about at once, and any number greeted
      };
      const verify = async () => {
        for (let turns = 0; turns < 5; turns++) await turn();
        return true;
      };
      await using _here = serveHere(upper, {
        listeners: [listenerOf(...crowd)],
        maxClients: 2000,
        ...isAsked && { verify, onOpen },
        onRefused: (_, reason) => void refused.push(reason),
      });
      const heard = await Promise.all(crowd.map(({ received }) => received));
      assertEquals(refused, []);
      assertEquals(heard, crowd.map((_, at) => `CLIENT ${at}\n`));
    });
  }

  it("is not let in where verify says no, sync or async, and the next one is", async () => {
    const answers = [false, Promise.resolve(false), Promise.resolve(true)];
    const refused: string[] = [];
    await using here = serveHere(upper, {
      verify: () => answers.shift() ?? true,
      onRefused: (_, reason) => void refused.push(reason),
    });
    assertEquals([await exchange(here.port, ""), await exchange(here.port, "")], ["", ""]);
    assertEquals(await exchange(here.port, "hello\n"), "HELLO\n");
    assertEquals(refused, ["not let in", "not let in"]);
  });

  it("has a state of its own", async () => {
    await using here = serveHere<number[]>((_, reply, { state }) => {
      reply.write(String(state.push(1)));
    }, { onOpen: () => [] });
    assertEquals(await exchange(here.port, "\n\n\n"), "1\n2\n3\n");
    assertEquals(await exchange(here.port, "\n"), "1\n");
  });

  it("gets nothing for a message where the handler writes nothing, but an empty reply is one", async () => {
    await using here = serveHere((message, reply) => {
      if (message.length < 2) reply.write(message.text);
    });
    assertEquals(await exchange(here.port, "a\nlonger\n\nb\n"), "a\n\nb\n");
  });

  it("is let go before it says anything", async () => {
    await using here = serveHere(upper, {
      onOpen(client) {
        client.write("full\n");
        client.end();
      },
    });
    using wire = await Wire.dial(here.port);
    assertEquals(await wire.rest(), "full\n");
  });

  it("hears no more where the handler writes what is neither text nor bytes", async () => {
    const told: string[] = [];
    await using here = serveHere((_, reply) => reply.write(1 as never), {
      onError: ({ message }) => void told.push(message),
    });
    assertEquals(await exchange(here.port, "a\n"), "");
    assertEquals(told, ["cannot answer: a reply must be text, bytes or a message, not 1"]);
  });

  it("is let go by a handler: its reply arrives, later messages are not heard", async () => {
    const heard: string[] = [];
    await using here = serveHere((message, reply, client) => {
      heard.push(message.text);
      reply.write("bye");
      client.end();
    });
    assertEquals(await exchange(here.port, "one\ntwo\n"), "bye\n");
    assertEquals(heard, ["one"]);
  });

  it("is let go while it is silent, even if it never leaves by itself", async () => {
    const { promise: came, resolve } = Promise.withResolvers<Client>();
    const { promise: ended, resolve: end } = Promise.withResolvers<Ending>();
    await using here = serveHere(upper, { onOpen: resolve, onClose: (_, ending) => end(ending) });
    using wire = await Wire.dial(here.port);
    const client = await came;
    client.write("that is all\n");
    client.end();
    assertEquals(client.write("too late\n"), false);
    assertEquals(await wire.rest(), "that is all\n");
    assertEquals(await ended, "done");
  });

  it("hears what others push between whole replies, never inside one", async () => {
    const long = "x".repeat(300_000);
    const { promise: came, resolve } = Promise.withResolvers<Client>();
    await using here = serveHere((message, reply, client) => {
      client.write("<");
      reply.write(message);
    }, { onOpen: resolve, maxMessage: 1 << 20 });
    using wire = await Wire.dial(here.port);
    const client = await came;
    await wire.send(`${long}\n${long}\n`);
    for (let pushed = 0; pushed < 50; pushed++) {
      client.write("<");
      await sleep(0);
    }
    await wire.end();
    const replies = (await wire.rest()).replaceAll("<", "");
    assertEquals(replies === `${long}\n${long}\n`, true);
  });

  it("is pushed no more than 64 KiB ahead of what it takes", async () => {
    const { promise: came, resolve } = Promise.withResolvers<Client>();
    await using here = serveHere(upper, { onOpen: resolve });
    using wire = await Wire.dial(here.port);
    const client = await came;
    const line = `${"x".repeat(65535)}\n`;
    let taken = 0;
    while (client.write(line)) {
      taken++;
      await sleep(0);
    }
    client.end();
    assertEquals((await wire.rest()).length, taken * line.length);
  });
});

describe("async handlers", () => {
  /** Answers `30 tea` with `tea` after 30 ms; fails where that is `bad`. */
  const later: Handler = async (message, reply) => {
    const [milliseconds, what = ""] = message.text.split(" ");
    await sleep(Number(milliseconds));
    if (what === "bad") throw new Error("no");
    reply.write(what);
  };

  it("one at a time, unless told otherwise", async () => {
    let busy = 0, most = 0;
    const handler: Handler = async (message, reply, client) => {
      most = Math.max(most, ++busy);
      await later(message, reply, client);
      busy--;
    };
    await using here = serveHere(handler);
    assertEquals(await exchange(here.port, "9 a\n0 b\n3 c\n"), "a\nb\nc\n");
    assertEquals(most, 1);
    await using several = serveHere(handler, { concurrency: 2 });
    assertEquals(await exchange(several.port, "9 a\n0 b\n3 c\n0 d\n"), "a\nb\nc\nd\n");
    assertEquals(most, 2);
  });

  it("a reply that is ready is sent while a later one is awaited", async () => {
    for (const concurrency of [1, 3]) {
      const { promise: release, resolve } = Promise.withResolvers<void>();
      await using here = serveHere((message, reply) => {
        reply.write(message);
        return message.text === "slow" ? release : undefined;
      }, { concurrency });
      using wire = await Wire.dial(here.port);
      await wire.send("quick\nslow\nquick\n");
      assertEquals(await wire.until(/\n/), "quick\n");
      resolve();
      assertEquals(await wire.until(/slow\nquick\n/), "slow\nquick\n");
    }
  });

  it("hear what comes while one is awaited, where several may be", async () => {
    const { promise: release, resolve } = Promise.withResolvers<void>();
    const heard: string[] = [];
    await using here = serveHere(async (message, reply) => {
      heard.push(message.text);
      if (message.text === "second") resolve();
      await release;
      reply.write(message);
    }, { concurrency: 2 });
    using wire = await Wire.dial(here.port);
    await wire.send("first\n");
    while (heard.length === 0) await sleep(0);
    await wire.send("second\n");
    assertEquals(await wire.until(/second\n/), "first\nsecond\n");
  });

  it("that fail cost the conversation, after the replies before", async () => {
    for (const concurrency of [1, 5]) {
      await using here = serveHere(later, { concurrency, onError: () => {} });
      assertEquals(await exchange(here.port, "9 a\n3 bad\n0 c\n"), "a\n");
    }
  });

  it("are waited for by a stop", async () => {
    for (const concurrency of [1, 5]) {
      const { promise: begun, resolve } = Promise.withResolvers<void>();
      await using here = serveHere(async (message, reply, client) => {
        resolve();
        await later(message, reply, client);
      }, { concurrency, grace: 5000 });
      using wire = await Wire.dial(here.port);
      await wire.send("80 a\n");
      await begun;
      const stopped = here.server.shutdown();
      assertEquals(await wire.rest(), "a\n");
      wire.conn.close();
      await stopped;
    }
  });

  it("answer before the refusal of a message that is too long", async () => {
    await using here = serveHere(later, { concurrency: 5, maxMessage: 9 });
    const refusal = "error: message longer than 9 bytes\n";
    assertEquals(await exchange(here.port, `20 a\n0 b\n${"x".repeat(10)}\n`), `a\nb\n${refusal}`);
  });
});

describe("a server", () => {
  it("that stops is what ended a conversation whose client says nothing more", async () => {
    const endings: Ending[] = [];
    await using here = serveHere(upper, { onClose: (_, ending) => void endings.push(ending) });
    using wire = await Wire.dial(here.port);
    await wire.send("a\n");
    assertEquals(await wire.until(/\n/), "A\n");
    const stopped = here.server.shutdown();
    assertEquals(await wire.rest(), "");
    await wire.end();
    await stopped;
    assertEquals(endings, ["stopped"]);
  });

  it("says where it listens and counts what is alive", async () => {
    const listening: Deno.Addr[] = [];
    await using here = serveHere(upper, { onListen: (addr) => void listening.push(addr) });
    assertEquals(listening, [here.server.addr]);
    using wire = await Wire.dial(here.port);
    await wire.send("one\ntwo\n");
    await wire.until(/TWO\n/);
    const { clients, messages, bytes } = here.server;
    assertEquals([clients, messages, bytes], [1, 2, 8]);
  });

  it("survives options that throw", async () => {
    const told: string[] = [];
    const fail = () => {
      throw new Error("no");
    };
    for (const name of ["onOpen", "onMessage", "onClose", "verify"]) {
      await using here = serveHere(upper, {
        [name]: fail,
        onError: (error) => void told.push(error.message),
      });
      await exchange(here.port, "hello\n").catch(() => {});
      await exchange(here.port, "hello\n").catch(() => {});
    }
    assertEquals(told, Array(6).fill("cannot answer: no"));
  });

  it("with `once` says one reply, however long", async () => {
    const long = "x".repeat(100_000);
    await using here = serveHere((_, reply) => reply.write(long), { once: true });
    assertEquals(await exchange(here.port, "one\ntwo\n"), `${long}\n`);
    await here.server.finished;
    assertEquals(here.server.messages, 1);
  });

  it("with `once` serves one of several that come at the same time", async () => {
    const endings: Ending[] = [];
    await using here = serveHere(upper, {
      once: true,
      verify: () => true,
      onClose: (_, ending) => void endings.push(ending),
    });
    const crowd = await Promise.allSettled(
      Array.from({ length: 5 }, () => exchange(here.port, "hello\n")),
    );
    await here.server.finished;
    const served = crowd.filter((one) => one.status === "fulfilled" && one.value === "HELLO\n");
    assertEquals([served.length, endings], [1, ["done"]]);
  });

  it("closes a connection that has died in the queue, and goes on", async () => {
    const addr: Deno.UnixAddr = { transport: "unix", path: "" };
    const died = () => {
      throw new Deno.errors.BadResource();
    };
    let isClosed = false;
    const dead = { remoteAddr: addr, setNoDelay: died, close: () => isClosed = true } as unknown;
    const { promise, reject } = Promise.withResolvers<never>();
    const waiting = [dead as ServerConn];
    const listener = {
      addr,
      accept: async () => waiting.shift() ?? await promise,
      close: () => reject(new Deno.errors.BadResource()),
    };
    const opened: Client<void>[] = [];
    const open = (client: Client<void>) => void opened.push(client);
    await using _here = serveHere(upper, { listeners: [listener], onOpen: open });
    while (!isClosed) await sleep(0);
    assertEquals(opened, []);
  });

  it("survives an onRefused that throws, and says why with the error itself", async () => {
    const told: Error[] = [];
    const failure = new Error("no");
    await using here = serveHere(upper, {
      verify: () => false,
      onRefused: () => {
        throw failure;
      },
      onError: (error) => void told.push(error),
    });
    await exchange(here.port, "hello\n").catch(() => {});
    assertEquals(told.map(({ message, cause }) => [message, cause]), [[
      "cannot answer: no",
      failure,
    ]]);
  });

  it("refuses a write that comes too late, and lets nobody else have it", async () => {
    const late = Promise.withResolvers<unknown>();
    const gate = Promise.withResolvers<void>();
    await using here = serveHere((message, reply) => {
      if (message.text !== "late") return reply.write(message);
      void gate.promise.then(() => reply.write("of another")).catch(late.resolve);
    });
    using one = await Wire.dial(here.port);
    using other = await Wire.dial(here.port);
    await one.send("late\nhere\n");
    await one.until(/here\n/);
    gate.resolve();
    assertEquals(
      String(await late.promise).slice(0, 40),
      "Error: cannot write: the reply was sent ",
    );
    await other.send("mine\n");
    assertEquals(await other.until(/\n/), "mine\n");
  });

  it("gives a place that comes free to whoever waits for one, not to who listens", async () => {
    const listeners = [0, 0].map((port) => Deno.listen({ hostname: "127.0.0.1", port }));
    const ports = listeners.map(({ addr }) => (addr as Deno.NetAddr).port);
    for (const verify of [undefined, () => Promise.resolve(true)]) {
      const options = verify ? { verify } : { listeners };
      await using here = serveHere(upper, { maxClients: 1, ...options });
      const [first, second] = verify ? [here.port, here.port] : ports as [number, number];
      using one = await Wire.dial(first);
      await one.send("a\n");
      await one.until(/A\n/);
      using other = await Wire.dial(second);
      await other.send("b\n");
      await one.end();
      assertEquals(await other.until(/\n/), "B\n");
    }
  });

  it("stops after its grace although a handler never settles", async () => {
    const { promise: heard, resolve } = Promise.withResolvers<void>();
    await using here = serveHere(() => {
      resolve();
      return new Promise<void>(() => {});
    }, { grace: 20 });
    using wire = await Wire.dial(here.port);
    await wire.send("a\n");
    await heard;
    await here.server.shutdown();
    assertEquals(here.server.clients, 0);
  });

  it("stops after its grace although handlers never settle, of which several may run", async () => {
    const { promise: heard, resolve } = Promise.withResolvers<void>();
    await using here = serveHere(() => {
      resolve();
      return new Promise<void>(() => {});
    }, { grace: 20, concurrency: 2 });
    using wire = await Wire.dial(here.port);
    await wire.send("a\n");
    await heard;
    await here.server.shutdown();
    assertEquals(here.server.clients, 0);
  });

  it("stops although verify never settles: who is not let in by then is refused", async () => {
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    const refused: string[] = [];
    await using here = serveHere(upper, {
      verify: () => {
        resolve();
        return new Promise<boolean>(() => {});
      },
      onRefused: (_, reason) => void refused.push(reason),
    });
    using wire = await Wire.dial(here.port);
    await asked;
    await here.server.shutdown();
    assertEquals(refused, ["the server stops"]);
    assertEquals(await wire.rest(), "");
  });

  it("answers the clients that wait for a slot, in the listen queue too, when it stops", async () => {
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    await using here = serveHere(async (message, reply) => {
      resolve();
      await released;
      reply.write(message);
    }, { maxClients: 1, grace: 5000 });
    const replies = ["a", "b", "c"].map((text) => exchange(here.port, `${text}\n`));
    await asked;
    const stopping = here.server.shutdown();
    release();
    assertEquals((await Promise.all(replies)).toSorted(), ["a\n", "b\n", "c\n"]);
    await stopping;
  });

  it("counts the clients of all listeners against the limit", async () => {
    let clients = 0, most = 0;
    const listeners = [0, 0].map((port) => Deno.listen({ hostname: "127.0.0.1", port }));
    await using _here = serveHere(upper, {
      listeners,
      maxClients: 1,
      onOpen: () => void (most = Math.max(most, ++clients)),
      onClose: () => void clients--,
    });
    const ports = listeners.map(({ addr }) => addr.port);
    await Promise.all([...ports, ...ports].map((port) => exchange(port, "a\n")));
    assertEquals(most, 1);
  });

  it("refuses whoever comes to the door after its grace", async () => {
    const { promise: heard, resolve } = Promise.withResolvers<void>();
    const refused: string[] = [];
    await using here = serveHere(() => {
      resolve();
      return new Promise<void>(() => {});
    }, {
      maxClients: 1,
      grace: 0,
      verify: () => true,
      onRefused: (_, reason) => void refused.push(reason),
    });
    using first = await Wire.dial(here.port);
    await first.send("a\n");
    await heard;
    using second = await Wire.dial(here.port); // waits for the place
    using third = await Wire.dial(here.port); // in the listen queue
    await here.server.shutdown();
    assertEquals([await second.rest(), await third.rest()], ["", ""]);
    assertEquals(refused, ["the server stops"]);
  });

  it("refuses a client that takes longer than the idle timeout to begin", async () => {
    const { promise: refused, resolve } = Promise.withResolvers<string>();
    await using here = serveHere(upper, {
      idleTimeout: 100,
      onAccept: () => new Promise(() => {}),
      onRefused: (_, reason) => resolve(reason),
    });
    using wire = await Wire.dial(here.port);
    assertEquals(await refused, "did not begin within 0.1s");
    assertEquals(await wire.rest(), "");
  });

  it("lets a thousand prepare at once; each one more costs the oldest its place", async () => {
    let refused = 0;
    const crowd = Promise.withResolvers<void>();
    const listener = listenerOf(...Array(1100).fill({ read: () => new Promise(() => {}) }));
    const prepare = async (conn: ServerConn) => (await conn.read(new Uint8Array(1)), conn);
    const onRefused = () => {
      if (++refused === 100) crowd.resolve();
    };
    const server = serve(upper, { listeners: [listener], onAccept: prepare, onRefused });
    await crowd.promise;
    await sleep(0);
    assertEquals(refused, 100);
    await server.shutdown();
    assertEquals(refused, 1100);
  });

  it("that cannot say where it listens does not listen", () => {
    const listener = Deno.listen({ port: 0 });
    const { port } = listener.addr;
    listener.close();
    const onListen = () => {
      throw new Error("no");
    };
    for (let again = 0; again < 2; again++) {
      assertThrows(() => serve(upper, { port, onListen }), Error, "no");
    }
  });

  it("survives an onError that throws", async () => {
    const fail = () => {
      throw new Error("no");
    };
    await using here = serveHere(fail, { onOpen: fail, onClose: fail, onError: fail });
    await exchange(here.port, "hello\n").catch(() => {});
    assertEquals(here.server.clients, 0);
  });

  it("leaves no timer behind when it is shut down after its end", async () => {
    const server = serve(upper, { once: true, drain: 1000 });
    using wire = await Wire.dial((server.addr as Deno.NetAddr).port);
    await wire.send("a\n");
    await wire.end();
    await server.finished;
    const { setTimeout } = globalThis;
    let timers = 0;
    globalThis.setTimeout = ((...args: Parameters<typeof setTimeout>) => {
      timers++;
      return setTimeout(...args);
    }) as typeof setTimeout;
    try {
      await server.shutdown();
    } finally {
      globalThis.setTimeout = setTimeout;
    }
    assertEquals(timers, 0);
  });

  it("hears an end() that is said while the reply is written", async () => {
    await using here = serveHere((_, reply, client) => {
      reply.write("bye");
      queueMicrotask(() => client.end());
    });
    using wire = await Wire.dial(here.port);
    await wire.send("a\n");
    assertEquals(await wire.rest(), "bye\n");
  });

  it("cuts a client that does not read, for an async handler too", async () => {
    for (const concurrency of [1, 2]) {
      const { promise: ended, resolve } = Promise.withResolvers<Ending>();
      const closed = Promise.withResolvers<never>();
      const deaf = {
        ...clientOf("a\nb\n"),
        write: () => closed.promise,
        close: () => closed.reject(new Deno.errors.BadResource()),
      };
      await using _here = serveHere(async (_, reply) => {
        await Promise.resolve();
        reply.write("x".repeat(200_000));
      }, {
        listeners: [listenerOf(deaf)],
        concurrency,
        idleTimeout: 100,
        onClose: (_, ending) => resolve(ending),
      });
      assertEquals(await ended, "idle");
    }
  });

  it("never lets what is no reply into the middle of one", async () => {
    for (let turns = 0; turns < 12; turns++) {
      const heard = await whatATricklingClientHears(turns);
      assertMatch(heard, /^<a long greeting>(\(pushed\)a reply\n|a reply\n\(pushed\))$/);
    }
  });

  it("has no state that nothing makes: the compiler sees to it", async () => {
    // @ts-expect-error there is no `onOpen`
    await using _ = serve<{ sum: number }>((message, reply) => reply.write(message));
  });

  it("lets go of its signal when it is over", async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listeners++;
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listeners--;
      removeEventListener.apply(signal, args);
    };
    {
      await using here = serveHere(upper, { signal });
      using peer = await Peer.connect({ port: here.port, signal });
      await peer.request("a");
      assertEquals(listeners > 1, true);
    }
    assertEquals(listeners, 0);
  });

  it("cannot listen where somebody else does: serve() throws", async () => {
    await using here = serveHere(upper);
    assertThrows(() => serve(upper, { port: here.port }), Deno.errors.AddrInUse);
  });
});

describe("Peer", () => {
  it("gets replies in order, pipelined or not, whatever the framing", async () => {
    for (const framing of ["auto", "line", "raw"] as const) {
      await using here = serveHere((message, reply) => {
        reply.write("[");
        reply.write(message);
        reply.write("] now");
      }, { framing });
      using peer = await Peer.connect({ port: here.port, timeout: 5000 });
      const words = Array.from({ length: 20 }, (_, at) => `word ${at}`);
      const replies = await Promise.all(words.map((word) => peer.request(word)));
      const texts = replies.map(({ text }) => text);
      assertEquals(texts, words.map((word) => `[${word}] now`));
      assertEquals([peer.sent, peer.answered], [20, 20]);
    }
  });

  it("sends without waiting: a server that answers at the end answers all", async () => {
    const { promise: all, resolve } = Promise.withResolvers<void>();
    let heard = 0;
    await using here = serveHere(async (message, reply) => {
      if (++heard === 3) resolve();
      await all;
      reply.write(message);
    }, { concurrency: 3 });
    using peer = await Peer.connect({ port: here.port, framing: "line" });
    const replies = await Promise.all(["a", "b", "c"].map((text) => peer.request(text)));
    assertEquals(replies.map(({ text }) => text), ["a", "b", "c"]);
  });

  it("goes on after a reply that begins with error:", async () => {
    await using here = serveHere((message, reply) => reply.write(message));
    using peer = await Peer.connect({ port: here.port });
    const replies = ["a", "error: b", "c"].map((message) =>
      peer.request(message).then(({ text }) => text, String)
    );
    assertEquals(await Promise.all(replies), ["a", "ErrorReply: the server refused: b", "c"]);
  });

  it("says the bytes that it was given, whatever becomes of them", async () => {
    await using here = serveHere((message, reply) => reply.write(message));
    using peer = await Peer.connect({ port: here.port });
    const bytes = new Uint8Array([97]);
    const replies = [peer.request(bytes), peer.request(bytes)];
    bytes[0] = 98;
    assertEquals((await Promise.all(replies)).map(({ text }) => text), ["a", "a"]);
  });

  it("fails when no reply comes in time, and then for good", async () => {
    await using here = serveHere(() => {});
    using peer = await Peer.connect({ port: here.port, framing: "line", timeout: 50 });
    const [first, second] = [peer.request("a"), peer.request("b")];
    await assertRejects(() => first, Error, "no reply within 0.05s");
    await assertRejects(() => second, Error, "no reply within 0.05s");
    await assertRejects(() => peer.request("c"));
  });

  it("has a time limit that later requests do not put off", async () => {
    await using here = serveHere(() => {});
    using peer = await Peer.connect({ port: here.port, framing: "line", timeout: 300 });
    const replies = [peer.request("0")];
    const failed = assertRejects(() => replies[0] as Promise<unknown>, Error, "no reply within");
    const start = performance.now();
    const ticks = setInterval(() => replies.push(peer.request("1")), 50);
    await failed;
    clearInterval(ticks);
    await Promise.allSettled(replies);
    assertLess(performance.now() - start, 2000);
  });

  it("has no TLS on a Unix socket, rather than leave it out", async () => {
    const words = "TLS needs a host and a port: leave out path or tls";
    await assertRejects(() => Peer.connect({ path: "/nowhere", tls: {} }), Error, words);
  });

  it("is called off by its signal: before, during the connection, and after", async () => {
    const nobody = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = nobody.addr;
    nobody.close();
    const soon = new AbortController();
    const connecting = Peer.connect({ port, wait: 60_000, signal: soon.signal });
    soon.abort();
    await assertRejects(() => connecting, Error, "aborted");

    await using here = serveHere(() => {});
    await assertRejects(
      () => Peer.connect({ port: here.port, signal: AbortSignal.abort() }),
      Error,
      "aborted",
    );
    const stop = new AbortController();
    using peer = await Peer.connect({ port: here.port, framing: "line", signal: stop.signal });
    const reply = peer.request("a");
    stop.abort();
    await assertRejects(() => reply, Closed, "its signal was aborted");
  });
});
