/** The runtime of the tests: Deno, or Node with what stands in for Deno (`deno task node`). */

/** Whether this is Deno itself. */
export const isDeno = "Deno" in globalThis;
/** The options of a test of Deno alone. */
export const denoOnly = { ignore: !isDeno };
