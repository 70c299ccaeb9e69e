/** What somebody else's code may do to a server: throw anything, reject, fail for good. It goes on, and tells. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { serveDatagrams } from "../../lib/server/datagrams.ts";
import { serve } from "../../lib/server/serve.ts";
import type { ServeOptions } from "../../lib/server/serve_options.ts";
import { Program } from "../../lib/testing/program.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { Udp } from "../support/udp.ts";
import { sleep } from "../../lib/wait.ts";
import { denoOnly } from "../support/runtime.ts";

const portOf = ({ addr }: { addr: Deno.Addr }) => (addr as Deno.NetAddr).port;

/** What comes back for a line, to the end. */
async function exchange(port: number, sent = "hello\n"): Promise<string> {
  using wire = await Wire.dial(port);
  await wire.send(sent);
  await wire.end();
  return await wire.rest();
}

/** Keeps what is told, and says when there is more. */
class Told {
  readonly errors: Error[] = [];
  #wake = Promise.withResolvers<void>();

  readonly onError = (error: Error) => {
    this.errors.push(error);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  };

  async until(count: number): Promise<string[]> {
    while (this.errors.length < count) await this.#wake.promise;
    return this.errors.map(({ message }) => message);
  }
}

const THROWN: Readonly<Record<string, unknown>> = {
  "without a prototype": Object.create(null),
  "with a hostile toString": {
    toString() {
      throw new Error("never");
    },
  },
  "an error whose message throws": Object.defineProperty(new Error(), "message", {
    get() {
      throw new Error("never");
    },
  }),
  "a symbol": Symbol("no"),
  "nothing": undefined,
};

describe("what a handler throws", () => {
  for (const [what, thrown] of Object.entries(THROWN)) {
    it(`may be ${what}: it is told, and the server goes on`, async () => {
      const { onError, errors, until } = bound(new Told());
      const handlers = [
        () => {
          throw thrown;
        },
        () => Promise.reject(thrown),
      ];
      await using server = serve(() => handlers.shift()?.(), { framing: "line", onError });
      await exchange(portOf(server));
      await exchange(portOf(server));
      await until(2);
      assertEquals(errors.map(({ cause }) => cause === thrown), [true, true]);
      await using datagrams = await serveDatagrams(() => {
        throw thrown;
      }, { onError });
      await using udp = await Udp.open();
      await udp.send("hello", datagrams.addr.port);
      assertMatch((await until(3))[2] as string, /^cannot answer: ./);
    });
  }
});

function bound(told: Told) {
  return { errors: told.errors, onError: told.onError, until: told.until.bind(told) };
}

describe("a function of one's own that rejects", () => {
  const reject = () => Promise.reject(new Error("no"));
  for (
    const name of ["onOpen", "onClose", "onMessage", "onListen", "onRefused", "verify", "onAccept"]
  ) {
    it(`${name}: is told, and the server goes on`, async () => {
      const told = new Told();
      const others = name === "onRefused" ? { verify: () => false } : {};
      const options = { [name]: reject, ...others } as ServeOptions;
      const refused: string[] = [];
      await using server = serve((message, reply) => reply.write(message), {
        onRefused: (_, reason) => void refused.push(reason),
        ...options,
        onError: told.onError,
      });
      await exchange(portOf(server)).catch(() => {});
      await exchange(portOf(server)).catch(() => {});
      if (["verify", "onAccept"].includes(name)) assertEquals(refused, ["no", "no"]);
      else assertEquals((await told.until(1))[0], "cannot answer: no");
    });
  }

  it("onError: what it throws or rejects with is dropped", async () => {
    await using server = serve(reject, { onError: reject as never });
    await exchange(portOf(server));
    await using datagrams = await serveDatagrams(reject, { onError: reject as never });
    await using udp = await Udp.open();
    await udp.send("hello", datagrams.addr.port);
    await exchange(portOf(server));
  });
});

describe("without an onError", denoOnly, () => {
  const failing = `
    import { serve } from "./lib/mod.ts";
    const server = serve(({ text }, reply) => {
      if (text === "stop") return void server.shutdown();
      if (text === "bad") throw new Error("no \\x1b[2J " + text);
      reply.write(text);
    });
    console.log("listening on :" + server.addr.port);`;

  it("nobody is held up by a standard error that is full", async () => {
    const command = `exec ${Deno.execPath()} eval --ext=ts "$0" 2>/dev/full`;
    await using program = new Program(["bash", "-c", command, failing]);
    const [, port] = await program.until(/listening on :(\d+)\n/);
    for (let time = 0; time < 3; time++) await exchange(Number(port), "bad\n");
    assertEquals(await exchange(Number(port), "good\n"), "good\n");
    await exchange(Number(port), "stop\n");
    await program.ends(0);
  });

  it("what a handler throws is printed, with its place, though no descriptor is free; no terminal obeys it; the server goes on", async () => {
    const file = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(
      file,
      failing.replace("./lib", new URL("../../lib", import.meta.url).href),
    );
    const run = `${Deno.execPath()} run --no-lock --no-config --allow-net ${file}`;
    await using program = new Program(["bash", "-c", `ulimit -n 40; exec ${run}`]);
    try {
      const [, port] = await program.until(/listening on :(\d+)\n/);
      using wires = new DisposableStack();
      const all = [];
      for (let client = 0; client < 60; client++) {
        all.push(wires.use(await Wire.dial(Number(port))));
      }
      await program.untilError(/cannot accept for now: Too many open files.*\n/);
      await all[0]?.send("bad\n");
      await program.untilError(/^cannot answer: no \\x1b\[2J bad\n +at .*\n/m);
      // Half a second after its start Deno 2.9 does what takes descriptors, whatever the program does.
      for (let time = 0; time < 60; time++) {
        await all[1]?.send("good\n");
        assertEquals(await all[1]?.until(/\n/), "good\n");
        await sleep(20);
      }
    } finally {
      await Deno.remove(file);
    }
  });
});

describe("a listener", () => {
  const listen = () => Deno.listen({ hostname: "127.0.0.1", port: 0 });

  it("that its owner has closed is no obstacle to a stop, nor to the others", async () => {
    const listeners = [listen(), listen(), listen()] as const;
    const server = serve((message, reply) => reply.write(message), { listeners, framing: "line" });
    listeners[0].close();
    assertEquals(await exchange(portOf(listeners[1])), "hello\n");
    listeners[1].close();
    assertEquals(await exchange(portOf(listeners[2])), "hello\n");
    await server.shutdown();
  });

  for (
    const [what, failure] of [
      ["whatever it throws", new Error("broken")],
      ["for dead connections too", new Deno.errors.NotConnected("broken")],
    ] as const
  ) {
    it(`that always fails starves nobody: ${what}`, async () => {
      const told = new Told();
      let tries = 0;
      const broken = {
        addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 } as const,
        accept: () => (tries++, Promise.reject(failure)),
        close: () => {
          throw new Error("never");
        },
      };
      const good = listen();
      const server = serve((message, reply) => reply.write(message), {
        listeners: [broken, good],
        framing: "line",
        onError: told.onError,
      });
      assertEquals(await exchange(portOf(good)), "hello\n");
      await server.shutdown();
      const isDeath = failure instanceof Deno.errors.NotConnected;
      assertEquals(
        told.errors.map(String),
        isDeath ? [] : ["Error: cannot accept for now: broken"],
      );
      assertEquals(tries > 3, true);
    });
  }
});
