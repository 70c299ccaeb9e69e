/** The PROXY protocol: its headers, byte for byte, and the server that is told who its clients are. */

import { assertEquals, assertLess, assertRejects, assertThrows } from "@std/assert";
import { after, before, beforeEach, describe, it } from "@std/testing/bdd";
import { type ProxyHeader, proxyProtocol, readHeader } from "../../lib/net/proxy_protocol.ts";
import type { Client } from "../../lib/server/handler.ts";
import { readback } from "../../lib/server/readback.ts";
import { serve } from "../../lib/server/serve.ts";
import type { ServeOptions } from "../../lib/server/serve_options.ts";
import { requires } from "../../lib/testing/requires.ts";
import { type ServerProgram, startServer } from "../../lib/testing/readback.ts";
import { latin1, Wire } from "../../lib/testing/wire.ts";
import { unstamped } from "../support/replies.ts";

const SIGNATURE = "\r\n\r\n\0\r\nQUIT\n";
const LOCAL = `${SIGNATURE}\x20\0\0\0`;
const TCP4 = "PROXY TCP4 203.0.113.7 10.0.0.1 56324 6969\r\n";
const LONGEST = `PROXY UNKNOWN ${"f".repeat(91)}\r\n`;

/** A header of version 2: command, family, and what follows, whose length is said. */
function binary(command: string, family: string, ...rest: string[]): string {
  const { length } = rest.join("");
  const size = String.fromCharCode(length >> 8, length & 255);
  return [SIGNATURE, command, family, size, ...rest].join("");
}

const IPV4 = "\xcb\0\x71\x07\x0a\0\0\x01\xdc\x04\x1b\x39";
const IPV6 = `\x20\x01\x0d\xb8${"\0".repeat(11)}\x07${"\0".repeat(15)}\x01\xdc\x04\x1b\x39`;
const MAPPED = `${"\0".repeat(10)}\xff\xff\xcb\0\x71\x07${
  "\0".repeat(10)
}\xff\xff\x0a\0\0\x01\xdc\x04\x1b\x39`;
const TLVS = "\x04\0\x02ab\x03\0\x04\x01\x02\x03\x04";

const client = (hostname: string, port = 56324) => ({ transport: "tcp" as const, hostname, port });
/** What a header tells: who connected, and to where. */
const from = (hostname: string, target: string, ports = [56324, 6969]) => ({
  client: client(hostname, ports[0]),
  target: client(target, ports[1]),
});

