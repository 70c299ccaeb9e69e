import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Message } from "../lib/wire/framing.ts";
import { ctime, iso, stamper } from "../lib/server/stamp.ts";
import { Random } from "./random.ts";
import { latin1, text } from "../lib/testing/wire.ts";

/** A local time, in ms. */
const at = (...parts: [number, number, number, number, number, number]) =>
  new Date(...parts).getTime();

describe("ctime", () => {
  it("is C's text: 24 characters, the day padded with a space", () => {
    assertEquals(ctime(at(2019, 11, 9, 18, 15, 50)), "Mon Dec  9 18:15:50 2019");
    assertEquals(ctime(at(2024, 1, 29, 0, 0, 0)), "Thu Feb 29 00:00:00 2024");
  });

  it("agrees with a calendar of its own on random times", () => {
    const random = new Random();
    const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
    const two = (number: number) => String(number).padStart(2, "0");
    for (let round = 0; round < 1000; round++) {
      const time = new Date(random.below(2 ** 31) * 1000);
      const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
      const day = String(time.getDate()).padStart(2, " ");
      assertEquals(
        ctime(time.getTime()),
        `${days[time.getDay()]} ${months[time.getMonth()]} ${day} ${clock} ${time.getFullYear()}`,
        `seed ${random.seed}, round ${round}`,
      );
    }
  });
});

describe("iso", () => {
  it("reads back as the same time", () => {
    const time = at(2019, 11, 9, 18, 15, 50) + 123;
    assertMatch(iso(time), /^2019-12-09T18:15:50\.123[+-]\d\d:\d\d$/);
    assertEquals(Date.parse(iso(time)), time);
  });
});

describe("stamper", () => {
  it("reads the message's bytes back unchanged, with the time it is handed", () => {
    let heard = at(2019, 11, 9, 18, 15, 50);
    const answer = stamper("ctime");
    const say = (message: string) => {
      const said = Object.assign(new Message(latin1(message)), { heard });
      let reply = "";
      answer(said, {
        write: (part) =>
          void (reply += typeof part === "string"
            ? part
            : text(part instanceof Message ? part.bytes : part)),
      });
      return reply;
    };
    assertEquals(say("i am binary"), "[i am binary] Mon Dec  9 18:15:50 2019");
    heard += 999;
    assertEquals(say("\0\xff\r"), "[\0\xff\r] Mon Dec  9 18:15:50 2019");
    heard += 1;
    assertEquals(say(""), "[] Mon Dec  9 18:15:51 2019");
    heard -= 3600_000;
    assertEquals(say("back"), "[back] Mon Dec  9 17:15:51 2019");
  });
});
