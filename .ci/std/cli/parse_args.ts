/** Command lines to values: npm's JavaScript, with types. */

// @ts-types="./parse_args.d.ts"
export * from "deno-std/cli/parse_args.js";