const HEADERS: readonly (readonly [string, string, Omit<ProxyHeader, "length">])[] = [
  ["1, TCP4", TCP4, from("203.0.113.7", "10.0.0.1")],
  ["1, the least", "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", from("0.0.0.0", "0.0.0.0", [0, 0])],
  [
    "1, the most",
    "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
    from("255.255.255.255", "255.255.255.255", [65535, 65535]),
  ],
  ["1, TCP6", "PROXY TCP6 2001:db8::7 ::1 56324 6969\r\n", from("2001:db8::7", "::1")],
  [
    "1, TCP6 in full",
    "PROXY TCP6 2001:0DB8:0:0:0:0:0:0007 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 56324 6969\r\n",
    from("2001:db8::7", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
  ],
  [
    "1, IPv4 in IPv6",
    "PROXY TCP6 ::ffff:203.0.113.7 ::ffff:10.0.0.1 56324 6969\r\n",
    from("203.0.113.7", "10.0.0.1"),
  ],
  ["1, UNKNOWN", "PROXY UNKNOWN\r\n", { client: "unknown" }],
  ["1, UNKNOWN and more", LONGEST, { client: "unknown" }],
  ["2, LOCAL", LOCAL, { client: "local" }],
  ["2, LOCAL with what means nothing", binary("\x20", "\xff", "whatever"), { client: "local" }],
  ["2, TCP over IPv4", binary("\x21", "\x11", IPV4), from("203.0.113.7", "10.0.0.1")],
  [
    "2, TCP over IPv4 and TLVs",
    binary("\x21", "\x11", IPV4, TLVS),
    from("203.0.113.7", "10.0.0.1"),
  ],
  ["2, TCP over IPv6", binary("\x21", "\x21", IPV6), from("2001:db8::7", "::1")],
  ["2, IPv4 in IPv6", binary("\x21", "\x21", MAPPED, TLVS), from("203.0.113.7", "10.0.0.1")],
  ["2, nothing", binary("\x21", "\0"), { client: "unknown" }],
  ["2, UDP", binary("\x21", "\x12", IPV4), { client: "unknown" }],
  ["2, a Unix socket", binary("\x21", "\x31", "\0".repeat(216)), { client: "unknown" }],
  [
    "2, the longest",
    binary("\x21", "\x11", IPV4, "\0".repeat(4068)),
    from("203.0.113.7", "10.0.0.1"),
  ],
];

const V1 = "its PROXY header is malformed: its";
const ADDRESSES = `${V1} addresses are not`;
const PORTS = `${V1} ports are not two numbers from 0 to 65535`;
const MALFORMED: readonly (readonly [string, string])[] = [
  ["hello\n", "it sent no PROXY header"],
  ["PROXY\tTCP4 ", "it sent no PROXY header"],
  ["proxy TCP4 ", "it sent no PROXY header"],
  ["\r\n\r\n\0\r\nQUIT\r", "it sent no PROXY header"],
  ["\x16\x03\x01", "it sent no PROXY header"],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n", `${V1} line does not end in CRLF`],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r \r\n", PORTS],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 1\0\r\n", PORTS],
  [`PROXY ${"x".repeat(101)}`, `${V1} line is longer than 107 bytes`],
  [`PROXY UNKNOWN ${"f".repeat(92)}\r\n`, `${V1} line is longer than 107 bytes`],
  ["PROXY \r\n", `${V1} family is not TCP4, TCP6 or UNKNOWN`],
  ["PROXY UNKNOWNS\r\n", `${V1} family is not TCP4, TCP6 or UNKNOWN`],
  ["PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n", `${V1} family is not TCP4, TCP6 or UNKNOWN`],
  ["PROXY TCP4\r\n", `${ADDRESSES} TCP4's`],
  ["PROXY TCP4 1.2.3.04 1.2.3.4 1 1\r\n", `${ADDRESSES} TCP4's`],
  ["PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n", `${ADDRESSES} TCP4's`],
  ["PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n", `${ADDRESSES} TCP4's`],
  ["PROXY TCP4 1.2.3.4. 1.2.3.4 1 1\r\n", `${ADDRESSES} TCP4's`],
  ["PROXY TCP4 1.2.3.4 1.2.3.4.5 1 1\r\n", `${ADDRESSES} TCP4's`],
  ["PROXY TCP4 0x7f.0.0.1 1.2.3.4 1 1\r\n", `${ADDRESSES} TCP4's`],
  ["PROXY TCP4 ::1 ::1 1 1\r\n", `${ADDRESSES} TCP4's`],
  ["PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n", `${ADDRESSES} TCP4's`],
  ["PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n", `${ADDRESSES} TCP6's`],
  ["PROXY TCP6 1::2::3 ::1 1 1\r\n", `${ADDRESSES} TCP6's`],
  ["PROXY TCP6 12345::1 ::1 1 1\r\n", `${ADDRESSES} TCP6's`],
  ["PROXY TCP6 1:2:3:4:5:6:7 ::1 1 1\r\n", `${ADDRESSES} TCP6's`],
  ["PROXY TCP6 fe80::1%lo ::1 1 1\r\n", `${ADDRESSES} TCP6's`],
  ["PROXY TCP6 ::1]/?[::1 ::1 1 1\r\n", `${ADDRESSES} TCP6's`],
  ["PROXY TCP6 ::ffff:01.2.3.4 ::1 1 1\r\n", `${ADDRESSES} TCP6's`],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", PORTS],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n", PORTS],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n", PORTS],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", PORTS],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n", PORTS],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n", PORTS],
  [`${SIGNATURE}\x11`, `${V1} version is not 2`],
  [`${SIGNATURE}\x31`, `${V1} version is not 2`],
  [`${SIGNATURE}\x22`, `${V1} command is not LOCAL or PROXY`],
  [`${SIGNATURE}\x21\x41`, `${V1} family or protocol is unknown`],
  [`${SIGNATURE}\x21\x13`, `${V1} family or protocol is unknown`],
  [binary("\x21", "\x11", IPV4.slice(1)), "malformed: it has no room for its addresses"],
  [binary("\x21", "\x21", IPV4), "malformed: it has no room for its addresses"],
  [binary("\x21", "\x31", IPV6), "malformed: it has no room for its addresses"],
  [binary("\x21", "\x11", IPV4, "\0".repeat(4069)), "malformed: it is longer than 4096 bytes"],
  [`${SIGNATURE}\x20\0\xff\xff`, "malformed: it is longer than 4096 bytes"],
];

