/** The filter before a server that echoes: what comes out is what went in, byte for byte. */

import { assert, assertEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import fc from "fast-check";
import { Filter } from "../../lib/cli/filter.ts";
import { type Input, standardInput } from "../../lib/cli/pipes.ts";
import { type Framing, serve } from "../../lib/mod.ts";
import { BufferedConn } from "../../lib/net/buffered_conn.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import { sleep } from "../../lib/wait.ts";
import { property } from "../support/property.ts";

interface Scenario {
  readonly server: Framing;
  readonly client: Framing;
  readonly lines: readonly string[];
  /** The last line has a line end too. */
  readonly isEnded: boolean;
  /** The lengths of the pieces in which the input comes, again and again, and the pauses between. */
  readonly pieces: readonly { readonly length: number; readonly pause: number }[];
}

const byte = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom("\r", "\0", "a", "\xff", "\x1b") },
  { weight: 1, arbitrary: fc.nat(255).map((code) => String.fromCharCode(code)) },
).filter((byte) => byte !== "\n");
/** Around the sizes of buffers, here and there. */
const size = fc.tuple(fc.constantFrom(64, 4096, 16_384, 65_536), fc.integer({ min: -2, max: 2 }))
  .map(([size, more]) => "x".repeat(size + more));
const words = fc.array(byte, { maxLength: 10 }).map((bytes) => bytes.join(""));
const line = fc.oneof(
  { weight: 4, arbitrary: words },
  { weight: 2, arbitrary: words.map((words) => `${words}\r`) },
  { weight: 1, arbitrary: size },
);
const framings = [["line", "line"], ["line", "auto"], ["auto", "line"], ["auto", "auto"], [
  "raw",
  "raw",
]] as const;

const scenario: fc.Arbitrary<Scenario> = fc.record({
  framings: fc.constantFrom(...framings),
  lines: fc.array(line, { minLength: 1, maxLength: 12 }),
  isEnded: fc.boolean(),
  pieces: fc.array(
    fc.record({
      length: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 300_000 })),
      pause: fc.constantFrom(0, 0, 0, 1),
    }),
    { minLength: 1, maxLength: 4 },
  ),
}).map(({ framings: [server, client], ...rest }) => ({ server, client, ...rest }));

/** An input that comes in pieces, with pauses between the first ones. */
function inputOf(bytes: Uint8Array, pieces: Scenario["pieces"]): Input {
  let [at, count] = [0, 0];
  return {
    async read(into) {
      if (at === bytes.length) return null;
      const { length, pause } = pieces[count++ % pieces.length] ?? { length: 1, pause: 0 };
      if (pause > 0 && count < 50) await sleep(pause);
      const piece = bytes.subarray(at, at + Math.min(length, into.length));
      into.set(piece);
      at += piece.length;
      return piece.length;
    },
  };
}

async function check({ server: framing, client, lines, isEnded, pieces }: Scenario): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using _server = serve((message, reply) => reply.write(message), {
    listeners: [listener],
    framing,
    maxMessage: 1 << 20,
  });
  const input = lines.join("\n") + (isEnded ? "\n" : "");
  const buffered = new BufferedConn(await Deno.connect({ port: listener.addr.port }), 10_000);
  let output = "";
  const write = (bytes: Uint8Array) => Promise.resolve(output += text(bytes));
  await new Filter(buffered, client).run(standardInput(inputOf(latin1(input), pieces)), { write })
    .finally(() => buffered.close());
  const at = [...input].findIndex((byte, at) => byte !== output[at]);
  const differs = `differs at ${at}: ${JSON.stringify(output.slice(at, at + 20))}`;
  assert(at < 0 || output.length > input.length, differs);
  assertEquals(output.length, input.length);
}

describe("the filter", () => {
  const scenarios = fc.array(scenario, { minLength: 1, maxLength: 4 }); // at the same time
  property("gives back an echo byte for byte", scenarios, 8, async (all) => {
    await Promise.all(all.map(check));
  });
});
