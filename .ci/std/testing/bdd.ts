/**
 * `describe` and `it` over `Deno.test`, with the sanitizers on and a time limit for each test and
 * hook, so that one that hangs fails and the others run. A loop that never awaits is not stopped.
 */

type Body = (t: Deno.TestContext) => void | Promise<void>;
/** As in std; beside that, `skip` may hold the reason to ignore a test, which its title then shows. */
type Options = Partial<Omit<Deno.TestDefinition, "fn" | "name">> & { skip?: string | false };
type Definition<Fn> = Options & { name: string; fn: Fn };
type Arguments<Fn> =
  | [name: string, fn: Fn]
  | [name: string, options: Options, fn: Fn]
  | [definition: Definition<Fn>];
type Hook = () => void | Promise<void>;
type Hooks = Record<"beforeAll" | "afterAll" | "beforeEach" | "afterEach", Hook[]>;
/** A test, or a suite as its parent sees it. `run` gets the suites around it, the outermost first. */
interface Step extends Definition<(t: Deno.TestContext, around: Suite[]) => Promise<void>> {}
interface Suite extends Hooks {
  readonly steps: Step[];
}

/** Milliseconds that a test or a hook may take, unless it has a `timeout`. */
const LIMIT = Number(Deno.env.get("TEST_LIMIT") ?? 180_000);
/** The suite whose body runs. */
let current: Suite | undefined;

async function limited(run: () => void | Promise<void>, ms = LIMIT): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`test timed out after ${ms}ms`)), ms);
  try {
    await Promise.race([run(), promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function runAll(hooks: readonly Hook[]): Promise<void> {
  for (const hook of hooks) await limited(hook);
}

/** Runs a test inside the hooks of the suites around it. */
async function runTest(test: () => Promise<void>, [suite, ...inner]: Suite[]): Promise<void> {
  if (suite === undefined) return await test();
  await runAll(suite.beforeEach);
  try {
    await runTest(test, inner);
  } finally {
    await runAll(suite.afterEach);
  }
}

async function runSuite(suite: Suite, t: Deno.TestContext, around: Suite[]): Promise<void> {
  await runAll(suite.beforeAll);
  try {
    const only = suite.steps.filter((step) => step.only);
    for (const { fn, only: _, ...step } of only.length > 0 ? only : suite.steps) {
      await t.step({ ...step, fn: (t) => fn(t, [...around, suite]) });
    }
  } finally {
    await runAll(suite.afterAll);
  }
}

function definition<Fn>(args: Arguments<Fn>): Definition<Fn> {
  const [title, given, fn] = args.length === 1
    ? [args[0].name, args[0], args[0].fn]
    : args.length === 2
    ? [args[0], {}, args[1]]
    : args;
  const { skip, ...options } = given;
  return { ...options, name: skip ? `${title} (${skip})` : title, fn };
}

function register(step: Step): void {
  if (current !== undefined) current.steps.push(step);
  else {
    const sanitizers = { sanitizeOps: true, sanitizeResources: true };
    Deno.test({ ...sanitizers, ...step, fn: (t) => step.fn(t, []) });
  }
}

function addTest({ fn, timeout, ...options }: Definition<Body>): void {
  const run: Step["fn"] = (t, around) => runTest(() => limited(() => fn(t), timeout), around);
  register({ ...options, fn: run });
}

function addSuite({ fn, ...options }: Definition<() => void>): void {
  const suite: Suite = { steps: [], beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] };
  const parent = current;
  current = suite;
  try {
    if (!options.ignore) fn();
  } finally {
    current = parent;
  }
  if (suite.steps.some((step) => step.only)) options.only = true;
  register({ ...options, fn: (t, around) => runSuite(suite, t, around) });
}

/** Makes a function that registers, with its variants. */
function registrar<Fn>(add: (definition: Definition<Fn>) => void) {
  const variant = (options: Options) => (...args: Arguments<Fn>) =>
    add({ ...definition(args), ...options });
  const ignore = variant({ ignore: true });
  return Object.assign(variant({}), { only: variant({ only: true }), ignore, skip: ignore });
}

function hook(name: keyof Hooks): (fn: Hook) => void {
  return (fn) => {
    if (current === undefined) throw new Error(`${name} must be called inside describe`);
    current[name].push(fn);
  };
}

/** Registers a test. */
export const it = registrar(addTest);
/** Registers a suite of tests. Its body must not be asynchronous. */
export const describe = registrar(addSuite);
export const beforeAll = hook("beforeAll");
export const afterAll = hook("afterAll");
export const beforeEach = hook("beforeEach");
export const afterEach = hook("afterEach");
export { afterAll as after, beforeAll as before, it as test };