describe("readHeader", () => {
  for (const [what, header, told] of HEADERS) {
    it(`version ${what}: whole at its last byte and not before`, () => {
      const { length } = header;
      const bytes = latin1(header);
      for (let end = 1; end <= length; end += end < 256 ? 1 : 97) {
        assertEquals(readHeader(bytes.subarray(0, length - end)), null, `${end} bytes less`);
        assertEquals(readHeader(bytes.subarray(0, end - 1)), null, `${end - 1} bytes`);
      }
      assertEquals(readHeader(bytes), { length, ...told });
      for (const more of ["hello\n", "\r\n", header]) {
        assertEquals(readHeader(latin1(header + more)), { length, ...told });
      }
    });
  }

  for (const [bytes, sentence] of MALFORMED) {
    it(`${JSON.stringify(bytes.slice(0, 60))} is refused`, () => {
      assertThrows(() => readHeader(latin1(bytes)), Error, sentence);
    });
  }

  it("looks at the bytes it is given, wherever their buffer begins", () => {
    const [, header, told] = HEADERS[12] ?? HEADERS[0] as typeof HEADERS[number];
    const bytes = latin1(`before${header}`).subarray(6);
    assertEquals(readHeader(bytes), { length: header.length, ...told });
  });
});

describe("proxyProtocol", () => {
  for (
    const text of [
      "",
      ",",
      "127.0.0.1,",
      "localhost",
      "127.0.0.1/33",
      "127.0.0.1/",
      "127.0.0.1/-1",
      "127.0.0.01",
      "::1/129",
      "[::1]",
      "fe80::1%lo",
      "10.0.0.0/8 ",
      "10.0.0.0/8/8",
      "x/10.0.0.0/8",
      "10.0.0.0-10.0.0.9",
    ]
  ) {
    it(`${JSON.stringify(text)} is refused`, () => {
      const sentence = "must be addresses or networks, like 127.0.0.1 or 10.0.0.0/8,fd00::/8";
      assertThrows(() => proxyProtocol(text), RangeError, sentence);
    });
  }

  it("a reset before the header's end is nobody; another failure is told", async () => {
    const meet = (error: Error) =>
      proxyProtocol("10.0.0.0/8")({
        remoteAddr: client("10.1.2.3"),
        read: () => Promise.reject(error),
        write: () => Promise.resolve(0),
        closeWrite: () => Promise.resolve(),
        close: () => {},
      });
    assertEquals(await meet(new Deno.errors.ConnectionReset()), null);
    await assertRejects(() => meet(new Deno.errors.Interrupted("no")), Error, "no");
  });

  it("who is not let in is told by the address that the proxy told", async () => {
    let told: unknown[] = [];
    await using server = serve((message, reply) => reply.write(message), {
      onAccept: proxyProtocol("127.0.0.0/8"),
      verify: (addr) => "hostname" in addr && addr.hostname !== "203.0.113.7",
      onRefused: (...what) => told = what,
    });
    const { port } = server.addr as Deno.NetAddr;
    using wire = await Wire.dial(port);
    await wire.send(TCP4);
    await wire.rest().catch(() => {});
    assertEquals(told, [client("203.0.113.7"), "not let in"]);
    using other = await Wire.dial(port);
    await other.send(`${TCP4.replace("113.7", "113.8")}hello\n`);
    assertEquals(await other.until(/\n/), "hello\n");
  });
});

/** A server in this process that trusts this machine. */
function serveTrusting(options: ServeOptions = {}) {
  const onAccept = proxyProtocol("10.0.0.0/8,127.0.0.1,::1");
  return serve(readback(), { onAccept, ...options });
}

/** Starts a program that trusts this machine's IPv4 address, and not its IPv6 address. */
function startTrusting(...args: string[]): Promise<ServerProgram> {
  return startServer(["--proxy-protocol", "10.0.0.0/8,127.0.0.1", ...args]);
}

/** Sends bytes, half-closes, and gives the replies. */
async function exchange(port: number, ...pieces: string[]): Promise<string> {
  using wire = await Wire.dial(port);
  for (const piece of pieces) await wire.send(piece);
  await wire.end();
  return unstamped(await wire.rest());
}

const heardFrom = (address: string, data = "hello") =>
  `Server received data: "${data}" from ${address}\n`;
