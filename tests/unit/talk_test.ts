/** The client's part in a conversation, in this process: whose turn it is, and talking without turns. */

import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { linesOf, listed, type Messages, piecesOf, withCrlf } from "../../lib/cli/pipes.ts";
import { talk, talkFreely, Turns } from "../../lib/cli/talk.ts";
import { DatagramPeer } from "../../lib/client/datagram_peer.ts";
import { BufferedConn, MAX_ADDED } from "../../lib/net/buffered_conn.ts";
import { Closed, TimeoutError } from "../../lib/net/errors.ts";
import { serveDatagrams } from "../../lib/server/datagrams.ts";
import { serve } from "../../lib/server/serve.ts";
import { FakeServer } from "../../lib/testing/fake_server.ts";
import { latin1, text } from "../../lib/testing/wire.ts";
import type { Framing } from "../../lib/wire/framing.ts";
import { sleep, turn } from "../../lib/wait.ts";

type Conn = Parameters<Parameters<typeof FakeServer.start>[0]>[0];

const pieces = (...texts: string[]) => listed(texts.map(latin1));

const waiting = (exchange: Promise<void>) => exchange;

/** Reads to the end. */
async function readAll(conn: Conn): Promise<string> {
  const buffer = new Uint8Array(1000);
  let all = "";
  for (let count; (count = await conn.read(buffer)) !== null;) {
    all += text(buffer.subarray(0, count));
  }
  return all;
}

