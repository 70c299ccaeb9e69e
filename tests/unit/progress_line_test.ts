/** The line on a terminal that shows what is awaited. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { connectingTo, StatusLine } from "../../lib/cli/output/status_line.ts";
import { sleep } from "../../lib/wait.ts";

/** A stream that keeps what is drawn. */
function canvas(isTerminal = true): { drawn: string; status: StatusLine } {
  const canvas = { drawn: "", status: undefined as unknown as StatusLine };
  const writeSync = (bytes: Uint8Array) => {
    canvas.drawn += new TextDecoder().decode(bytes);
    return bytes.length;
  };
  const stream = { writeSync, isTerminal: () => isTerminal };
  canvas.status = new StatusLine(stream, () => ({ columns: 20 }));
  return canvas;
}

describe("StatusLine", () => {
  it("shows how many seconds it has been, cut to the terminal, then is gone", async () => {
    const now = performance.now;
    let later = 0; // the clock is put on, so that nobody waits
    performance.now = () => now.call(performance) + later;
    try {
      const { promise: done, resolve } = Promise.withResolvers<void>();
      const on = canvas();
      const waiting = on.status.during(done, (seconds) => `no reply yet: ${seconds} s of many`);
      later = 7000;
      while (on.drawn === "") await sleep(1);
      resolve();
      await waiting;
      assertEquals(on.drawn, "\rno reply yet: 7 s o\x1b[K\r\x1b[K");
    } finally {
      performance.now = now;
    }
  });

  it("is drawn every 100 ms from 300 ms on, and at once after other output that took long", async () => {
    const { now } = performance;
    let time = 0;
    performance.now = () => time;
    const intervals: number[] = [];
    let draw = () => {};
    const { setInterval } = globalThis;
    Object.assign(globalThis, {
      setInterval: (call: () => void, every: number) => {
        intervals.push(every);
        draw = call;
        return setInterval(() => {}, every);
      },
    });
    try {
      const { promise: done, resolve } = Promise.withResolvers<void>();
      const on = canvas();
      const waiting = on.status.during(done, (seconds) => `${seconds} s`);
      time = 299;
      draw();
      assertEquals(on.drawn, "");
      time = 300;
      draw();
      assertEquals(on.drawn, "\r0 s\x1b[K");
      on.status.hide();
      on.status.hide();
      assertEquals(on.drawn.slice(7), "\r\x1b[K");
      draw();
      on.drawn = "";
      for (const [took, drawn] of [[25, ""], [26, "\r0 s\x1b[K"]] as const) {
        await on.status.around(() => Promise.resolve(void (time += took)));
        assertEquals(on.drawn, (took === 25 ? "\r\x1b[K" : "") + drawn);
        on.drawn = "";
        time -= took;
      }
      time = 1999;
      draw();
      assertEquals(on.drawn, "\r1 s\x1b[K");
      resolve();
      await waiting;
      on.drawn = "";
      draw();
      assertEquals([on.drawn, intervals], ["", [100]]);
    } finally {
      performance.now = now;
      Object.assign(globalThis, { setInterval });
    }
  });

  it("says which server is awaited, and is gone when there is nothing to say", async () => {
    assertEquals(connectingTo({ hostname: "::1", port: 7 })(3), "connecting to [::1]:7: 3 s");
    const on = canvas();
    const looks = ["50 %", undefined];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const shown = on.status.show(done, () => {
      if (looks.length === 1) resolve();
      return looks.shift();
    });
    await shown;
    assertEquals(on.drawn, "\r50 %\x1b[K\r\x1b[K");
  });

  it("is not drawn while other output is written", async () => {
    const on = canvas();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const shown = on.status.show(done, () => "50 %");
    while (on.drawn === "") await sleep(1);
    await on.status.around(async () => {
      assertEquals(on.drawn, "\r50 %\x1b[K\r\x1b[K");
      await sleep(250);
      assertEquals(on.drawn, "\r50 %\x1b[K\r\x1b[K");
    });
    assertEquals(on.drawn, "\r50 %\x1b[K\r\x1b[K\r50 %\x1b[K");
    resolve();
    await shown;
    assertEquals(on.drawn, "\r50 %\x1b[K\r\x1b[K\r50 %\x1b[K\r\x1b[K");
  });

  it("is never drawn in a pipe", async () => {
    const on = canvas(false);
    await on.status.show(sleep(250), () => "50 %");
    assertEquals(on.drawn, "");
  });
});
