import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { StatusLine } from "../../lib/cli/status_line.ts";

describe("Progress", () => {
  it("says how many seconds it has been, then is gone", async () => {
    const now = performance.now;
    let later = 0; // the clock is put on, so that nobody waits
    performance.now = () => now.call(performance) + later;
    try {
      const { promise: done, resolve } = Promise.withResolvers<void>();
      let drawn = "";
      const writeSync = (bytes: Uint8Array) => {
        drawn += new TextDecoder().decode(bytes);
        resolve();
        return bytes.length;
      };
      const progress = new StatusLine(
        { writeSync, isTerminal: () => true },
        () => ({ columns: 20 }),
      );
      const waiting = progress.during(done, (seconds) => `no reply yet: ${seconds} s`);
      later = 7000;
      await waiting;
      assertEquals(drawn, "\rno reply yet: 7 s\x1b[K\r\x1b[K");
    } finally {
      performance.now = now;
    }
  });
});
