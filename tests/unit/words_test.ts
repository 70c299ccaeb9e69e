/** Checks the words of comments, messages and pages against the project's rules of style. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { modules } from "../support/examples.ts";
import { pages } from "../support/pages.ts";

const root = new URL("../..", import.meta.url);

/** Words that the project does not use; permissions are granted, data is sent and received. */
const AVOIDED =
  /\b(said|heard|told|rights|patience|let go|by now|of one's own|to be so|what is none|who comes|this many)\b/gi;
/** First words that hide what a comment is about. */
const OPENING = /^(It|What|Who|Where|Whether)\b/;
/** The most words of a sentence. */
const LONGEST = 25;

/** The texts of a module's doc comments: their description and their tags, without examples. */
function docsOf(code: string): { line: number; text: string }[] {
  return [...code.matchAll(/\/\*\*([^]*?)\*\//g)].flatMap(({ 1: body = "", index }) => {
    const line = code.slice(0, index).split("\n").length;
    const text = body.replace(/^[ \t]*\* ?/gm, "").replace(/^```[^]*?^```/gm, "").replace(
      /^\|.*$/gm,
      "",
    );
    return text.split(/^(?=@)/m).map((part, at) => ({
      line,
      // A tag's own text begins after its name, type and default.
      text: at === 0 ? part.trim() : part.replace(/^@\w+(\s+\{[^}]*\})?/, "").trim(),
    }));
  });
}

/** The sentences of a text; code is one word, and each item of a list is a sentence. */
function sentences(text: string): string[] {
  return text.replace(/\{@link(?:code|plain)? ([^}]*)\}/g, "$1").replace(/`[^`]*`/g, "CODE")
    .split(/(?<=[.!?])\s+(?=[A-Z"(])|\n\s*\n|\n(?=\s*[-*] )/)
    .map((sentence) => sentence.replace(/\s+/g, " ").trim())
    .filter((sentence) => sentence !== "");
}

/** What is wrong with a module. */
function faultsOf(code: string): string[] {
  const avoided = [...code.matchAll(AVOIDED)].map(({ 0: word, index }) =>
    `${code.slice(0, index).split("\n").length}: "${word}"`
  );
  const docs = docsOf(code).flatMap(({ line, text }) => [
    ...OPENING.test(text) ? [`${line}: opens with "${text.split(/\s/)[0]}"`] : [],
    ...tooLong(text).map((sentence) => `${line}: ${sentence}`),
  ]);
  return [...avoided, ...docs];
}

function tooLong(text: string): string[] {
  return sentences(text).map((sentence) => [sentence, sentence.split(" ").length] as const)
    .filter(([, words]) => words > LONGEST)
    .map(([sentence, words]) => `${words} words: ${sentence.slice(0, 60)}...`);
}

describe("the words of", () => {
  for (const name of [...modules(), "server.ts", "client.ts"]) {
    it(name, async () => {
      assertEquals(faultsOf(await Deno.readTextFile(new URL(name, root))), []);
    });
  }

  for (const { path, text } of pages) {
    it(path, () => {
      const prose = text.replace(/^```[^]*?^```/gm, "").replace(/`[^`]*`/g, "CODE");
      const avoided = [...prose.matchAll(AVOIDED)].map(([word]) => word);
      const paragraphs = prose.split(/\n\s*\n/).map((paragraph) => paragraph.trim());
      const opening = paragraphs.filter((paragraph) => OPENING.test(paragraph));
      assertEquals([...avoided, ...opening.map((paragraph) => paragraph.slice(0, 40))], []);
    });
  }
});
