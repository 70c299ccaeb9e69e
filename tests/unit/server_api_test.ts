/** What a server offers beside its conversations: port, close, values and errors of framings, options. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { requires } from "../../lib/testing/requires.ts";
import type { Socket } from "node:dgram";
import { EventEmitter } from "node:events";
import {
  type CustomFraming,
  DatagramPeer,
  type Ending,
  FramingError,
  type Handler,
  listen,
  readback,
  serve,
  serveDatagrams,
} from "../../lib/mod.ts";
import { DatagramServer } from "../../lib/server/datagrams.ts";
import { layTls } from "../../lib/net/tls_listener.ts";
import { latin1, Wire } from "../../lib/testing/wire.ts";
import { turn } from "../../lib/wait.ts";
import { Certificates } from "../support/certificates.ts";
import { listenerOf } from "../support/listener.ts";
import { Udp } from "../support/udp.ts";

/** A UDP socket that lists where it sends to. */
function fakeSocket(address: string, sent: string[]) {
  return Object.assign(new EventEmitter(), {
    address: () => ({ address, port: 7000, family: "" }),
    close: () => {},
    send: (_bytes: Uint8Array, port: number, address: string, done: (error: null) => void) => {
      sent.push(`${address} ${port}`);
      done(null);
    },
  });
}

/** Numbers, each ended by a comma; zero is an error, and `?` not even that. */
const numbers: CustomFraming<number> = {
  read(bytes) {
    const end = bytes.indexOf(44);
    if (end < 0) return 1;
    const value = Number(new TextDecoder().decode(bytes.subarray(0, end)));
    if (value === 0) throw new FramingError("zero is no number", { reply: "no zeros" });
    if (isNaN(value)) throw new FramingError("not a number");
    return { start: 0, end, next: end + 1, value };
  },
  write: () => ({ after: "," }),
};

describe("a server", () => {
  it("has a port and a hostname, of each transport", async () => {
    await using server = serve(() => {});
    await using datagrams = await serveDatagrams(() => {});
    for (const { port, hostname, addr } of [server, datagrams]) {
      assertEquals([{ port, hostname }, hostname], [
        { port: (addr as Deno.NetAddr).port, hostname },
        "127.0.0.1",
      ]);
    }
  });

  it("on a Unix socket has neither, and says so", async () => {
    const path = `${await Deno.makeTempDir()}/socket`;
    await using server = serve(() => {}, { path });
    assertThrows(() => server.port, Error, "a server on a Unix socket has no port: use addr.path");
    assertThrows(() => server.hostname, Error, "has no hostname: use addr.path");
  });

  it("of datagrams tells a client where it is, as options do", async () => {
    await using server = await serveDatagrams(readback());
    using peer = await DatagramPeer.connect(server);
    assertEquals((await peer.request("a")).text.slice(0, 4), "[a] ");
  });

  it("closes as it shuts down", async () => {
    const server = serve(() => {});
    await server.close();
    await server.finished;
    const datagrams = await serveDatagrams(() => {});
    await datagrams.close();
    await datagrams.finished;
  });

  it("turns keep-alive on for each connection, and waits for no more bytes before it sends", async () => {
    const [kept, sent] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using _server = serve(() => {}, {
      listeners: [listenerOf({ setKeepAlive: kept.resolve, setNoDelay: sent.resolve })],
    });
    await Promise.all([kept.promise, sent.promise]);
  });

  it("reports which framing auto has chosen, and why", async () => {
    const told: string[] = [];
    await using server = serve((message, reply) => reply.write(message), {
      onFraming: (framing, why, { messages }) => told.push(`${framing}: ${why}, ${messages}`),
    });
    using lines = await Wire.dial(server.port);
    await lines.send("a\nb\n");
    await lines.until(/b\n/);
    using raw = await Wire.dial(server.port);
    await raw.send("a");
    await raw.until(/a/);
    await raw.send("b\n");
    await raw.until(/b\n/);
    assertEquals(told, ["line: an LF came, 0", "raw: 50 ms without an LF, 0"]);
  });

  it("closes what onAccept returned, and what it was given, if verify then fails", async () => {
    const closed: string[] = [];
    const conn = listenerOf({ close: () => closed.push("accepted") });
    const refused = Promise.withResolvers<void>();
    await using _server = serve(() => {}, {
      listeners: [conn],
      onAccept: (conn) => Promise.resolve({ ...conn, close: () => closed.push("returned") }),
      verify: () => {
        throw new Error("no");
      },
      onRefused: () => refused.resolve(),
    });
    await refused.promise;
    assertEquals(closed.sort(), ["accepted", "returned"]);
  });
});

describe("a listener that is passed to serve", () => {
  const wrong: readonly object[] = [
    { open: () => {} },
    { maxMessage: 0 },
    { faults: "no such fault" },
    { cert: "one" },
    {
      onListen: () => {
        throw new Error("no");
      },
    },
    Object.defineProperty({}, "framing", {
      enumerable: true,
      get() {
        throw new Error("no");
      },
    }),
  ];
  for (const [at, options] of wrong.entries()) {
    it(`is closed if serve throws: ${at}`, async () => {
      const [listener] = await listen({ hostname: "127.0.0.1", port: 0 });
      Object.assign(options, { listeners: [listener] });
      assertThrows(() => void serve(() => {}, options));
      await assertRejects(() => listener?.accept() as Promise<unknown>, Deno.errors.BadResource);
    });
  }
});

