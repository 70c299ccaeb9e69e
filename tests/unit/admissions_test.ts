/** The steps before a conversation: their errors, their time limit, and how many there may be. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Admissions, classifyAcceptError, tooSlow } from "../../lib/server/accept.ts";

describe("an error of accept()", () => {
  it("is of the listener, of a dead connection, of the system, or unknown", () => {
    const { BadResource, ConnectionAborted, ConnectionReset, NotConnected } = Deno.errors;
    const coded = (code: string) => Object.assign(new Error(), { code });
    assertEquals(classifyAcceptError(new BadResource()), "closed");
    for (const dead of [new ConnectionAborted(), new ConnectionReset(), new NotConnected()]) {
      assertEquals(classifyAcceptError(dead), "dead");
    }
    for (const code of ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]) {
      assertEquals(classifyAcceptError(coded(code)), "exhausted");
    }
    for (const other of [coded("EPERM"), new Error(), undefined]) {
      assertEquals(classifyAcceptError(other), "unknown");
    }
  });
});

describe("an admission", () => {
  it("begins the conversation once its steps are done, and is counted until then", async () => {
    const admissions = new Admissions(60_000, 10);
    const slot = Promise.withResolvers<void>();
    let begun = 0;
    const begin = () => (begun++, slot.promise);
    const admitted = admissions.admit(Promise.resolve(begin));
    const away = admissions.admit(Promise.resolve());
    assertEquals([admissions.size, begun], [2, 0]);
    await away;
    assertEquals([admissions.size, begun], [1, 1]);
    admissions.giveUp("too late for one that waits for a slot");
    slot.resolve();
    await admitted;
    assertEquals(admissions.size, 0);
    const failing = () => admissions.admit(Promise.reject(new Error("no")));
    await assertRejects(failing, Error, "no");
    assertEquals(admissions.size, 0);
  });

  it("has a time limit", async () => {
    const admissions = new Admissions(10, 10);
    const since = performance.now();
    await assertRejects(
      () => admissions.admit(new Promise(() => {})),
      Error,
      "did not begin within 0.01s",
    );
    assert(performance.now() - since >= 5);
    assertEquals([tooSlow(), admissions.size], ["did not begin within 10s", 0]);
  });

  it("is given up when the server stops, or as the oldest of too many", async () => {
    const admissions = new Admissions(60_000, 2);
    const pending = () => {
      const steps = Promise.withResolvers<void>();
      const outcome = admissions.admit(steps.promise).then(() => "well", ({ message }) => message);
      return { ...steps, outcome };
    };
    const [first, second] = [pending(), pending()];
    assertEquals(admissions.size, 2);
    const third = pending();
    assertEquals(await first.outcome, "too many others came before it had begun");
    assertEquals(admissions.size, 2);
    second.resolve();
    assertEquals(await second.outcome, "well");
    const fourth = pending();
    admissions.giveUp("the server stops");
    assertEquals([await third.outcome, await fourth.outcome], [
      ...["the server stops", "the server stops"],
    ]);
    assertEquals(admissions.size, 0);
  });

  it("that is given up just after its steps were done does not begin", async () => {
    const admissions = new Admissions(60_000, 10);
    let begun = 0;
    const steps = Promise.resolve(() => void begun++);
    const admitted = admissions.admit(steps);
    admissions.giveUp("the server stops");
    await assertRejects(() => admitted, Error, "the server stops");
    assertEquals([begun, admissions.size], [0, 0]);
  });
});
