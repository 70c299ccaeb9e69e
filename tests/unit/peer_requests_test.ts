/** Peer, with servers that say more than a line for each message, or frame it in their own way. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Peer, type PeerOptions } from "../../lib/client/peer.ts";
import { Closed, ConnectError, TimeoutError } from "../../lib/net/errors.ts";
import { FramingError, type Message } from "../../lib/wire/message.ts";
import { serve } from "../../lib/server/serve.ts";
import type { ServeOptions } from "../../lib/server/serve_options.ts";
import type { Client, Handler } from "../../lib/server/handler.ts";
import { concat, type CustomFraming, framed } from "../../lib/wire/framing.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Random } from "../support/random.ts";
import { netstring } from "../support/services/netstring.ts";
import { sleep } from "../../lib/wait.ts";

const text = (message: Message) => message.text;
const latin1 = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const echo: Handler<void> = (message, reply) => reply.write(message);
const isEcho = (message: Uint8Array, reply: Uint8Array) => latin1(message) === latin1(reply);

/** A server and a peer of it. */
async function pair(handler: Handler<void>, serving: ServeOptions, talking: PeerOptions = {}) {
  const server = serve(handler, { grace: 100, ...serving });
  const { port } = server.addr as Deno.NetAddr;
  const peer = await Peer.connect({ port, timeout: 10_000, ...talking });
  return {
    peer,
    server,
    async [Symbol.asyncDispose]() {
      peer.close();
      await server.shutdown();
    },
  };
}

/** A server that sends bytes in pieces, and reads nothing. */
async function sending(pieces: readonly Uint8Array[], talking: PeerOptions) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const accepted = listener.accept();
  const peer = await Peer.connect({ port, timeout: 10_000, ...talking });
  const conn = await accepted;
  conn.setNoDelay();
  const sent = (async () => {
    for (let piece of pieces) {
      while (piece.length > 0) piece = piece.subarray(await conn.write(piece));
      await sleep(0);
    }
  })();
  return {
    ...{ peer, conn, sent },
    async [Symbol.asyncDispose]() {
      peer.close();
      await sent.catch(() => {});
      conn[Symbol.dispose]();
      listener.close();
    },
  };
}

describe("Peer.receive", () => {
  for (const framing of ["auto", "line"] as const) {
    it(`gives a greeting, and the rest of a reply of several lines (${framing})`, async () => {
      await using all = await pair((_, reply) => reply.write("one\r\ntwo\n."), {
        onOpen: (client) => void client.write("220 ready\r\n"),
      }, { framing });
      const { peer } = all;
      assertEquals(text(await peer.receive()), "220 ready");
      for (let time = 0; time < 2; time++) {
        assertEquals(text(await peer.request("list")), "one");
        assertEquals(text(await peer.receive()), "two");
        assertEquals(text(await peer.receive()), ".");
      }
    });
  }

  it("takes its turn among what is said at once", async () => {
    await using all = await pair(
      (message, reply) => {
        reply.write(message);
        reply.write("\nmore");
      },
      {},
      { framing: "line" },
    );
    const { peer } = all;
    const heard = [
      peer.request("a"),
      peer.receive(),
      peer.request("b"),
      peer.receive(),
      peer.request("c"),
    ];
    assertEquals((await Promise.all(heard)).map(text), ["a", "more", "b", "more", "c"]);
  });

  it("in raw framing gives what has come", async () => {
    await using all = await pair(echo, {
      framing: "raw",
      onOpen: (client) => void client.write("a greeting\nwithout an end"),
    }, { framing: "raw" });
    assertEquals(text(await all.peer.receive()), "a greeting\nwithout an end");
    assertEquals(text(await all.peer.request("a\nb")), "a\nb");
  });

  it("rejects when nothing is received in time, and the next call gets what comes later", async () => {
    const came = Promise.withResolvers<Client<void>>();
    await using all = await pair(echo, { onOpen: (client) => came.resolve(client) }, {
      framing: "line",
      timeout: 50,
    });
    const { peer } = all;
    await assertRejects(() => peer.receive(20), TimeoutError, "nothing was received within 0.02s");
    const next = peer.receive();
    await sleep(100); // past the time limit of requests
    (await came.promise).write("late\n");
    assertEquals(text(await next), "late");
    assertEquals(text(await peer.request("a")), "a");
  });

  it("rejects when the server closes the connection", async () => {
    await using all = await pair(() => {}, { onOpen: (client) => client.end() });
    await assertRejects(() => all.peer.receive(), Closed, "the server has closed the connection");
  });
});