const left = (address: string) => `client ${address} has broken the connection...\n`;

describe("a server behind a proxy", () => {
  it("hears what comes with the header, and after, in lines or raw", async () => {
    await using server = serveTrusting();
    const { port } = server;
    const lines = Array.from({ length: 5_000 }, (_, number) => `${number}\n`).join("");
    const replies = lines.replace(/(\d+)/g, "[$1] STAMP");
    assertEquals(await exchange(port, TCP4 + lines), replies);
    assertEquals(await exchange(port, `${TCP4}no newline`), "[no newline] STAMP");
    using wire = await Wire.dial(port);
    await wire.send(TCP4);
    await wire.send("raw");
    assertEquals(unstamped(await wire.until(/\d{4}$/)), "[raw] STAMP");
  });

  for (
    const [hostname, dialled] of [["::", "127.0.0.1"], ["::", "::1"], ["::1", "::1"]] as const
  ) {
    it(`trusts ${dialled} on ${hostname}`, async () => {
      const addrs: Client["addr"][] = [];
      const onOpen = ({ addr }: Client) => void addrs.push(addr);
      await using server = serveTrusting({ hostname, port: 0, onOpen });
      using wire = await Wire.dial(server.port, dialled);
      await wire.send(`${TCP4}hello\n`);
      assertEquals(unstamped(await wire.until(/\n/)), "[hello] STAMP\n");
      assertEquals(addrs, [client("203.0.113.7")]);
    });
  }

  it("with `once`: neither a health check nor a stranger who says nothing is the one conversation", async () => {
    await using server = serveTrusting({ once: true });
    assertEquals(await exchange(server.port, `${LOCAL}are you well\n`), "[are you well] STAMP\n");
    using _stranger = await Wire.dial(server.port);
    using wire = await Wire.dial(server.port);
    await wire.send(`${TCP4}hello\n`);
    assertEquals(unstamped(await wire.rest()), "[hello] STAMP\n");
    wire[Symbol.dispose]();
    const since = performance.now();
    await server.finished;
    assertLess(performance.now() - since, 5000); // a stranger has 10 s to begin
  });
});

