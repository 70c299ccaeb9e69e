/** The battery: stops, kills, the clock, readers that stop, full disks, and other tools. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  bothOnFullDisk,
  bothUnread,
  diskFull,
  readerLeaves,
  readerStops,
  usageErrorOnFullDisk,
} from "./output.ts";
import { runPeers } from "./peers.ts";
import { assertSockets, sockets } from "./proc.ts";
import { killAndRestart, stopStarved, stopWhileBusy, stopWithNoGrace } from "./stops.ts";
import { assertConverses, assertWell } from "./subject.ts";
import { lines } from "./tools.ts";
import { serve } from "../../lib/server/serve.ts";
import { readback } from "../../lib/server/readback.ts";
import { requires } from "../../lib/testing/requires.ts";
import { Program } from "../../lib/testing/program.ts";
import { program, ServerProgram, startServer } from "../../lib/testing/readback.ts";
import { Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";

const HOUR = 3600_000;

describe("endings", () => {
  it(
    "a peer that vanished without a FIN is cut at --idle-timeout",
    requires("root", "python3"),
    async () => {
      await using server = await startServer(["--idle-timeout", "500ms"]);
      const before = await sockets(server.pid);
      await runPeers("vanish", server.port);
      await server.until(/was disconnected: idle/);
      await assertSockets(server.pid, before);
      await assertWell(server);
    },
  );

  it("SIGTERM while 20 clients pipeline", requires("linux", "python3"), async () => {
    await using server = await startServer(["--quiet", "--grace", "5s"]);
    await stopWhileBusy(server, 20);
  });

  it(
    "kill -9 with 100 connections, restart on the port",
    requires("linux", "python3"),
    async () => {
      for (let left = 2;; left--) {
        await using server = await startServer(["--quiet"]);
        const error = await killAndRestart(server, 100).catch((error) => error);
        if (error === undefined) break;
        // Between the two servers the system may give the port to another test.
        if (left === 0 || !error.message.includes("the port is in use")) throw error;
      }
    },
  );

  it(
    "4 servers at once are told to stop with a message just arrived",
    requires("signals"),
    async () => {
      await stopStarved(4, 16);
    },
  );

  it("--grace 0 with a client that waits for a place", requires("signals"), stopWithNoGrace);
});

describe("the clock", () => {
  for (const [what, by] of [["back an hour", -HOUR], ["on a day", 24 * HOUR]] as const) {
    it(`set ${what}: the stamp shows it, the timers do not move`, async () => {
      const real = Date.now;
      let shift = 0;
      const clock = () => real() + shift;
      Date.now = clock;
      const stop = new AbortController();
      const endings: string[] = [];
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const server = serve(readback(), {
        listeners: [listener],
        idleTimeout: 600,
        signal: stop.signal,
        onClose: (_, ending) => void endings.push(ending),
      });
      try {
        using wire = await Wire.dial(listener.addr.port);
        const stampAt = async (time: number) => {
          await wire.send("what time is it?\n");
          const stamp = (await wire.until(/\n/)).slice("[what time is it?] ".length);
          const off = new Date(stamp).getTime() - time;
          assert(Math.abs(off) < 10_000, `${stamp} is ${off} ms off`);
        };
        await stampAt(real());
        shift = by;
        const start = performance.now();
        await stampAt(real() + by);
        assertEquals(await wire.rest(), "");
        const took = performance.now() - start;
        assert(took > 400 && took < 5000, `it was cut after ${took} ms, not some 600`);
        assertEquals(endings, ["idle"]);
      } finally {
        Date.now = real;
        stop.abort();
        await server.finished;
      }
    });
  }
});

describe("whoever reads the server's output", requires("linux", "bash"), () => {
  it("stops, and comes back", async () => {
    await readerStops();
  });

  it("goes away", readerLeaves);

  it("is a disk that is full for a while", async () => {
    await diskFull();
  });
});

describe("output and complaints", requires("linux", "bash"), () => {
  it("on one full disk: alive, and a signal ends it with 0", bothOnFullDisk);

  it("on one pipe whose reader stopped: alive, and a signal ends it with 0", bothUnread);

  it("on one full disk: a usage error still exits 2", usageErrorOnFullDisk);
});

describe("2,000 lines", () => {
  it("through our filter", async () => {
    await using server = serve(readback());
    await lines([...program("client"), "--quiet", "--port", `${server.port}`], 2000);
  });
});

describe("localhost with ::1 first", () => {
  const root = requires("root", "unshare", "mount"); // to have an /etc/hosts of its own
  it("127.0.0.1, ::1 and localhost are all served", root, async () => {
    const hosts = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(hosts, "::1 localhost\n127.0.0.1 localhost\n");
      const own = `mount --bind ${hosts} /etc/hosts; exec "$@"`;
      const command = (
        words: readonly string[],
      ) => ["unshare", "--mount", "sh", "-c", own, "sh", ...words];
      await using server = new ServerProgram(
        command([...program("server"), "--host", "localhost", "--port", "0"]),
      );
      const [, port = ""] = await server.until(/listening on .*:(\d+)\n/);
      await server.until("waiting connection...");
      for (const host of ["127.0.0.1", "[::1]"]) {
        assertStringIncludes(server.stdout, `listening on ${host}:${port}\n`);
      }
      for (const host of ["127.0.0.1", "::1"]) {
        using wire = await Wire.dial(Number(port), host);
        await assertConverses(wire);
      }
      const args = ["--host", "localhost", "--port", port, "--message", "hello"];
      await using client = new Program(command([...program("client"), ...args]));
      await client.ends(0);
      assertEquals(unstamped(client.stdout), "[hello] STAMP\n");
    } finally {
      await Deno.remove(hosts);
    }
  });
});

describe("both stamps say the same time", requires("linux"), () => {
  const unknown = { "": "+00:00", "Etc/Unknown": "+00:00", Factory: "+00:00" };
  const offsets = { ...unknown, "GMT+5": "-05:00", XYZ3: "-03:00" };

  it(`where TZ is any of ${JSON.stringify(Object.keys(offsets))}`, async () => {
    const module = import.meta.resolve("../../lib/server/readback.ts");
    const script = `import { ctime, iso } from "${module}";
      for (const TZ of Deno.args) {
        Deno.env.set("TZ", TZ);
        console.log("at |", ctime(Date.now()), "|", iso(Date.now()));
      }`;
    const command = [Deno.execPath(), "eval", script, ...Object.keys(offsets)];
    await using stamps = new Program(command);
    for (const [TZ, offset] of Object.entries(offsets)) {
      const [, ctime, iso = ""] = await stamps.until(/at \| (.*) \| (.*)\n/);
      assertEquals(iso.slice(-6), offset, `${TZ}: ${iso}`);
      const off = Date.parse(`${ctime} GMT${offset}`) - Date.parse(iso);
      assert(Math.abs(off) < 10_000, `${TZ}: ${ctime} and ${iso} are ${off} ms apart`);
      const late = Date.now() - Date.parse(iso);
      assert(Math.abs(late) < 10_000, `${TZ}: ${iso} is ${late} ms off`);
    }
    await stamps.ends(0);
  });
});
