/**
 * The battery: clients that vanish, send too much or come in crowds, and what must hold. The rows
 * are smaller than in `soak/`. That they see failures is shown in naive_server_test.ts.
 */

import { assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { atRest, busy, drips, randomClosings, reconnects } from "./crowds.ts";
import { sharePeers } from "./peers.ts";
import { assertSockets, sockets } from "./proc.ts";
import { scarce, startScarce } from "./scarce.ts";
import { halfClose, inDrops, inOneGo, randomCuts, urgentData } from "./streams.ts";
import { closeUnread, resetInConversation, resetInTheQueue, staysInTls } from "./vanishing.ts";
import { Certificates } from "../support/certificates.ts";
import { requires } from "../../lib/testing/requires.ts";
import { type ServerProgram, startServer } from "../../lib/testing/readback.ts";
import { Random } from "../support/random.ts";

const NEEDS = requires("linux", "python3");
const random = new Random();

/** One server, for rows after each of which it is as before. */
function shared(...args: string[]): { server: () => ServerProgram } {
  let server: ServerProgram | undefined;
  before(async () => void (server = await startServer(args)));
  after(() => server?.[Symbol.asyncDispose]());
  return { server: () => server as ServerProgram };
}

/** A row in the suite, where its figures are of no interest. */
async function done(row: Promise<unknown>): Promise<void> {
  await row;
}

describe("the battery", NEEDS, () => {
  let peers: ReturnType<typeof sharePeers>;
  before(() => void (peers = sharePeers()));
  after(() => peers.close());

  describe("crowds, and clients that vanish", () => {
    const { server } = shared("--quiet", "--max-message", "300000");

    // First: what a connection costs is told only before many came and went.
    it("200 at rest, then a message each", () => done(atRest(server(), 200, 64 * 1024))); // what few cost is mostly what the first ones cost

    it("200 busy connections: none is left out", () => done(busy(server(), 200, 0.25, Infinity))); // the ratio is for the soak

    it("resets before they are accepted", () => done(resetInTheQueue(server(), 200)));

    it("resets while idle, after a message, in the middle of a 200 kB reply", () =>
      done(resetInConversation(server(), 10)));

    it("closes with a reply unread", () => done(closeUnread(server(), 30)));

    it(`random bytes, random closings, seed ${random.seed}`, () =>
      done(randomClosings(server(), 100, random)));

    it("connects, says, closes, hundreds of times", () => done(reconnects(server(), 200, 16)));
  });

  describe("streams", () => {
    const { server } = shared("--quiet", "--framing", "line");

    it("2,000 messages in one go, then half-close", () => done(inOneGo(server(), 2000)));

    it("after a half-close the other direction goes on", () => done(halfClose(server())));

    it(`random cuts against a model, seed ${random.seed}`, () =>
      done(randomCuts(server(), 20, random)));

    it("a message of 64 KiB in segments of one byte", () => done(inDrops(server(), 65536, 16))); // 8 is for the soak: here a collection may come late

    it("urgent data in the middle of a message is answered with the next one: Deno's doing", () =>
      done(urgentData(server())));
  });

  describe("too many for a limit", () => {
    it("120 clients, 64 descriptors", async () => {
      await using server = await startScarce(64);
      await scarce(server, 120);
    });

    it("100 clients that drip and never finish", async () => {
      await using server = await startServer(["--quiet", "-f", "line", "--idle-timeout", "1s"]);
      await drips(server, 100, 1000);
    });
  });

  it(
    "clients that stay in TLS keep no descriptor: never read, never finish the handshake, hear the end",
    requires("openssl"),
    async () => {
      await using certificates = await Certificates.make();
      const identity = await certificates.sign("server", "IP:127.0.0.1");
      await using server = await startServer([...identity, "--quiet", "--idle-timeout", "500ms"]);
      await staysInTls(server, 4);

      const before = await sockets(server.pid);
      const caCerts = [await Deno.readTextFile(certificates.path("ca.pem"))];
      using client = await Deno.connectTls({ hostname: "127.0.0.1", port: server.port, caCerts });
      assertEquals(await client.read(new Uint8Array(1)), null);
      await assertSockets(server.pid, before);
    },
  );
});