describe("--proxy-protocol", () => {
  let server: ServerProgram;
  let start = 0;
  before(async () => {
    server = await startTrusting("--framing", "line", "--host", "::", "--grace", "1m");
  });
  beforeEach(() => void (start = server.stdout.length));
  after(() => server[Symbol.asyncDispose]());

  /** What the server says in this test: these lines, and when it waits for the next client. */
  async function assertSaid(...lines: string[]): Promise<void> {
    await server.until(`${lines.at(-1)}waiting connection...\n`);
    const said = server.stdout.slice(start).replaceAll("waiting connection...\n", "");
    assertEquals(said, lines.join(""));
    assertEquals(server.stderr, "");
  }

  for (
    const [what, header, address] of [
      ["1", TCP4, "203.0.113.7:56324"],
      ["1, IPv6", "PROXY TCP6 2001:DB8:0::7 ::1 56324 6969\r\n", "[2001:db8::7]:56324"],
      ["2", binary("\x21", "\x11", IPV4, TLVS), "203.0.113.7:56324"],
      ["2, IPv6", binary("\x21", "\x21", IPV6), "[2001:db8::7]:56324"],
    ] as const
  ) {
    for (
      const [how, cut] of [
        ["with the message in one segment", (all: string) => [all]],
        ["a byte at a time", (all: string) => [...all]],
      ] as const
    ) {
      it(`version ${what}, ${how}: the transcript names the client`, async () => {
        assertEquals(await exchange(server.port, ...cut(`${header}hello\n`)), "[hello] STAMP\n");
        await assertSaid(heardFrom(address), left(address));
      });
    }
  }

  it("a malformed header ends the connection with one line", async () => {
    using other = await Wire.dial(server.port);
    await other.send(`${TCP4}hello\n`);
    await other.until(/\n/);
    using wire = await Wire.dial(server.port);
    await wire.send("hello\n");
    const ending = await wire.rest().catch((error) => error.name);
    assertEquals(["", "ConnectionReset"].includes(ending), true, ending);
    const { port } = wire.conn.localAddr;
    const line = `client 127.0.0.1:${port} was refused: it sent no PROXY header\n`;
    await server.until(line);
    await other.send("still here\n");
    assertEquals(unstamped(await other.until(/\n/)), "[still here] STAMP\n");
    await other.end();
    const address = "203.0.113.7:56324";
    await assertSaid(heardFrom(address), line, heardFrom(address, "still here"), left(address));
  });

  it("who is not trusted is a client like any, whatever it says", async () => {
    using wire = await Wire.dial(server.port, "::1");
    await wire.send(TCP4);
    const address = `[::1]:${wire.conn.localAddr.port}`;
    const said = TCP4.trimEnd();
    assertEquals(unstamped(await wire.until(/\n/)), `[${said}] STAMP\r\n`);
    await wire.end();
    await assertSaid(heardFrom(address, said), left(address));
  });

  it("health checks are answered, and nobody is told of them", async () => {
    const { port } = server;
    (await Wire.dial(port))[Symbol.dispose](); // no byte
    for (const end of [3, 16, TCP4.length - 1]) await exchange(port, TCP4.slice(0, end));
    assertEquals(await exchange(port, LOCAL), "");
    assertEquals(await exchange(port, `${LOCAL}are you well\n`), "[are you well] STAMP\n");
    {
      using itself = await Wire.dial(port);
      const at = `127.0.0.1 127.0.0.1 ${itself.conn.localAddr.port} ${port}`;
      await itself.send(`PROXY TCP4 ${at}\r\nare you well\n`);
      await itself.until(/\n/);
    }
    {
      using broken = await Wire.dial(port);
      await broken.send(`${LOCAL}hello\n`);
      await broken.until(/\n/);
      await broken.send("hello\n".repeat(1000)); // closed with replies unread: a reset
    }
    using unknown = await Wire.dial(port);
    await unknown.send("PROXY UNKNOWN\r\nhello\n");
    await unknown.until(/\n/);
    using neighbour = await Wire.dial(port); // on the proxy's machine, by chance from the same port
    const { localAddr } = neighbour.conn;
    await neighbour.send(`PROXY TCP4 127.0.0.1 127.0.0.1 ${localAddr.port} 6969\r\nhello\n`);
    await neighbour.until(/\n/);
    const said = [];
    for (const { conn } of [unknown, neighbour]) {
      said.push(heardFrom(`127.0.0.1:${conn.localAddr.port}`));
    }
    for (const wire of [unknown, neighbour]) {
      said.push(left(`127.0.0.1:${wire.conn.localAddr.port}`));
      await wire.end();
      await wire.rest();
    }
    await assertSaid(...said);
  });

  it("who never ends its header does not hold up the stop", requires("signals"), async () => {
    using wire = await Wire.dial(server.port);
    await wire.send("PROXY");
    await exchange(server.port, `${TCP4}hello\n`); // so that the other was accepted
    server.signal("SIGTERM");
    await server.ends(0);
    const line = `client 127.0.0.1:${wire.conn.localAddr.port} was refused: the server stops\n`;
    assertEquals(server.stdout.endsWith(line), true, server.stdout);
  });
});

describe("--proxy-protocol and --drain", requires("signals"), () => {
  it("refuse health checks at once, and clients only after it; the events name them", async () => {
    const args = ["--drain", "1s", "--log", "json", "--grace", "1m"];
    await using server = await startTrusting(...args);
    assertEquals(await exchange(server.port, `${TCP4}hello\n`), "[hello] STAMP\n");
    await server.until(/"ended".*\n/);
    const events = server.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(
      events.filter(({ client }) => client).map(({ event, client }) => [event, client]),
      ["connected", "message", "eof", "ended"].map((event) => [event, "203.0.113.7:56324"]),
    );
    using before = await Wire.dial(server.port);
    await before.send(`${TCP4}before\n`);
    await before.until(/\n/);
    server.signal("SIGTERM");
    await server.until("stopping");
    const checked = exchange(server.port, `${LOCAL}are you well\n`).catch(() => "");
    const came = exchange(server.port, `${TCP4}after\n`);
    await before.send("still here\n");
    assertEquals(unstamped(await before.until(/\n/)), "[still here] STAMP\n");
    assertEquals([await checked, await came], ["", "[after] STAMP\n"]);
    assertEquals(await before.rest(), "");
    before[Symbol.dispose]();
    await server.ends(0);
  });

  it("end at once by a second signal", async () => {
    await using server = await startTrusting("--drain", "1m", "--log", "json");
    server.signal("SIGTERM");
    await server.until("stopping");
    server.signal("SIGTERM");
    await server.ends(143);
  });
});
