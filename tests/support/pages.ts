/** The pages that people read, as data: their sections, tables, blocks of code and links. */

/** A block of code. */
export interface Block {
  /** The page that it is on. */
  readonly path: string;
  /** The title of its section. */
  readonly section: string;
  /** What is written after its opening fence; empty for what is only shown. */
  readonly language: string;
  readonly code: string;
}

/** A page. */
export class Page {
  private constructor(readonly path: string, readonly text: string) {}

  /** @param path below the project's folder */
  static async read(path: string): Promise<Page> {
    return new Page(path, await Deno.readTextFile(new URL(`../../${path}`, import.meta.url)));
  }

  /** The text of a section, without its title. */
  section(title: string): string {
    const [, text = ""] = this.text.split(`\n## ${title}\n`);
    return text.split("\n## ")[0] ?? "";
  }

  /** The rows of a section's tables, each as its cells; no headers. A cell that is all code has no backticks. */
  rows(title: string): string[][] {
    return [...this.section(title).matchAll(/^\|(.*)\|$/gm)]
      .map(([, cells = ""]) => cells.split(/(?<!\\)\|/).map(plain))
      .filter((_, at, all) => !isRule(all[at]) && !isRule(all[at + 1]));
  }

  /** All blocks of code. */
  get blocks(): Block[] {
    return this.text.split("\n## ").flatMap((text) => {
      const section = (text.split("\n")[0] ?? "").replace(/^# /, "");
      return [...text.matchAll(/^```(.*)\n([^]*?)^```$/gm)]
        .map(([, language = "", code = ""]) => ({ path: this.path, section, language, code }));
    });
  }

  /** Where its links lead, but for other sites. */
  get links(): string[] {
    return [...this.text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link = ""]) => link)
      .filter((link) => !/^https?:/.test(link));
  }

  /** What its titles are called in links to them. */
  get anchors(): string[] {
    return [...this.text.matchAll(/^##* (.*)$/gm)]
      .map(([, title = ""]) => title.toLowerCase().replace(/[^\w -]/g, "").replaceAll(" ", "-"));
  }
}

/** All pages. */
export const pages: readonly Page[] = await Promise.all([
  "README.md",
  "CONTRIBUTING.md",
  ...[...Deno.readDirSync(new URL("../../docs", import.meta.url))]
    .map(({ name }) => `docs/${name}`).filter((path) => path.endsWith(".md")).sort(),
].map((path) => Page.read(path)));

/** The first page that anybody reads. */
export const readme = pages[0] as Page;

/** A text with some words replaced, each of which must be there once. */
export function replaced(text: string, words: Readonly<Record<string, string>>): string {
  return Object.entries(words).reduce((text, [word, other]) => {
    const [before, after, ...more] = text.split(word);
    if (after === undefined || more.length > 0) throw new Error(`${word} is not there once`);
    return `${before}${other}${after}`;
  }, text);
}

function plain(cell: string): string {
  return cell.trim().replace(/^`([^`]*)`$/, "$1").replaceAll("\\|", "|");
}

function isRule(cells: readonly string[] | undefined): boolean {
  return cells?.every((cell) => /^-+$/.test(cell)) ?? false;
}
