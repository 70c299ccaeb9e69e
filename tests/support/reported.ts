/** What the client reports of a run with `--log json`, so that it can be compared. */

import { assertMatch } from "@std/assert";

const DURATIONS = ["duration", "min", "avg", "p50", "p90", "p99", "max"];

/** The events, without what differs from run to run: times, addresses, durations and stamps. */
export function reported(stdout: string): Record<string, unknown>[] {
  return stdout.trim().split("\n").map((line) => {
    const { time, server, ...fields } = JSON.parse(line);
    assertMatch(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assertMatch(server, /^127\.0\.0\.1:\d+$/);
    for (const name of ["elapsed", "rate", "behind", "delayed", "outages"]) delete fields[name];
    for (const name of DURATIONS) if (name in fields) fields[name] = typeof fields[name];
    fields.data &&= fields.data.replace(/\] .{24}$/, "] STAMP");
    return fields;
  });
}

/** The event of a reply. */
export const answered = (seq: number, message: string) => (
  { event: "reply", seq, bytes: message.length + 27, data: `[${message}] STAMP` }
);

/** The event of a reply that was timed. */
export const timed = (seq: number, message: string) => (
  { ...answered(seq, message), duration: "number" }
);

/** What a summary has where replies were timed. */
export const measured = { min: "number", avg: "number", p50: "number", max: "number" };

/** The event of a summary, over one connection. */
export const summary = (sent: number, answered = sent) => ({
  ...{ event: "summary", sent, answered, lost: sent - answered },
  ...{ wrong: 0, late: 0, duplicate: 0, connects: 1 },
});
