/**
 * What `@std/testing/bdd` names in the tests: `node:test`, with a time limit for each test, so that
 * one that hangs fails, and the others run. A loop that never awaits is not ended by it.
 */

import { it as unlimited } from "node:test";

export { after, afterEach, before, beforeEach, describe } from "node:test";

/** What a test may take, in ms, unless it says otherwise; the slowest takes a tenth of that. */
const LIMIT = Number(Deno.env.get("TEST_LIMIT") ?? 180_000);

/** A test's own options: see `requires`. */
interface Options {
  readonly skip?: boolean | string;
  readonly timeout?: number;
}
type Test = () => unknown;

/** Tests that something is so. */
export function it(name: string, test: Test): void;
export function it(name: string, options: Options, test: Test): void;
export function it(name: string, ...rest: [Test] | [Options, Test]): void {
  const [options, test] = rest.length === 1 ? [{}, rest[0]] : rest;
  unlimited(name, { timeout: LIMIT, ...options }, async () => void await test());
}
