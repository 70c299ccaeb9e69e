/** Assertions: npm's JavaScript, with types. */

// @ts-types="./mod.d.ts"
export * from "deno-std/assert/mod.js";