describe("Peer with matches", () => {
  it("keeps what is no reply for receive, whatever comes between", async () => {
    const came = Promise.withResolvers<Client<void>>();
    await using all = await pair(
      (message, reply, client) => {
        client.write("pushed before\n");
        reply.write(message);
      },
      { framing: "line", onOpen: (client) => came.resolve(client) },
      {
        framing: "line",
        matches: isEcho,
      },
    );
    const { peer } = all;
    const replies = ["a", "b", "c"].map((message) => peer.request(message));
    assertEquals((await Promise.all(replies)).map(text), ["a", "b", "c"]);
    assertEquals(text(await peer.receive()), "pushed before");
    const pushed = peer.receive(0), next = peer.receive(0), more = peer.receive(0);
    assertEquals(text(await peer.request("d")), "d"); // though somebody hears already
    (await came.promise).write("pushed after\n");
    const heard = (await Promise.all([pushed, next, more])).map(text);
    assertEquals(heard, ["pushed before", "pushed before", "pushed before"]);
    assertEquals(text(await peer.receive()), "pushed after");
  });

  it("takes replies in any order, and an error reply as that of the oldest message", async () => {
    const pieces = ["2\nerror: no\nnews\nmore news\n3\n"].map((text) =>
      new TextEncoder().encode(text)
    );
    await using all = await sending(pieces, { framing: "line", matches: isEcho });
    const replies = ["1", "2", "3"].map((message) => all.peer.request(message).then(text, String));
    assertEquals(await Promise.all(replies), ["ErrorReply: the server refused: no", "2", "3"]);
    const heard = [await all.peer.receive(), await all.peer.receive()];
    assertEquals(heard.map(text), ["news", "more news"]);
  });

  it("holds no more than 1 MiB for which there is no call", async () => {
    const line = new TextEncoder().encode(`${"x".repeat(99_999)}\n`);
    await using all = await sending(Array(12).fill(line), { framing: "line", matches: isEcho });
    await assertRejects(
      () => all.peer.request("a"),
      Error,
      "over 1048576 unsolicited bytes were received",
    );
  });
});

describe("Peer.request", () => {
  for (const framing of ["auto", "line"] as const) {
    it(`refuses a message with a line end (${framing}), and no reply is shifted`, async () => {
      await using all = await pair(echo, {}, { framing });
      const replies = ["a", "b\nc", "d"].map((message) =>
        all.peer.request(message).then(text, String)
      );
      const refused = "Error: a message with a line end would be received as two: " +
        "send each line as a message";
      assertEquals(await Promise.all(replies), ["a", refused, "d"]);
      assertEquals([all.peer.sent, all.peer.answered], [2, 2]);
    });
  }

  it("by a custom framing sends any bytes, and receives them, however they are cut", async () => {
    const random = new Random();
    await using all = await pair(echo, { framing: netstring }, { framing: netstring });
    const messages = Array.from({ length: 300 }, () => random.bytes(random.below(2000)));
    const replies = await Promise.all(messages.map((message) => all.peer.request(message)));
    assertEquals(replies.map(({ bytes }) => bytes), messages, `seed ${random.seed}`);

    const stream = concat(
      messages.slice(0, 40).flatMap((message) => {
        const [before, after] = framed(netstring, message);
        return [before, message, after];
      }),
    );
    await using cut = await sending(random.cut(stream, 900), { framing: netstring });
    for (const message of messages.slice(0, 40)) {
      assertEquals((await cut.peer.receive()).bytes, message, `seed ${random.seed}`);
    }
  });

  it("by a custom framing receives an error reply, and rejects if there is no frame", async () => {
    const refusing: Handler<void> = (_, reply) => reply.write("error: no");
    await using all = await pair(refusing, { framing: netstring }, { framing: netstring });
    await assertRejects(() => all.peer.request("a"), Error, "the server refused: no");
    await using other = await pair(echo, {
      framing: "line",
      onOpen: (client) => void client.write("hello\n"),
    }, { framing: netstring });
    await assertRejects(() => other.peer.request("a"), Error, "not a netstring");
  });
});

describe("Peer.send", () => {
  it("leaves the answer to receive, and tells raw framing by it", async () => {
    for (const framing of ["line", "raw"] as const) {
      await using all = await pair((message, reply) => reply.write(`[${message.text}] now`), {
        framing,
      });
      const { peer } = all;
      await peer.send("one");
      assertEquals([text(await peer.receive()), peer.framing], ["[one] now", framing]);
      assertEquals(text(await peer.request("two")), "[two] now");
    }
  });

  it("after closeWrite rejects alone; replies to what was sent before still come", async () => {
    const gate = Promise.withResolvers<void>();
    await using all = await pair(
      async (message, reply) => {
        await gate.promise;
        reply.write(message);
      },
      {},
      { framing: "line" },
    );
    const { peer } = all;
    const reply = peer.request("one");
    await peer.closeWrite();
    await assertRejects(() => peer.send("two"), Closed, "after closeWrite()");
    await assertRejects(() => peer.request("three"), Closed, "after closeWrite()");
    gate.resolve();
    assertEquals(text(await reply), "one");
    await assertRejects(() => peer.receive(), Closed, "the server has closed the connection");
  });

  it("rejects when the server does not read, and closes the connection", async () => {
    await using all = await sending([], { framing: "line", timeout: 100 });
    const call = all.peer.send(new Uint8Array(16 << 20));
    await assertRejects(() => call, TimeoutError, "the server read nothing within 0.1s");
    await assertRejects(() => all.peer.receive(), TimeoutError);
  });
});

