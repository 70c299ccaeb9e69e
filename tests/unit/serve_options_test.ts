/** Options that are wrong are refused before anything is opened, in one sentence; those that are undefined are not given. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { checkOptions } from "../../lib/checks.ts";
import { DatagramPeer } from "../../lib/client/datagram_peer.ts";
import { Peer } from "../../lib/client/peer.ts";
import { listen } from "../../lib/net/listen.ts";
import { serveDatagrams } from "../../lib/server/datagrams.ts";
import { serve } from "../../lib/server/serve.ts";

const none = Number("x");
const TEXTS = [""];
const COUNTS = [0, -1, 1.5, none, "10", null, 1n];
const TIMES = [-1, 2 ** 31, Infinity, none, "10", null];
const PORTS = [-1, 1.5, 65536, 99999, none, "80", null];

/** What is wrong for each option whose type allows it: TypeScript checks the others. */
const WRONG: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>> = {
  serve: {
    listeners: [[]],
    ...{ hostname: TEXTS, port: PORTS, path: TEXTS, cert: TEXTS, key: TEXTS, ending: TEXTS },
    ...{ maxMessage: COUNTS, concurrency: COUNTS, maxClients: COUNTS, handlerTimeout: TIMES },
    ...{ idleTimeout: TIMES, grace: TIMES, drain: TIMES, seed: [-1, 0.5, 2 ** 32] },
  },
  serveDatagrams: {
    ...{ hostname: TEXTS, port: PORTS, maxMessage: COUNTS, grace: TIMES, handlerTimeout: TIMES },
  },
  listen: { hostname: TEXTS, port: PORTS, path: TEXTS, cert: TEXTS, key: TEXTS },
  peer: { hostname: TEXTS, port: [0, ...PORTS], path: TEXTS, timeout: TIMES, wait: TIMES },
  datagramPeer: { hostname: TEXTS, port: [0, ...PORTS], timeout: TIMES },
};

/** How each is made; what is made is undone. */
const MADE: Readonly<Record<string, (options: object) => Promise<unknown>>> = {
  serve: async (options) => await serve(() => {}, options).shutdown(),
  serveDatagrams: async (options) => await (await serveDatagrams(() => {}, options)).shutdown(),
  peer: async (options) => {
    await using server = serve(() => {});
    const { port } = server.addr as Deno.NetAddr;
    (await Peer.connect({ port, ...options })).close();
  },
  listen: async (options) => {
    for (const listener of await listen(options)) listener.close();
  },
  datagramPeer: async (options) => (await DatagramPeer.connect(options)).close(),
};

for (const [what, options] of Object.entries(WRONG)) {
  describe(`the options of ${what}`, () => {
    for (const [name, values] of Object.entries(options)) {
      it(`${name} must be right`, async () => {
        for (const value of values) {
          const error = await assertRejects(() => MADE[what]?.({ [name]: value }) as Promise<void>);
          const { name: kind, message } = error as Error;
          const told = `${kind}: ${message}`;
          assertEquals(/^(Type|Range)Error: (\w+) must be .+, not /.exec(told)?.[2], name, told);
        }
      });
    }

    it("that are undefined are not given", async () => {
      const none = Object.fromEntries(Object.keys(options).map((name) => [name, undefined]));
      const { port: _, ...others } = none; // a port is needed to find the server
      await MADE[what]?.(what === "peer" ? others : none);
    });
  });
}

describe("an option", () => {
  for (
    const [options, sentence] of [
      [{ port: 1.5 }, "port must be a whole number from 0 to 65535, not 1.5"],
      [{ maxMessage: "10" }, 'maxMessage must be a whole number, 1 or more, not "10"'],
      [{ grace: Infinity }, "grace must be a time in ms, 0 to 2147483647, not Infinity"],
      [{ hostname: "" }, 'hostname must be a text that is not empty, not ""'],
      [{ cert: "PEM" }, "cert and key go together: one is missing"],
    ] as const
  ) {
    it(`is named, with what would be right: ${sentence}`, () => {
      const error = assertThrows(() => void serve(() => {}, options as object));
      assertEquals((error as Error).message, sentence);
    });
  }

  it("may be the largest allowed, and the least", () => {
    for (const grace of [0, 2 ** 31 - 1]) checkOptions({ grace });
    for (const maxMessage of [1, Infinity]) checkOptions({ maxMessage });
  });

  it("of a peer on a connection of one's own is checked too", () => {
    const conn = {} as Deno.Conn;
    assertThrows(() => new Peer(conn, { timeout: -1 }), RangeError, "timeout must be");
  });

  it("that is wrong closes the listeners that were passed: nobody else would", async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    assertThrows(() => void serve(() => {}, { listeners: [listener], grace: -1 }));
    await assertRejects(() => listener.accept(), Deno.errors.BadResource);
  });
});
