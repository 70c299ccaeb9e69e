import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ctime, iso } from "../../lib/server/readback.ts";
import { Random } from "../support/random.ts";

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

  it("says the same local time as ctime, at random times", () => {
    const random = new Random();
    for (let round = 0; round < 1000; round++) {
      const time = random.below(2 ** 31) * 1000;
      const told = iso(time);
      assertEquals(Date.parse(told), time, `seed ${random.seed}, round ${round}`);
      assertEquals(`${new Date(told.slice(0, 19))}`.slice(16, 24), ctime(time).slice(11, 19));
    }
  });
});
