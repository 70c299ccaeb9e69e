/** The server's transcript: which events are printed, in which words, and about whom. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { TraceText } from "../../lib/cli/output/trace.ts";
import {
  asText,
  type Event,
  Transcript,
  type TranscriptOptions,
} from "../../lib/cli/output/transcript.ts";
import { Faults } from "../../lib/faults/faults.ts";
import type { Addr, NetAddr } from "../../lib/net/address.ts";
import { HUNG_UP } from "../../lib/net/errors.ts";
import type { ServerConn } from "../../lib/net/conn.ts";
import { latin1 } from "../../lib/testing/wire.ts";
import { MessageView } from "../../lib/wire/message.ts";

type Callbacks = Transcript["callbacks"];
type Guest = ReturnType<Callbacks["onOpen"]>;

const tcp = (port: number): NetAddr => ({ transport: "tcp", hostname: "127.0.0.1", port });

/** A transcript as text, and what it prints. */
function open(options: Partial<TranscriptOptions> = {}) {
  const lines: string[] = [];
  const transcript = new Transcript({
    format: asText,
    print: (line) => lines.push(line),
    ...options,
  });
  const { onOpen, onClose, onEof } = transcript.callbacks;
  /** A client that connects. */
  const connect = (addr: Addr, isHealthCheck = false) => {
    const client = { addr, isHealthCheck, idle: 5, messages: 0, state: undefined as Guest };
    const one = client as unknown as Parameters<typeof onClose>[0];
    client.state = onOpen(one);
    return {
      client: one,
      says: (text: string) => {
        client.messages++;
        transcript.onMessage(new MessageView(latin1(text)), one);
      },
      eof: () => onEof(one),
      ends: (reason: Parameters<typeof onClose>[1]) => onClose(one, reason),
    };
  };
  /** What was printed since the last call. */
  const printed = () => lines.splice(0);
  return { transcript, connect, printed };
}

/** The events of a transcript. */
function openEvents(options: Partial<TranscriptOptions> = {}) {
  const events: Event[] = [];
  const opened = open({ format: (event) => (events.push(event), "x"), ...options });
  return { ...opened, events: () => events.splice(0) };
}

const WAITING = "waiting connection...";

