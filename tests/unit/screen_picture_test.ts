/** What a screen is made into from tmux's escape sequences: plain text, or a picture. */

import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { picture, plain } from "../../lib/testing/screen_picture.ts";

/** The backgrounds and the texts of a picture, without what is around them. */
function drawn(screen: string, ...cursor: number[]): string[] {
  const lines = picture(screen, 10, cursor.length > 0 ? cursor : undefined).split("\n");
  return lines.slice(3, -2);
}

/** The attributes of the one text of a line, beside its place and its length. */
const style = (codes: string) =>
  drawn(`\x1b[${codes}mx`).at(-1)?.replace(/^.*Glyphs" ?|>x.*$/g, "");

describe("a screen as text", () => {
  it("has no styles and links, and has line drawing as lines", () => {
    const link = "\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\";
    assertEquals(plain(`\x1b[1;31ma\x1b[m ${link}\n\nb \n`), "a link\n\nb ");
    assertEquals(plain("\x0elqk\nx~`\x0fq"), "┌─┐\n│·◆q");
    assertEquals(plain(""), "");
  });
});

describe("a screen as a picture", () => {
  it("is as wide as its columns, and as high as its lines or as the cursor is low", () => {
    const size = (svg: string) => /viewBox="0 0 (\S+ \S+)"/.exec(svg)?.[1];
    assertEquals(size(picture("one\ntwo\n \n", 10)), "104 54");
    assertEquals(size(picture("one", 10, [0, 2])), "104 71");
    const [svg, css, frame] = picture("", 10).split("\n");
    assertMatch(svg ?? "", /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" width="104" height="37"/);
    assertMatch(
      css ?? "",
      /^<style>text{fill:#e6edf3}.s1{font-weight:bold}.s2.*\.s9{.*}<\/style>$/,
    );
    assertMatch(svg ?? "", / font-size="14" font-family="\S+,monospace" xml:space="preserve">$/);
    assertEquals(
      frame,
      '<rect x=".5" y=".5" width="103" height="36" rx="6" fill="#161b22" stroke="#30363d"/>',
    );
  });

  it("has each piece of a line at its place, with the width that it has on a terminal", () => {
    const size = 'lengthAdjust="spacingAndGlyphs"';
    assertEquals(drawn(" a&b \x1b[1m<我é\u0301>\n\n  x", 2, 1), [
      `<text x="18.4" y="23" textLength="25.2" ${size}>a&#38;b</text>`,
      `<text x="52" y="23" textLength="42" ${size} class="s1">&#60;我é\u0301&#62;</text>`,
      `<text x="26.8" y="57" textLength="8.4" ${size} class="s1">x</text>`,
      '<rect x="26.8" y="27" width="8.4" height="17" fill="#e6edf3" opacity=".5"/>',
    ]);
    assertEquals(drawn("\x1b[44m  \x1b[m"), [
      '<rect x="10" y="10" width="16.8" height="17" fill="#58a6ff"/>',
    ]);
  });

  it("has the styles, until they are switched off", () => {
    assertEquals(style("1;3;4;9"), 'class="s1 s3 s4 s9"');
    assertEquals(style("1m\x1b[0"), "");
    assertEquals(style("1m\x1b["), "");
    assertEquals(style("31;2"), 'style="fill:#ff7b72" class="s2"');
  });

  it("has the eight colours, the bright ones, those of 256, and any other", () => {
    for (
      const [codes, colour] of [
        ["30", "#484f58"],
        ["37", "#b1bac4"],
        ["90", "#6e7681"],
        ["97", "#ffffff"],
        ["38;5;1", "#ff7b72"],
        ["38;5;15", "#ffffff"],
        ["38;5;16", "rgb(0,0,0)"],
        ["38;5;67", "rgb(95,135,175)"],
        ["38;5;220", "rgb(255,215,0)"],
        ["38;5;231", "rgb(255,255,255)"],
        ["38;5;232", "rgb(8,8,8)"],
        ["38;5;255", "rgb(238,238,238)"],
        ["38;2;1;20;255", "rgb(1,20,255)"],
      ]
    ) {
      assertEquals(style(`${codes}`), `style="fill:${colour}"`, codes);
    }
    assertEquals(style("38;2;1;2;3;1"), 'style="fill:rgb(1,2,3)" class="s1"');
    assertEquals(style("31;39"), "");
    for (
      const [codes, colour] of [["41", "#ff7b72"], ["101", "#ffa198"], ["48;5;232", "rgb(8,8,8)"]]
    ) {
      assertMatch(
        drawn(`\x1b[${codes}mx`)[0] ?? "",
        RegExp(`^<rect .* fill="${RegExp.escape(colour ?? "")}"/>$`),
      );
      assertEquals(style(`${codes}`), "");
    }
  });

  it("has front and back swapped where that is the style", () => {
    const [back, front] = drawn("\x1b[7mx");
    assertMatch(back ?? "", /fill="#e6edf3"\/>$/);
    assertMatch(front ?? "", /style="fill:#161b22" class="s7">x</);
    const [swapped, text] = drawn("\x1b[7;31;44mx");
    assertMatch(swapped ?? "", /fill="#ff7b72"\/>$/);
    assertMatch(text ?? "", /style="fill:#58a6ff" class="s7">x</);
  });
});
