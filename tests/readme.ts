/** The README as data: its sections, their tables and code. */

const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));

/** A block of code. */
export interface Block {
  /** The title of its section. */
  readonly section: string;
  /** What is written after its opening fence; empty for what is only shown. */
  readonly language: string;
  readonly code: string;
}

/** The text of a section, without its title. */
export function section(title: string): string {
  const [, text = ""] = readme.split(`\n## ${title}\n`);
  return text.split("\n## ")[0] ?? "";
}

/** The rows of a section's tables, each as its cells, which have no backticks; no headers. */
export function rows(title: string): string[][] {
  return [...section(title).matchAll(/^\| (.*) \|$/gm)]
    .map(([, cells = ""]) => cells.split(/ \| /).map(plain))
    .filter((_, at, all) => !isRule(all[at]) && !isRule(all[at + 1]));
}

/** All blocks of code. */
export function blocks(): Block[] {
  return readme.split("\n## ").flatMap((text) => {
    const [title = ""] = text.split("\n");
    return [...text.matchAll(/^```(\w*).*\n([^]*?)^```$/gm)]
      .map(([, language = "", code = ""]) => ({ section: title, language, code }));
  });
}

/** The first block in a language, to be put to use: some words replaced, each there once. */
export function block(language: string, words: Readonly<Record<string, string>> = {}): string {
  const found = blocks().find((block) => block.language === language);
  if (found === undefined) throw new Error(`the README has no block in ${language}`);
  return Object.entries(words).reduce((text, [word, other]) => {
    const [before, after, ...more] = text.split(word);
    if (after === undefined || more.length > 0) throw new Error(`${word} is not there once`);
    return `${before}${other}${after}`;
  }, found.code);
}

function plain(cell: string): string {
  return cell.trim().replace(/^`(.*)`$/, "$1").replaceAll("\\|", "|");
}

function isRule(cells: readonly string[] | undefined): boolean {
  return cells?.every((cell) => /^-+$/.test(cell)) ?? false;
}
