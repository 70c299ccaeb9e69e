/** Hosts and addresses: which texts name one, and how it is written. */

import { assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import * as address from "../../lib/net/address.ts";
import { close } from "../../lib/net/conn.ts";
import { listen } from "../../lib/net/listen.ts";
import { bestOf, GROUP } from "../../lib/net/udp.ts";

describe("a host is", () => {
  for (
    const [text, host] of [
      ["127.0.0.1", "127.0.0.1"],
      ["::1", "::1"],
      ["[::1]", "::1"],
      ["fe80::1%lo", "fe80::1%lo"],
      ["fe80:1::2", "fe80:1::2"],
      ["example.org", "example.org"],
      ["bücher.example", "bücher.example"],
      ["a1", "a1"],
    ] as const
  ) {
    it(text, () => assertEquals(address.addressOrName(text), host));
  }

  for (
    const [text, why] of [
      ["", "must be an address or a name"],
      ["[]", "must be an address or a name"],
      ["[::1]x", "must be an address or a name"],
      ["x[::1]", "must be an address or a name"],
      ["[::1", "must be an address or a name"],
      ["bücher/x", "must be an address or a name"],
      ["bü cher", "must be an address or a name"],
      ["80", "must be an address or a name; for a port, write --port 80"],
      ["host:80", "must be an address or a name alone; give the port separately"],
      [":80", "must be an address or a name alone; give the port separately"],
      ["[::1]:80", "must be an address or a name alone; give the port separately"],
      ["http://host", "HOST:PORT or tcp://HOST:PORT: messages are sent over plain TCP, not http"],
    ] as const
  ) {
    it(`not ${text}`, () => {
      assertThrows(() => address.addressOrName(text), RangeError, why);
    });
  }
});

describe("a host and its port are", () => {
  for (
    const [text, ...parts] of [
      ["host:80", "host", "80"],
      ["[::1]:80", "[::1]", "80"],
      ["tcp://host:80", "host", "80"],
      ["tcp://host:80/", "host", "80"],
      ["tcp://[::1]:80", "[::1]", "80"],
      ["host", "host"],
      ["::1", "::1"],
      ["fe80:1::2", "fe80:1::2"],
      ["host:", "host:"],
      [":80", ":80"],
      ["tcp://host/x:80", "tcp://host/x:80"],
      ["xtcp://host", "xtcp://host"],
    ] as const
  ) {
    it(text, () => assertEquals(address.cutPort(text), parts));
  }
});

describe("an address", () => {
  it("is written with its port, IPv6 in brackets, and IPv4 in IPv6 as IPv4", () => {
    const format = (hostname: string) =>
      address.formatAddress({ transport: "tcp", hostname, port: 7 });
    assertEquals(
      ["127.0.0.1", "::1", "::ffff:10.0.0.1", "::ffff:a:1", "a::ffff:10.0.0.1"].map(format),
      ["127.0.0.1:7", "[::1]:7", "10.0.0.1:7", "[::ffff:a:1]:7", "[a::ffff:10.0.0.1]:7"],
    );
    assertEquals(address.formatAddress({ transport: "unix", path: "" }), "unix");
    assertEquals(address.formatEndpoint({}), "127.0.0.1:0");
    assertEquals(address.formatEndpoint({ hostname: "a", path: "/b" }), "/b");
  });

  it("is no name", () => {
    const hosts = ["127.0.0.1", "::1", "fe80::1%lo", "1", "a1", "1a", "localhost"];
    assertEquals(hosts.map(address.isAddress), [true, true, true, true, false, false, false]);
  });

  it("is equal to others that are written differently", () => {
    for (
      const [text, canonical] of [
        ["0:0:0:0:0:0:0:1", "::1"],
        ["FE80::1%lo", "fe80::1"],
        ["::ffff:10.0.0.1", "10.0.0.1"],
        ["::ffff:0a00:0001", "10.0.0.1"],
        ["::ffff:1.2", "::ffff:1.2"],
        ["10.0.0.1", "10.0.0.1"],
        ["a b", "a b"],
      ] as const
    ) {
      assertEquals(address.canonical(text), canonical, text);
    }
  });

  it("that may have been meant as another one and a port is explained", () => {
    const hint = " (for port 7000 of ::1, write [::1]:7000)";
    assertEquals(address.bracketHint("::1:7000"), hint);
    for (const text of ["::1", "10.0.0.1:80", "x::y:80", "::1:7000x"]) {
      assertEquals(address.bracketHint(text), "", text);
    }
  });
});

describe("a name", () => {
  it("is sent in ASCII", () => {
    assertEquals(address.asciiHost("Example.org"), "Example.org");
    assertEquals(address.asciiHost("bücher.example"), "xn--bcher-kva.example");
    for (const wrong of ["ü/", "ü?", "ü#", "ü@", "ü:", "ü\\", "ü ", "ü<"]) {
      assertEquals(address.asciiHost(wrong), undefined, wrong);
    }
  });

  it("has the addresses of one version of IP, of which an address has its own alone", async () => {
    assertEquals(await address.addressesOf("::1"), ["::1"]);
    assertEquals(await address.addressesOf("::1", 6), ["::1"]);
    assertEquals(await address.addressesOf("localhost", 4), ["127.0.0.1"]);
    const none = "it has no IPv4 address: check --host, or leave out --ipv4";
    await assertRejects(() => address.addressesOf("::1", 4), TypeError, none);
  });

  it("is reached over UDP at its first IPv4 address, or else its first", () => {
    assertEquals(bestOf(["::1", "127.0.0.1", "127.0.0.2"]), "127.0.0.1");
    assertEquals(bestOf(["::1", "::2"]), "::1");
    assertEquals(bestOf([]), undefined);
  });
});

it("addresses of groups are broadcast and multicast, and no others", () => {
  const groups = ["255.255.255.255", "224.0.0.1", "229.0.0.1", "230.0.0.1", "239.9.9.9", "FF02::1"];
  const others = ["255.255.255.2", "223.0.0.1", "240.0.0.1", "1.224.0.1", "fe80::1", "a:ff02::1"];
  assertEquals(groups.filter((one) => !GROUP.test(one)), []);
  assertEquals(others.filter((one) => GROUP.test(one)), []);
});

it("a listener takes a free port, each another one", async () => {
  const [one, other] = [...await listen(), ...await listen()];
  const ports = [one, other].map((listener) =>
    listener && "port" in listener.addr && listener.addr.port
  );
  for (const listener of [one, other]) if (listener) close(listener);
  assertNotEquals(ports[0], ports[1]);
});
