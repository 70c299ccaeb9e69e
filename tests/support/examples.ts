/** The examples that `deno test --doc` would run: those of the library's doc comments and of the pages. */

import { pages } from "./pages.ts";

/** A block of TypeScript. */
export interface Example {
  /** The file that it is in, below the project's folder. */
  readonly path: string;
  readonly code: string;
}

const root = new URL("../../", import.meta.url);

/** The modules of the library. */
export function modules(folder = "lib/"): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].flatMap(({ name, isDirectory }) =>
    isDirectory ? modules(`${folder}${name}/`) : name.endsWith(".ts") ? [`${folder}${name}`] : []
  );
}

/** The examples in the doc comments of a module. */
export function examplesIn(text: string): string[] {
  return [...text.matchAll(/^( *)\* ```ts\n([^]*?)^\1\* ```$/gm)]
    .map(([, , code = ""]) => code.replace(/^ *\* ?/gm, ""));
}

function examplesOf(path: string): Example[] {
  const text = Deno.readTextFileSync(new URL(path, root));
  return examplesIn(text).map((code) => ({ path, code }));
}

/** All examples. */
export const examples: readonly Example[] = [
  ...modules().flatMap(examplesOf),
  ...pages.flatMap(({ blocks }) => blocks.filter(({ language }) => language === "ts")),
];