/** A connection whose reads do this, and whose writes succeed. */
function fakeConn(read: (into: Uint8Array) => Promise<number | null>, timeout = 0): BufferedConn {
  const conn = {
    read,
    write: (bytes: Uint8Array) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  return new BufferedConn(conn, timeout);
}

/** Takes turns with a server; returns what was reported, in order. */
async function converse(
  port: number,
  source: Messages,
  { timeout = 5000, slow = 0, endsAtBlank = false } = {},
): Promise<string[]> {
  const told: string[] = [];
  const tell = async (line: string) => {
    await sleep(slow);
    told.push(line);
  };
  const conn = new BufferedConn(await Deno.connect({ port }), timeout);
  const turns = new Turns(conn, "auto");
  await talk(turns, source, {
    endsAtBlank,
    waiting,
    onReply: (reply, seq) => tell(`${seq} ${reply && text(reply)}`),
    onUnsolicited: (data) => tell(`unsolicited ${text(data)}`),
  }).finally(() => conn.close());
  return [...told, `${turns.answered} of ${turns.sent}`];
}

describe("taking turns", () => {
  it("reports replies and unsolicited data in the order of arrival, however slowly", async () => {
    await using server = serve((message, reply, client) => {
      reply.write(`[${message.text}]\nmore 1\nmore 2`);
      void client.drained().then(() => client.write("pushed\n"));
    });
    let asked = 0;
    const source: Messages = {
      async next() {
        if (asked > 0) await sleep(100);
        return asked++ < 2 ? latin1(`${asked}`) : null;
      },
    };
    assertEquals(await converse(server.port, source, { slow: 5 }), [
      ...["1 [1]", "unsolicited more 1", "unsolicited more 2", "unsolicited pushed"],
      ...["2 [2]", "unsolicited more 1", "unsolicited more 2", "unsolicited pushed"],
      "2 of 2",
    ]);
  });

  it("takes no line for a reply that had come before the message was sent", async () => {
    await using server = serve((message, reply) =>
      reply.write(`[${message.text}]\nmore 1\nmore 2`)
    );
    const more = ["unsolicited more 1", "unsolicited more 2"];
    const told = await converse(server.port, pieces("a", "b"));
    assertEquals(told, ["1 [a]", ...more, "2 [b]", ...more, "2 of 2"]);
  });

  it("ends well when the server closes the connection after the last reply", async () => {
    for (let time = 0; time < 20; time++) {
      await using server = FakeServer.start(async (conn) => {
        await conn.read(new Uint8Array(10));
        await conn.write(latin1("[a]\nmore\n"));
      });
      const told = await converse(server.port, pieces("a"), { slow: time });
      assertEquals(told, ["1 [a]", "unsolicited more", "1 of 1"]);
    }
  });

  it("ends well when the server closes the connection while the end of the input is read", async () => {
    for (let time = 0; time < 20; time++) {
      await using server = FakeServer.start(async (conn) => {
        await conn.read(new Uint8Array(10));
        await conn.write(latin1("[a]\n"));
      });
      const messages = pieces("a");
      const next = async () => await messages.next() ?? await sleep(2).then(() => null);
      assertEquals(await converse(server.port, { next }), ["1 [a]", "1 of 1"]);
    }
  });

  it("sends and ends although the server never stops sending", async () => {
    let isOver = false;
    const conn = fakeConn(async (into) => {
      await turn();
      into.set(latin1("push\n"));
      return isOver ? null : 5;
    });
    const replies: string[] = [];
    const turns = new Turns(conn, "auto");
    const talking = talk(turns, pieces("a", "b"), {
      onReply: (_reply, seq) => Promise.resolve(void replies.push(`${seq}`)),
      onUnsolicited: () => Promise.resolve(),
      waiting,
    });
    const timer = setTimeout(() => isOver = true, 3000);
    await talking.finally(() => turns.peer.close());
    clearTimeout(timer);
    assertEquals([replies, isOver], [["1", "2"], false]);
  });

  it("continues after an error reply", async () => {
    await using server = serve((message, reply) => {
      reply.write(message.text === "b" ? "error: no" : message);
    });
    const told = await converse(server.port, pieces("a", "b", "c"));
    assertEquals(told, ["1 a", "2 error: no", "3 c", "3 of 3"]);
  });

  it("over UDP counts an error reply as an answer, and a lost reply not", async () => {
    await using server = await serveDatagrams(({ text }, reply) => {
      if (text !== "drop") reply.write(text === "error" ? "error: no" : text);
    });
    using peer = await DatagramPeer.connect({
      port: server.port,
      timeout: 50,
      matches: () => true,
    });
    const turns = new Turns(peer, "auto");
    for (const message of ["error", "a", "drop"]) {
      await turns.exchange(latin1(message), () => Promise.resolve());
    }
    assertEquals([turns.answered, turns.sent, turns.lost?.message], [
      2,
      3,
      "no reply within 0.05s",
    ]);
  });

  it("with a server that uses raw framing too, a blank line being the end", async () => {
    await using server = serve((message, reply) => reply.write(`[${message.text}] now`), {
      framing: "raw",
    });
    const told = await converse(server.port, pieces("a", "b", "", "c"), {
      endsAtBlank: true,
    });
    assertEquals(told, ["1 [a] now", "2 [b] now", "2 of 2"]);
  });

  it("rejects when no reply comes in time, without counting the time to print the one before", async () => {
    await using server = serve((message, reply) => {
      if (message.text !== "silence") reply.write(message);
    });
    const how = { timeout: 100, slow: 150 };
    assertEquals(await converse(server.port, pieces("a", "b"), how), ["1 a", "2 b", "2 of 2"]);
    const talking = converse(server.port, pieces("a", "silence"), how);
    await assertRejects(() => talking, TimeoutError, "no reply within 0.1s");
  });

  it("rejects when the server closes the connection while the source waits", async () => {
    await using server = FakeServer.start(async (conn) => void await conn.write(latin1("bye\n")));
    const source = { next: () => new Promise<never>(() => {}) };
    await assertRejects(() => converse(server.port, source), Closed, "has closed");
  });
});

/** Talks freely; returns what was shown, and what the server received. */
async function freely(
  input: AsyncIterable<Uint8Array>,
  handle: (conn: Conn) => Promise<void>,
  { framing = "auto" as Framing, timeout = 5000 } = {},
): Promise<string[]> {
  await using server = FakeServer.start(handle);
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  const buffered = new BufferedConn(conn, timeout);
  const shown: string[] = [];
  try {
    await talkFreely(
      buffered,
      input,
      framing,
      (data) => Promise.resolve(void shown.push(text(data))),
    );
  } finally {
    buffered.close();
  }
  return shown;
}

describe("talking without turns", () => {
  const silent = linesOf({ next: () => new Promise(() => {}) });

  it("shows what comes when it comes, a line that has no end after a pause", async () => {
    const shown = await freely(silent, async (conn) => {
      await conn.write(latin1("one\r\ntwo\nlog"));
      await conn.write(latin1("in: "));
      await sleep(200);
      await conn.write(latin1("\n\nend"));
    });
    assertEquals(shown, ["one", "two", "login: ", "", "", "end"]);
  });

  it("with lines waits for their ends; raw, shows each read", async () => {
    for (const framing of ["line", "raw"] as const) {
      const shown = await freely(silent, async (conn) => {
        await conn.write(latin1("on"));
        await sleep(100);
        await conn.write(latin1("e\ntwo"));
      }, { framing });
      assertEquals(shown, framing === "line" ? ["one", "two"] : ["on", "e\ntwo"]);
    }
  });

  it("half-closes at the end of the input, and ends with the server", async () => {
    let received = "";
    const shown = await freely(linesOf(pieces("a", "", "b")), async (conn) => {
      received = await readAll(conn);
      await conn.write(latin1("bye\n"));
    });
    assertEquals([shown, received], [["bye"], "a\n\nb\n"]);
  });

  it("ends every line with CRLF once, however the input is cut", async () => {
    for (let size = 1; size < 9; size++) {
      let left = latin1("a\nb\r\n\n\rc");
      const input = piecesOf({
        read(into) {
          const piece = left.subarray(0, size);
          left = left.subarray(size);
          into.set(piece);
          return Promise.resolve(piece.length || null);
        },
      });
      let received = "";
      await freely(withCrlf(input), async (conn) => void (received = await readAll(conn)));
      assertEquals(received, "a\r\nb\r\n\r\n\rc");
    }
  });

  it("rejects when nothing comes in time after the end of the input, and at a reset", async () => {
    const late = freely(linesOf(pieces("a")), async (conn) => {
      await readAll(conn);
      await sleep(300);
    }, { timeout: 100 });
    await assertRejects(() => late, TimeoutError, "nothing was received within 0.1s");
    const reset = fakeConn(() => Promise.reject(new Deno.errors.ConnectionReset()));
    const talking = talkFreely(reset, silent, "auto", () => Promise.resolve());
    await assertRejects(() => talking, Closed, "the server has reset the connection");
  });

  it("rejects at the end if the input failed, after what the server sent was shown", async () => {
    const failing = piecesOf({ read: () => Promise.reject(new Error("cannot read")) });
    const shown: string[] = [];
    let left: Uint8Array | undefined = latin1("one\n");
    const conn = fakeConn(async (into) => {
      await turn();
      const bytes = left;
      left = undefined;
      if (bytes !== undefined) into.set(bytes);
      return bytes?.length ?? null;
    });
    const show = (data: Uint8Array) => Promise.resolve(void shown.push(text(data)));
    await assertRejects(() => talkFreely(conn, failing, "line", show), Error, "cannot read");
    assertEquals(shown, ["one"]);
  });

  it("shows a line without an end before a reset", async () => {
    for (const framing of ["auto", "line"] as const) {
      const left = [latin1("one\nbusy")];
      const conn = fakeConn(async (into) => {
        const bytes = left.shift();
        await turn();
        if (bytes === undefined) throw new Deno.errors.ConnectionReset();
        into.set(bytes);
        return bytes.length;
      });
      const shown: string[] = [];
      const show = (data: Uint8Array) => Promise.resolve(void shown.push(text(data)));
      await assertRejects(() => talkFreely(conn, silent, framing, show), Closed, "reset");
      assertEquals(shown, ["one", "busy"]);
    }
  });

  it("outlives a reset while a very long line is shown", async () => {
    let bytes = 0;
    const conn = fakeConn(async (into) => {
      await turn();
      if (bytes > MAX_ADDED) throw new Deno.errors.ConnectionReset();
      bytes += into.fill(120).length;
      return into.length;
    });
    let shown = 0;
    const show = async (data: Uint8Array) => {
      await sleep(20);
      shown += data.length;
    };
    await assertRejects(() => talkFreely(conn, silent, "line", show), Closed, "reset");
    assertEquals(shown, bytes);
  });
});
