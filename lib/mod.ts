/** What others may build on: a line service is a handler given to {@linkcode serve}. */

export * from "./answer.ts";
export * from "./framing.ts";
export * from "./serve.ts";
export * from "./stamp.ts";