describe("an option that", () => {
  for (
    const [old, sentence] of [
      ["open", "there is no option open: use onOpen"],
      ["close", "there is no option close: use onClose"],
      ["prepare", "there is no option prepare: use onAccept"],
      ["messageTimeout", "there is no option messageTimeout: use handlerTimeout"],
    ] as const
  ) {
    it(`has a new name is an error: ${old}`, async () => {
      const options = { [old]: () => {} };
      assertThrows(() => void serve(() => {}, options), TypeError, sentence);
      await assertRejects(() => serveDatagrams(() => {}, options), TypeError, sentence);
    });
  }
});

describe("a custom framing", () => {
  it("passes its value on, of the type that the compiler infers, to copies too", async () => {
    const values: number[] = [];
    for (const concurrency of [1, 2]) {
      await using server = serve((message, reply) => {
        const value: number = message.value;
        values.push(value, message.copy().value);
        reply.write(String(value + 1));
      }, { framing: numbers, concurrency, onMessage: ({ value }) => values.push(value) });
      using wire = await Wire.dial(server.port);
      await wire.send("1,2");
      await wire.send("0,");
      assertEquals(await wire.until(/21,/), "2,21,");
    }
    assertEquals(values, [1, 1, 1, 20, 20, 20, 1, 1, 1, 20, 20, 20]);
  });

  for (const [sent, received] of [["1,0,2,", "1,no zeros,"], ["1,?,2,", "1,"]] as const) {
    it(`ends the conversation with framing error, and a reply if it has one: ${sent}`, async () => {
      const endings: Ending[] = [], errors: Error[] = [];
      await using server = serve((message, reply) => reply.write(message), {
        framing: numbers,
        onClose: (_, ending) => endings.push(ending),
        onError: (error) => errors.push(error),
      });
      using wire = await Wire.dial(server.port);
      await wire.send(sent);
      assertEquals(await wire.rest(), received);
      await wire.end();
      await server.close();
      assertEquals([endings, errors], [["framing error"], []]);
    });
  }

  for (const wrong of [5, null, [1], {}] as unknown[]) {
    it(`whose write() returns ${JSON.stringify(wrong)} fails, and is reported`, async () => {
      const endings: Ending[] = [], errors: string[] = [];
      const write = () => ({ after: wrong as string });
      await using server = serve((message, reply) => reply.write(message), {
        framing: { ...numbers, write },
        onClose: (_, ending) => endings.push(ending),
        onError: ({ message }) => errors.push(message),
      });
      using wire = await Wire.dial(server.port);
      await wire.send("1,");
      assertEquals(await wire.rest(), "");
      await wire.end();
      await server.close();
      assertEquals(endings, ["failed"]);
      assertEquals(errors.map((error) => error.replace(/, not .*/, "")), [
        "cannot answer: a framing's write() must return text or bytes",
      ]);
    });
  }
});

describe("a TLS connection", requires("openssl"), () => {
  it("has no layer before its client's first byte: its first read is small", async () => {
    await using certificates = await Certificates.make();
    const [, cert = "", , key = ""] = await certificates.sign("server", "DNS:localhost");
    const rooms: number[] = [];
    const reading = Promise.withResolvers<number>();
    const listener = layTls(
      listenerOf({
        read(into) {
          rooms.push(into.length);
          return reading.promise;
        },
        close: () => reading.reject(new Deno.errors.Interrupted()),
      }),
      { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key) },
    );
    const conn = await listener.accept();
    const handshake = conn.handshake?.().catch(() => {});
    await turn();
    conn.close();
    await handshake;
    assertEquals(rooms, [64]);
  });
});

describe("a server of datagrams", () => {
  for (const [hostname, sender] of [["0.0.0.0", "10.0.0.1"], ["::", "::ffff:127.0.0.1"]] as const) {
    it(`on ${hostname} answers nobody with its own port: that might be itself`, async () => {
      const sent: string[] = [];
      const socket = fakeSocket(hostname, sent);
      const handler: Handler<void> = (message, reply) => reply.write(message);
      await using server = new DatagramServer(handler, {}, [socket as unknown as Socket]);
      for (const port of [7000, 7001]) {
        socket.emit("message", latin1("a"), { address: sender, port });
      }
      await turn();
      assertEquals([sent, server.messages], [[`${sender} 7001`], 2]);
    });
  }

  it("does not listen on the address of a group", async () => {
    for (const hostname of ["255.255.255.255", "239.1.2.3", "ff02::1"]) {
      const sentence = ": that is the address of a group: use an address of this machine";
      await assertRejects(() => serveDatagrams(() => {}, { hostname }), Error, sentence);
    }
  });

  it("has the zone of a link-local address in its own, which is that of its clients too", async () => {
    const sent: string[] = [];
    const host = "fe80::1%lo";
    const socket = fakeSocket("fe80::1", sent);
    const handler: Handler<void> = (message, reply) => reply.write(message);
    await using server = new DatagramServer(handler, {}, [socket as unknown as Socket], host);
    for (const port of [7000, 7001]) socket.emit("message", latin1("a"), { address: host, port });
    await turn();
    assertEquals([server.hostname, sent], [host, [`${host} 7001`]]);
  });

  it("counts each message as itself, though handlers are async", async () => {
    const told: string[] = [];
    const gate = Promise.withResolvers<void>();
    await using server = await serveDatagrams(async (message, reply) => {
      if (message.text === "three") gate.resolve();
      await gate.promise;
      reply.write(message);
    }, { faults: "drop@2", onFault: (fault, _client, number) => told.push(`${fault} ${number}`) });
    await using udp = await Udp.open();
    for (const text of ["one", "two", "three"]) await udp.send(text, server.port);
    const replies = [await udp.next(), await udp.next()].map(({ data }) => data).sort();
    assertEquals([replies, told], [["one", "three"], ["drop 2"]]);
  });
});
