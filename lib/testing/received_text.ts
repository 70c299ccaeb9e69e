/** Text that arrives in pieces, searched in time that is linear in its length. */

/** The longest match of a pattern that is found for certain, in characters. */
const LONGEST_MATCH = 1 << 20;
/** The text before a search's start that a lookbehind sees, in characters. */
const CONTEXT = 1024;
/** Shorter pieces are joined as they arrive, in characters. */
const PIECE = 1 << 16;

/** Received text. Positions count characters from the first one received. */
export class ReceivedText {
  /** The number of characters received. */
  end = 0;
  /** The position where searches begin: the end of the last match. */
  position = 0;
  /** The number of characters that are no longer kept. */
  dropped = 0;
  readonly #pieces: string[] = [];
  #flat = ""; // joined pieces: a search copies only what came since the last one
  #flatStart = 0;

  /** @param most characters that are kept: beyond it, the older half is dropped */
  constructor(readonly most: number = Infinity) {}

  /** Adds text. */
  append(text: string): void {
    const last = this.#pieces.at(-1) ?? "";
    if (last.length < PIECE) this.#pieces.splice(-1, 1, last + text);
    else this.#pieces.push(text);
    this.end += text.length;
    if (this.end - this.dropped > this.most) this.drop(this.end - this.most / 2);
  }

  /** Drops pieces that end at or before a position. */
  drop(position: number): void {
    while (this.dropped + (this.#pieces[0]?.length ?? Infinity) <= position) {
      this.dropped += this.#pieces.shift()?.length ?? 0;
    }
    this.position = Math.max(this.position, this.dropped);
  }

  /** Returns the text between two positions, as far as it is kept. */
  slice(from = 0, to: number = this.end): string {
    let at = this.dropped;
    return this.#pieces.map((piece) => {
      const part = piece.slice(Math.max(0, from - at), Math.max(0, to - at));
      at += piece.length;
      return part;
    }).join("");
  }

  /**
   * Starts a search for the first match at or after {@linkcode position}, which moves to its end.
   * @returns a function that continues the search in all text received so far
   */
  search(words: string | RegExp): () => RegExpExecArray | null {
    const pattern = patternOf(words, "g", "g");
    const longest = typeof words === "string" ? words.length : LONGEST_MATCH;
    let from = 0; // no match starts before it
    return () => {
      const first = Math.max(this.position, from);
      const start = Math.max(this.position, first - CONTEXT);
      if (!pattern.sticky) from = this.end - longest;
      let text = start < this.#flatStart ? "" : this.#flat.slice(start - this.#flatStart);
      for (;;) {
        pattern.lastIndex = first - start;
        const found = pattern.exec(text);
        const isAll = start + text.length === this.end;
        if (isAll || (found && pattern.lastIndex < text.length)) {
          if (found) this.position = start + pattern.lastIndex;
          return found;
        }
        text += this.slice(start + text.length);
        [this.#flat, this.#flatStart] = [text, start];
      }
    };
  }
}

/** Returns words, or a pattern without some flags, as a pattern with another one. */
export function patternOf(words: string | RegExp, without: string | RegExp, flag = ""): RegExp {
  if (typeof words === "string") return new RegExp(RegExp.escape(words), flag);
  return new RegExp(words.source, words.flags.replace(without, "") + flag);
}