describe("Peer", () => {
  it("loses no line to a message that can't be sent", async () => {
    await using all = await pair(
      (message, reply) => reply.write(`re ${message.text}\nmore of ${message.text}`),
      { framing: "line" },
    );
    const { peer } = all;
    const calls = [peer.request("one"), peer.request("two\nlines"), peer.receive()];
    assertEquals(await Promise.all(calls.map((call) => call.then(text, () => "rejected"))), [
      ...["re one", "rejected", "more of one"],
    ]);
  });

  for (const framing of ["auto", "line"] as const) {
    it(`refuses a message that ends with CR, which a line would lose (${framing})`, async () => {
      await using all = await pair(echo, { framing: "line" }, { framing });
      await assertRejects(() => all.peer.request("a\r"), Error, "ends with CR");
      await assertRejects(() => all.peer.send("a\r"), Error, "ends with CR");
      assertEquals(text(await all.peer.request("a\rb")), "a\rb");
    });
  }

  it("once closed rejects, whatever had been received, and whoever calls", async () => {
    await using all = await pair(echo, {
      framing: "line",
      onOpen: (client) => void client.write("one\ntwo\nthree\n"),
    }, { framing: "line", matches: isEcho });
    const { peer } = all;
    const pending = [peer.request("a"), peer.receive()];
    await Promise.all(pending);
    const late = peer.request("b");
    peer.close();
    for (const call of [late, peer.receive(), peer.request("c"), peer.send("d")]) {
      await assertRejects(() => call as Promise<unknown>, Closed, "the connection is closed");
    }
  });

  it("gives what was received before the server closed the connection", async () => {
    const pieces = ["1\nnews\nmore"].map((text) => new TextEncoder().encode(text));
    await using all = await sending(pieces, { framing: "line", matches: isEcho });
    const { peer } = all;
    assertEquals(text(await peer.request("1")), "1");
    all.conn.close();
    await assertRejects(() => peer.request("2"), Closed);
    assertEquals(text(await peer.receive()), "news");
    await assertRejects(() => peer.receive(), Closed);
  });

  it("hands out the values of a custom framing, and bytes of its own", async () => {
    const framing: CustomFraming<number> = {
      read: ([length = 0]) => ({ start: 1, end: 1 + length, value: length }),
      write: ({ length }) => ({ before: Uint8Array.of(length) }),
    };
    await using all = await pair(echo, { framing, maxMessage: 255 });
    const { port } = all.server;
    using peer = await Peer.connect({ port, framing });
    const [one, three] = await Promise.all([peer.request("a"), peer.request("abc")]);
    const sum: number = one.value + three.value;
    assertEquals([sum, text(one), text(three)], [4, "a", "abc"]);
  });

  it("takes a message that it received as one to send", async () => {
    await using all = await pair(echo, {}, { framing: "line" });
    const reply = await all.peer.request("hello");
    assertEquals(text(await all.peer.request(reply)), "hello");
    assert(Math.abs(reply.receivedAt - Date.now()) < 5000);
  });

  it("rejects all calls when a framing's read() or matches() throws", async () => {
    const fail = () => {
      throw new Error("no");
    };
    const framing: CustomFraming = { read: fail, write: () => ({ after: "\n" }) };
    for (const talking of [{ framing }, { framing: "line", matches: fail }] as const) {
      await using all = await pair(echo, { framing: "line" }, talking);
      const calls = [all.peer.request("a"), all.peer.request("b"), all.peer.receive()];
      const expected = talking.framing === framing ? FramingError : Error;
      for (const call of calls) await assertRejects(() => call, expected, "no");
      await assertRejects(() => all.peer.receive(), expected, "no"); // not the message either
    }
  });

  it("does not connect when its signal is aborted already", requires("signals"), async () => {
    const path = await Deno.makeTempFile({ suffix: ".sock" });
    await Deno.remove(path);
    await using _server = serve(echo, { path });
    const connecting = Peer.connect({ path, signal: AbortSignal.abort() });
    await assertRejects(() => connecting, ConnectError);
  });

  it("answers a message of several reads after this process was stopped", async () => {
    const reply = `${"x".repeat(500_000)}\n`;
    await using all = await sending([new TextEncoder().encode(reply)], {
      framing: "line",
      timeout: 200,
    });
    const call = all.peer.request("a");
    await all.sent;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
    assertEquals((await call).length, 500_000);
  });
});