describe("a transcript", () => {
  it("has the tutorial's words", () => {
    const { transcript, connect, printed } = open();
    transcript.listening([tcp(1), { transport: "unix", path: "/a" }]);
    assertEquals(printed(), ["listening on 127.0.0.1:1", "listening on /a", WAITING]);
    transcript.listening([tcp(1)], undefined, false);
    assertEquals(printed(), ["listening on 127.0.0.1:1"]);
    const one = connect(tcp(2)), other = connect(tcp(3));
    one.says("a\xff");
    one.eof();
    one.ends("left");
    assertEquals(printed(), [
      'Server received data: "a\\xff" from 127.0.0.1:2',
      "client 127.0.0.1:2 has broken the connection...",
    ]);
    other.ends("reset");
    assertEquals(printed(), ["client 127.0.0.1:3 has broken the connection... (reset)", WAITING]);
    connect(tcp(4)).ends("idle");
    assertEquals(printed(), ["client 127.0.0.1:4 was disconnected: idle", WAITING]);
    connect(tcp(5)).ends("done");
    assertEquals(printed(), [WAITING]);
  });

  it("counts connections that were reset before they were accepted, once nobody is connected", () => {
    const { transcript, connect, printed } = open();
    transcript.callbacks.onVanished();
    connect(tcp(2)).ends("done");
    assertEquals(printed(), ["(1 connection was reset before it was accepted)", WAITING]);
    for (let count = 0; count < 2; count++) transcript.callbacks.onVanished();
    transcript.tally();
    transcript.tally();
    assertEquals(printed(), ["(2 connections were reset before they were accepted)"]);
    assertEquals(asText({ event: "dropped", lines: 3 }), "(3 lines were dropped)");
  });

  it("waits for nobody after a stop, or after the one client", () => {
    const { transcript, connect, printed } = open();
    const one = connect(tcp(2));
    transcript.stopping();
    one.ends("done");
    const once = open({ once: true });
    once.connect(tcp(2)).ends("done");
    assertEquals([printed(), once.printed()], [[], []]);
  });

  it("has nothing about health checks, and with quiet only the address", () => {
    const { transcript, connect, printed } = open();
    const check = connect(tcp(2), true);
    check.says("a");
    check.eof();
    transcript.onFault("drop", check.client, 1);
    check.ends("left");
    assertEquals(printed(), []);
    const quiet = open({ quiet: true });
    quiet.transcript.listening([tcp(1)]);
    const one = quiet.connect(tcp(2));
    one.says("a");
    one.ends("left");
    quiet.transcript.onFault("drop", one.client, 1);
    assertEquals(quiet.printed(), ["listening on 127.0.0.1:1"]);
  });

  it("numbers the clients of a Unix socket", () => {
    const { transcript, connect, printed } = open();
    const addr: Addr = { transport: "unix", path: "" };
    const one = connect({ ...addr }), other = connect({ ...addr });
    one.says("a");
    other.says("b");
    one.says("c");
    transcript.callbacks.onRefused({ ...addr }, "no");
    assertEquals(printed(), [
      'Server received data: "a" from unix#1',
      'Server received data: "b" from unix#2',
      'Server received data: "c" from unix#1',
      "client unix#3 was refused: no",
    ]);
  });

  it("has the faults, with the delay that was drawn, and their seed", () => {
    const { transcript, connect, printed } = open();
    const { client } = connect(tcp(2));
    transcript.onFault("drop", client, 3);
    transcript.onFault("delay=1s..2s", client, 4, 1500);
    transcript.onFault("delay=1s", client, undefined, 1000);
    transcript.onFault("refuse", { addr: tcp(3), isHealthCheck: false, state: undefined });
    assertEquals(printed(), [
      "fault drop for 127.0.0.1:2, message 3",
      "fault delay=1500ms for 127.0.0.1:2, message 4",
      "fault delay=1s for 127.0.0.1:2",
      "fault refuse for 127.0.0.1:3",
    ]);
    const faults = (text: string, orders: boolean) => {
      transcript.listening([tcp(1)], Faults.read(text, { orders, seed: 7 }), false);
      return printed()[0]?.split("\n")[1];
    };
    assertEquals(faults("drop@3,cut=1", false), "faults: drop@3, cut=1; seed 7");
    assertEquals(faults("drop", true), "faults: drop, by order; seed 7");
    transcript.listening([tcp(1)], new Faults([], true, 0), false);
    assertEquals(printed(), ["listening on 127.0.0.1:1\nfaults: by order; seed 0"]);
  });
});

