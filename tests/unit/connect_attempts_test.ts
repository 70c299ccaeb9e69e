/** Attempts to connect: when another one is made, when no more, and what is said then. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  connect,
  type Connected,
  connectTimed,
  type FamilyOptions,
} from "../../lib/net/connect.ts";
import { serve } from "../../lib/server/serve.ts";
import { ConnectError } from "../../lib/net/errors.ts";

const conn = { remoteAddr: { transport: "unix", path: "" } } as Connected["conn"];
const { ConnectionRefused, NotCapable, WouldBlock } = Deno.errors;

/** Connects where attempts fail so; the one after them succeeds. Returns how many there were, and the time. */
async function attempts(options: FamilyOptions, ...failures: unknown[]) {
  const since = performance.now();
  let count = 0;
  const left = [...failures];
  const outcome = await connectTimed(options, (_, signal) => {
    count++;
    if (left.length === 0) return Promise.resolve({ conn, connect: 5, resolve: 1 });
    const failure = left.shift();
    if (failure !== "silence") return Promise.reject(failure);
    return new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    );
  }).catch((error) => error);
  return { outcome, count, time: performance.now() - since };
}

const REFUSED = "connection refused: start a server, or check --host and --port";

describe("an attempt to connect", () => {
  it("is the only one, unless there is time to wait", async () => {
    const { outcome, count } = await attempts({}, new ConnectionRefused());
    assert(outcome instanceof ConnectError);
    assertEquals([outcome.message, count], [`cannot connect to 127.0.0.1:6969: ${REFUSED}`, 1]);
    assertEquals((await attempts({})).outcome, { conn, connect: 5, resolve: 1 });
  });

  it("is made again every 50 ms while it is refused", async () => {
    const failures = [new ConnectionRefused(), new Error("any other")];
    const { outcome, count, time } = await attempts({ wait: 10_000 }, ...failures);
    assertEquals([outcome.connect, count], [5, 3]);
    assert(time >= 99 && time < 9000, `${time} ms`);
  });

  it("is given up once the time to wait is over", async () => {
    const many = new Array(100).fill(new ConnectionRefused());
    const { outcome, count, time } = await attempts({ wait: 120, port: 7 }, ...many);
    assertEquals(outcome.why, REFUSED);
    // At 0, 50 and 100 ms; a busy machine may be late for the last.
    assert((count === 2 || count === 3) && time >= 49, `${count} in ${time} ms`);
  });

  it("is the last one if another would fail in the same way", async () => {
    const tls = new Error("received fatal alert: CertificateRequired");
    for (const final of [new NotCapable("no"), new TypeError("no"), tls]) {
      const { outcome, count } = await attempts({ wait: 1000 }, final);
      assertEquals([outcome instanceof ConnectError, count, outcome.cause], [true, 1, final]);
    }
  });

  it("has a time limit of its own, and of what is left of the time to wait", async () => {
    const alone = await attempts({ timeout: 20 }, "silence");
    assertEquals([alone.outcome.why, alone.count], ["no answer within 0.02s", 1]);
    const waiting = await attempts({ timeout: 20, wait: 100 }, "silence", "silence", "silence");
    assertEquals(waiting.outcome.why, "no answer within 0.1s");
    assert(waiting.count <= 2);
    const once = await attempts({ wait: 60 }, "silence", "silence");
    assertEquals([once.outcome.why, once.count], ["no answer within 0.06s", 1]);
  });

  it("to a full listen queue is made again until its own time limit is over", async () => {
    const full = new WouldBlock();
    const { outcome, count } = await attempts({ path: "/a", timeout: 1000 }, full, full);
    assertEquals([outcome.connect, count], [5, 3]);
    const late = await attempts({ path: "/a", timeout: 60 }, full, full);
    assertEquals(late.outcome.why, "its listen queue is full: too many connections wait in it");
    assert(late.count <= 2);
  });

  it("is aborted by the signal", async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 10);
    const { outcome, count } = await attempts(
      { wait: 1000, signal: stop.signal },
      "silence",
      "silence",
    );
    assertEquals([outcome.why, count], ["aborted", 1]);
  });

  it("is traced, where that is asked for", async () => {
    const kinds: string[] = [];
    const { outcome } = await attempts({ trace: ({ kind }) => kinds.push(kind) });
    assertEquals([kinds, outcome.conn === conn], [["connected"], false]);
  });

  it("resolves a name as a step of its own, if the program may resolve names", async () => {
    await using server = serve(() => {});
    const { querySync } = Deno.permissions;
    for (
      const [hostname, state, isStep] of [
        ["localhost", "granted", true],
        ["localhost", "denied", false],
        ["127.0.0.1", "granted", false],
      ] as const
    ) {
      Deno.permissions.querySync = () => ({ state }) as Deno.PermissionStatus;
      const connecting = connectTimed({ hostname, port: server.port });
      const { conn, resolve, connect } = await connecting.finally(() => {
        Deno.permissions.querySync = querySync;
      });
      conn.close();
      assertEquals([resolve !== undefined, connect >= 0], [isStep, true]);
    }
  });

  it("over TLS has a host and a port, and over a Unix socket a socket", async () => {
    const both = () => connect({ path: "/a", tls: {} });
    const why = "cannot connect to /a: TLS needs a host and a port: leave out path or tls";
    await assertRejects(both, ConnectError, why);
    if (Deno.build.os === "windows") return;
    const folder = () => connect({ path: Deno.cwd() });
    await assertRejects(folder, ConnectError, "that is not a socket: check --unix");
  });
});
