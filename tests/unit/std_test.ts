/** The packages of `.ci/std`: the types of what they take from npm, and `bdd` over `Deno.test`. */

import { assert, assertEquals, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { describe, it } from "@std/testing/bdd";
import { Program } from "@readback/readback/testing";

const BDD = import.meta.resolve("../../.ci/std/testing/bdd.ts");

/** Runs tests that are written with `bdd`; gives the program when it has ended with this code. */
async function run(code: number, body: string): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "readback-bdd-" });
  try {
    const file = `${folder}/sample_test.ts`;
    const names = "after, afterEach, before, beforeEach, describe, it";
    await Deno.writeTextFile(file, `import { ${names} } from "${BDD}";\n${body}`);
    const command = [Deno.execPath(), "test", "--no-check", "--allow-env", "--allow-net", file];
    await using test = new Program(command, { env: { TEST_LIMIT: "100", NO_COLOR: "1" } });
    await test.ends(code);
    return test.stdout;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

describe("@std", () => {
  it("assertions narrow, and compare values of one type", () => {
    const value: unknown = parseArgs(["--name", "x"], { string: "name" }).name;
    assert(typeof value === "string");
    assertEquals(value.length, 1);
    const error: unknown = new RangeError("no");
    assertInstanceOf(error, RangeError);
    assertEquals(error.message, "no");
    // @ts-expect-error: one is a text and the other is not
    assertThrows(() => assertEquals<number>("a", {}));
  });

  it("parseArgs takes arguments and options, and types the values by them", () => {
    // @ts-expect-error: four numbers are no arguments
    assertThrows(() => parseArgs(1, 2, 3, 4));
    const args = parseArgs(["-n", "x", "--tag=1", "--tag=2", "rest"], {
      string: ["name", "tag"],
      boolean: "loud",
      collect: "tag",
      alias: { name: "n" },
      default: { port: 80 },
    });
    const tags: string[] = args.tag;
    const name: string | undefined = args.n;
    const isLoud: boolean = args.loud;
    assertEquals([name, tags, isLoud, args.port, args._], ["x", ["1", "2"], false, 80, ["rest"]]);
    // @ts-expect-error: the value may be missing
    const _: string = args.name;
  });
});

describe("bdd", () => {
  it("runs hooks around each test, the outer ones first in and last out", async () => {
    const printed = await run(
      0,
      `const says = (text) => () => console.log("*" + text);
      describe("outer", () => {
        before(says("before")); after(says("after"));
        beforeEach(says("each")); afterEach(says("each end"));
        it("first", says("first"));
        describe("inner", () => {
          before(says("inner before")); after(says("inner after"));
          beforeEach(says("inner each")); afterEach(says("inner each end"));
          it("second", says("second"));
          it.skip("never", says("never"));
          describe.ignore("not at all", () => it("x", says("not at all")));
          it("nor this", { ignore: true, skip: "for a reason" }, says("nor this"));
        });
      });`,
    );
    assertEquals(printed.match(/(?<=^\*).*$/gm), [
      "before",
      ...["each", "first", "each end"],
      "inner before",
      ...["each", "inner each", "second", "inner each end", "each end"],
      "inner after",
      "after",
    ]);
    assertMatch(printed, /nor this \(for a reason\) \.\.\. ignored/);
    assertMatch(printed, /1 passed \(3 steps\) \| 0 failed \| 0 ignored \(3 steps\)/);
  });

  it("runs only what is marked so, and fails", async () => {
    const printed = await run(
      1,
      `describe("all", () => {
        it("is left out", () => {});
        describe("inner", () => { it.only("is marked", () => {}); it("is not", () => {}); });
      });
      it("is alone", () => {});`,
    );
    assertMatch(printed, /is marked \.\.\. ok/);
    assertEquals(/is left out|is not|is alone/.test(printed), false);
  });

  it("fails what hangs, and a suite that leaves a timer or a listener open; runs the others", async () => {
    const printed = await run(
      1,
      `describe("all", () => {
        it("hangs", () => new Promise(() => {}));
        it("has time", { timeout: 1000 }, () => new Promise((done) => setTimeout(done, 200)));
        describe("inner", () => { beforeEach(() => new Promise(() => {})); it("waits", () => {}); });
        it("is well", () => {});
      });
      describe("first", () => it("starts a timer", () => void setTimeout(() => {}, 1e6)));
      describe("second", () => it("listens", () => void Deno.listen({ port: 0 })));`,
    );
    assertMatch(
      printed,
      /hangs .*FAILED[^]*has time .*ok[^]*waits .*FAILED[^]*is well .*ok/,
    );
    assertMatch(printed, /test timed out after 100ms/);
    assertMatch(printed, /^first => [^]*A timer was started in this test/m);
    assertMatch(printed, /^second => [^]*A TCP listener was opened during the test/m);
  });
});