describe("the events", () => {
  it("have the client, the bytes and the times", () => {
    const { transcript, connect, events } = openEvents();
    transcript.listening([tcp(1)], Faults.read("drop", { seed: 7 }));
    const one = connect(tcp(2));
    one.says("abc");
    one.eof();
    one.ends("left");
    const [, , connected, , , ended, ...others] = events().map((event) =>
      "duration" in event ? { ...event, duration: event.duration < 1000 } : event
    );
    assertEquals([connected, ended, others], [
      { event: "connected", client: "127.0.0.1:2" },
      {
        ...{ event: "ended", client: "127.0.0.1:2", reason: "left" },
        ...{ messages: 1, bytes: 3, duration: true, idle: 5 },
      },
      [{ event: "waiting" }],
    ]);
    transcript.listening([tcp(1)], Faults.read("drop", { seed: 7 }), false);
    assertEquals(events(), [{
      ...{ event: "listening", address: "127.0.0.1:1", host: "127.0.0.1", port: 1 },
      ...{ faults: "drop", orders: false, seed: 7 },
    }]);
  });

  it("of a relay have the bytes of both directions", () => {
    const { connect, events } = openEvents();
    const one = connect(tcp(2));
    Object.assign(one.client, { bytes: 10, replied: 20 });
    one.ends("left");
    const ended = events().find(({ event }) => event === "ended");
    assertEquals(ended && "replied" in ended && [ended.bytes, ended.replied], [10, 20]);
  });

  it("of a client that is hidden begin with its first byte", async () => {
    const { transcript, connect, events } = openEvents();
    const prepare = transcript.hideSilent();
    const inner = (addr: Addr, bytes: number | null) => ({
      remoteAddr: addr,
      read: () => Promise.resolve(bytes),
      write: () => Promise.resolve(1),
    } as unknown as ServerConn);
    const silent = await prepare(inner(tcp(2), null));
    const one = connect(tcp(2));
    await silent?.write(latin1("x"));
    await silent?.read(new Uint8Array(9));
    one.eof();
    one.ends("left");
    transcript.callbacks.onRefused(tcp(2), HUNG_UP);
    assertEquals(events(), []);
    transcript.callbacks.onRefused(tcp(2), "no");
    const addr = tcp(3);
    const heard = await prepare(inner(addr, 1));
    const other = connect(addr);
    await heard?.read(new Uint8Array(9));
    await heard?.read(new Uint8Array(9));
    other.ends("left");
    assertEquals(events().map(({ event }) => event), ["refused", "connected", "ended", "waiting"]);
    const faulty = connect(tcp(4));
    transcript.onFault("drop", faulty.client, 1);
    connect(tcp(5)).ends("idle");
    assertEquals(events().map(({ event }) => event), ["connected", "fault", "connected", "ended"]);
    assertEquals(await transcript.hideSilent(() => Promise.resolve(null))(inner(tcp(6), 1)), null);
  });

  it("of reads and writes, and of the framing, are beside the others, or lines of a trace", () => {
    const { transcript, connect, events } = openEvents();
    const { client } = connect(tcp(2));
    const conn = { remoteAddr: tcp(2) } as ServerConn;
    events();
    const read = { kind: "data", from: "peer", data: latin1("a"), time: 1 } as const;
    transcript.onTrace(read, conn);
    transcript.onTrace({ ...read, from: "self" }, conn);
    transcript.onTrace({ ...read, kind: "end" }, conn);
    transcript.onFraming(
      "line",
      "an LF came",
      client as Parameters<typeof transcript.onFraming>[2],
    );
    const transfer = { client: "127.0.0.1:2", bytes: 1, data: latin1("a") };
    assertEquals(events(), [
      { event: "received", ...transfer },
      { event: "sent", ...transfer },
      { event: "framing", client: "127.0.0.1:2", framing: "line", why: "an LF came" },
    ]);
  });

  it("are lines of a trace", () => {
    const { transcript, connect, printed } = open({ trace: new TraceText("peer", () => 200) });
    transcript.listening([tcp(1)]);
    const one = connect(tcp(2));
    const conn = { remoteAddr: tcp(2) } as ServerConn;
    transcript.onTrace({ kind: "data", from: "peer", data: latin1("a"), time: 1 }, conn);
    transcript.onFraming("line", "why", one.client as Parameters<typeof transcript.onFraming>[2]);
    one.says("a");
    one.says("bc");
    transcript.onFault("drop", one.client, 1);
    transcript.callbacks.onRefused(tcp(2), "no");
    one.ends("left");
    const [listening, ...lines] = printed();
    assertEquals(listening, "listening on 127.0.0.1:1");
    for (const line of lines) assertMatch(line, /^ +\d+\.\d{3} 127\.0\.0\.1:2 /);
    assertEquals(lines.map((line) => line.slice(20)), [
      '>  1 byte  "a"',
      "  framing line: why",
      '  message 1: 1 byte "a"',
      '  message 2: 2 bytes "bc"',
      "  fault drop",
      "  refused: no",
    ]);
  });
});
