/** A terminal's screen, from tmux's escape sequences to plain text, or to a picture. */

/** The output of tmux: styles, links, shifts to line drawing and back, text. */
// deno-lint-ignore no-control-regex
const TOKENS = /\x1b\[([\d;:]*)m|\x1b\].*?\x1b\\|[\x0e\x0f]|[^\x1b\x0e\x0f]+/g;
/** Characters of the line drawing set, from the backtick on. */
const LINE_DRAWING = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";

/** The eight colours and the eight bright ones, with enough contrast on the background. */
const COLOURS = ("#484f58 #ff7b72 #3fb950 #d29922 #58a6ff #bc8cff #39c5cf #b1bac4 " +
  "#6e7681 #ffa198 #56d364 #e3b341 #79c0ff #d2a8ff #56d4dd #ffffff").split(" ");
const [FOREGROUND, BACKGROUND, BORDER] = ["#e6edf3", "#161b22", "#30363d"];
/** Styles that are switched on by a code below 10, as CSS. Code 7 swaps the colours. */
const CSS = ".s1{font-weight:bold}.s2{opacity:.6}.s3{font-style:italic}" +
  ".s4{text-decoration:underline}.s9{text-decoration:line-through}";
const REVERSE = 7;
/** The size of a character, of the font, and of the margin, in pixels. */
const [WIDTH, HEIGHT, FONT, MARGIN] = [8.4, 17, 14, 10];

/** Front and back colour, and the codes of the other styles that are on. */
type Style = { readonly codes: readonly number[] } & Record<"front" | "back", string | undefined>;
type Piece = Style & { readonly text: string };
const PLAIN: Style = { codes: [], front: undefined, back: undefined };

/** Returns the text without escape sequences, line drawing as lines. */
export function plain(screen: string): string {
  return parse(screen).map((line) => line.map(({ text }) => text).join("")).join("\n");
}

/**
 * Draws a screen as SVG.
 * @param columns its width
 * @param cursor the column and the row of the cursor, from 0, if it is visible
 */
export function picture(screen: string, columns: number, cursor?: readonly number[]): string {
  const lines = parse(screen.trimEnd());
  const [x = 0, y = 0] = cursor ?? [];
  const width = columns * WIDTH + 2 * MARGIN;
  const height = Math.max(lines.length, y + 1) * HEIGHT + 2 * MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"` +
    ` viewBox="0 0 ${width} ${height}" font-size="${FONT}"` +
    ` font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" xml:space="preserve">`,
    `<style>text{fill:${FOREGROUND}}${CSS}</style>`,
    `<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="6" fill="${BACKGROUND}"` +
    ` stroke="${BORDER}"/>`,
    ...lines.flatMap(draw),
    ...cursor ? [box(x, y, 1, FOREGROUND, ' opacity=".5"')] : [],
    "</svg>\n",
  ].join("\n");
}

/** Draws one line: the backgrounds, and the texts without blanks around them. */
function draw(line: readonly Piece[], row: number): string[] {
  let column = 0;
  return line.flatMap(({ text, codes, front, back }) => {
    if (codes.includes(REVERSE)) [front, back] = [back ?? BACKGROUND, front ?? FOREGROUND];
    const [start, shown] = [column, text.trim()];
    column += widthOf(text);
    const background = back === undefined ? [] : [box(start, row, widthOf(text), back)];
    if (shown === "") return background;
    const x = MARGIN + (start + text.indexOf(shown)) * WIDTH;
    const length = `textLength="${px(widthOf(shown) * WIDTH)}" lengthAdjust="spacingAndGlyphs"`;
    const style = (front === undefined ? "" : ` style="fill:${front}"`) +
      (codes.length === 0 ? "" : ` class="${codes.map((code) => `s${code}`).join(" ")}"`);
    const escaped = shown.replace(/[&<>]/g, (mark) => `&#${mark.charCodeAt(0)};`);
    const y = MARGIN + row * HEIGHT + FONT - 1;
    return [...background, `<text x="${px(x)}" y="${y}" ${length}${style}>${escaped}</text>`];
  });
}

const box = (column: number, row: number, columns: number, fill: string, more = "") =>
  `<rect x="${px(MARGIN + column * WIDTH)}" y="${MARGIN + row * HEIGHT}"` +
  ` width="${px(columns * WIDTH)}" height="${HEIGHT}" fill="${fill}"${more}/>`;

const px = (pixels: number) => Math.round(pixels * 10) / 10;

/** Returns how many columns a text takes: East Asian characters and emoji take two, marks none. */
function widthOf(text: string): number {
  const wide =
    /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60]/gu;
  return [...text.replace(/[\p{Mark}\p{Cf}]/gu, "").replace(wide, "  ")].length;
}

/** Splits each line into pieces of one style. A style continues on the next line. */
function parse(screen: string): Piece[][] {
  let style = PLAIN;
  let isLineDrawing = false;
  const apply = (numbers: number[]) => { // tmux switches styles off only all at once
    for (let code; (code = numbers.shift()) !== undefined;) {
      const [tens, digit] = [Math.floor(code / 10), code % 10];
      if (code === 0) style = PLAIN;
      else if (tens === 0) style = { ...style, codes: [...style.codes, code] };
      else {
        const basic = digit === 9 ? undefined : COLOURS[tens > 4 ? 8 + digit : digit];
        const colour = digit === 8 ? extended(numbers) : basic;
        if (tens === 3 || tens === 9) style = { ...style, front: colour };
        if (tens === 4 || tens === 10) style = { ...style, back: colour };
      }
    }
  };
  return screen.replace(/\n$/, "").split("\n").map((line) =>
    [...line.matchAll(TOKENS)].flatMap(([all, codes]) => {
      if (codes !== undefined) apply(codes.split(";").map((code) => parseInt(code || "0")));
      else if (all < " ") isLineDrawing = all === "\x0e";
      if (all < " ") return [];
      return [{ ...style, text: isLineDrawing ? all.replace(/[`-~]/g, drawn) : all }];
    })
  );
}

const drawn = (letter: string) => LINE_DRAWING[letter.charCodeAt(0) - 0x60] ?? letter;

/** Takes the colour that follows the code 38 or 48: one of 256, or red, green and blue. */
function extended(numbers: number[]): string | undefined {
  if (numbers.shift() === 2) return `rgb(${numbers.splice(0, 3)})`;
  const index = numbers.shift() ?? 0;
  if (index < 16) return COLOURS[index];
  if (index >= 232) return `rgb(${Array(3).fill((index - 232) * 10 + 8)})`;
  const levels = (index - 16).toString(6).padStart(3, "0");
  return `rgb(${Array.from(levels, (level) => [0, 95, 135, 175, 215, 255][Number(level)])})`;
}
