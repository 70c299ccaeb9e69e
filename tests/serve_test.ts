/** serve() with other handlers and listeners than the stamp server's. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Client, Ending, Handler } from "../lib/answer.ts";
import { Peer } from "../lib/converse.ts";
import { serve, type ServeOptions } from "../lib/serve.ts";
import { Wire } from "./wire.ts";

/** Serves on a free port for as long as a test uses it. */
function serveHere<S>(handler: Handler<S>, options: ServeOptions<S> = {}) {
  const server = serve(handler, { framing: "line", grace: 100, ...options });
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
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
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
        close: (_, ending) => void endings.push(ending),
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
    await using here = serveHere(upper, { open: (client) => void client.write("220 ready\r\n") });
    using wire = await Wire.dial(here.port);
    assertEquals(await wire.until(/\n/), "220 ready\r\n");
    await wire.send("hello\n");
    assertEquals(await wire.until(/\n/), "HELLO\n");
  });

  it("is sent away: told why, then closed", async () => {
    await using here = serveHere(upper, {
      open: (client) => {
        client.write("we are full\n");
        client.end();
      },
    });
    assertEquals(await exchange(here.port, ""), "we are full\n");
  });

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
    }, { open: () => [] });
    assertEquals(await exchange(here.port, "\n\n\n"), "1\n2\n3\n");
    assertEquals(await exchange(here.port, "\n"), "1\n");
  });

  it("gets nothing for a message where the handler writes nothing, but an empty reply is one", async () => {
    await using here = serveHere((message, reply) => {
      if (message.length < 2) reply.write(message.text);
    });
    assertEquals(await exchange(here.port, "a\nlonger\n\nb\n"), "a\n\nb\n");
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
    await using here = serveHere(upper, { open: resolve, close: (_, ending) => end(ending) });
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
    }, { open: resolve, maxMessage: 1 << 20 });
    using wire = await Wire.dial(here.port);
    const client = await came;
    await wire.send(`${long}\n${long}\n`);
    for (let pushed = 0; pushed < 50; pushed++) {
      client.write("<");
      await new Promise((resolve) => setTimeout(resolve));
    }
    await wire.end();
    const replies = (await wire.rest()).replaceAll("<", "");
    assertEquals(replies === `${long}\n${long}\n`, true);
  });

  it("is pushed no more than 64 KiB ahead of what it takes", async () => {
    const { promise: came, resolve } = Promise.withResolvers<Client>();
    await using here = serveHere(upper, { open: resolve });
    using wire = await Wire.dial(here.port);
    const client = await came;
    const line = `${"x".repeat(65535)}\n`;
    let taken = 0;
    while (client.write(line)) {
      taken++;
      await new Promise((resolve) => setTimeout(resolve));
    }
    client.end();
    assertEquals((await wire.rest()).length, taken * line.length);
  });
});

describe("async handlers", () => {
  /** Answers `30 tea` with `tea` after 30 ms; fails where that is `bad`. */
  const later: Handler = async (message, reply) => {
    const [milliseconds, what = ""] = message.text.split(" ");
    await new Promise((resolve) => setTimeout(resolve, Number(milliseconds)));
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
    while (heard.length === 0) await new Promise((resolve) => setTimeout(resolve));
    await wire.send("second\n");
    assertEquals(await wire.until(/second\n/), "first\nsecond\n");
  });

  it("that fail cost the conversation, after the replies before", async () => {
    for (const concurrency of [1, 5]) {
      await using here = serveHere(later, { concurrency });
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
    await using here = serveHere(upper, { close: (_, ending) => void endings.push(ending) });
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
    for (const broken of [{ open: fail }, { close: fail }, { verify: fail }]) {
      await using here = serveHere(upper, {
        ...broken,
        onError: (error) => void told.push(error.message),
      });
      await exchange(here.port, "hello\n").catch(() => {});
      await exchange(here.port, "hello\n").catch(() => {});
    }
    assertEquals(told, Array(4).fill("cannot answer: no"));
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
      const replies = await Promise.all(words.map((word) => peer.say(word)));
      const texts = replies.map((reply) => new TextDecoder().decode(reply));
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
    const replies = await Promise.all(["a", "b", "c"].map((text) => peer.say(text)));
    assertEquals(replies.map(String), ["97", "98", "99"]);
  });

  it("fails when no reply comes in time, and then for good", async () => {
    await using here = serveHere(() => {});
    using peer = await Peer.connect({ port: here.port, framing: "line", timeout: 50 });
    const [first, second] = [peer.say("a"), peer.say("b")];
    await assertRejects(() => first, Error, "no reply within 0.05s");
    await assertRejects(() => second, Error, "no reply within 0.05s");
    await assertRejects(() => peer.say("c"));
  });

  it("is called off by its signal: before, during the connection, and after", async () => {
    await using here = serveHere(() => {});
    await assertRejects(
      () => Peer.connect({ port: here.port, signal: AbortSignal.abort() }),
      Error,
      "called off",
    );
    const stop = new AbortController();
    using peer = await Peer.connect({ port: here.port, framing: "line", signal: stop.signal });
    const reply = peer.say("a");
    stop.abort();
    await assertRejects(() => reply, Error, "called off");
  });
});
