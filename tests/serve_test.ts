/** serve() with other handlers and listeners than the stamp server's. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Ending, Handler } from "../lib/answer.ts";
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
