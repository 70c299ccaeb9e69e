/** The line on a terminal that shows what is awaited. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { StatusLine } from "../../lib/cli/output/status_line.ts";
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
