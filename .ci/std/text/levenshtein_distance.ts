/** The number of letters to insert, remove or replace to make one text of another. */

// @ts-types="./levenshtein_distance.d.ts"
export * from "deno-std/text/levenshtein_distance.js";
