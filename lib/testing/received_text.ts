/** Text that arrives in pieces, searched in time that is linear in its length. */

/** The longest match of a pattern that is found for certain, in characters. */
const LONGEST_MATCH = 1 << 20;
/** The text before a search's start that a lookbehind sees, in characters. */
const CONTEXT = 1024;
/** Shorter pieces are joined as they arrive, in characters. */
const PIECE = 1 << 16;

/** A match, and the position of its end. */
export interface Match {
  readonly found: RegExpExecArray;
  readonly end: number;
}

/** Received text. Positions count characters from the first one received. */
export class ReceivedText {
  /** The number of characters received. */
  end = 0;
  /** The position where searches begin. */
  position = 0;
  /** The number of characters that are no longer kept. */
  dropped = 0;
  readonly #pieces: string[] = [];
  #flat = ""; // joined pieces: a search copies only what came since the last one
  #flatStart = 0;

  /** Adds text. */
  append(text: string): void {
    const last = this.#pieces.at(-1);
    if (last !== undefined && last.length < PIECE) this.#pieces.splice(-1, 1, last + text);
    else this.#pieces.push(text);
    this.end += text.length;
  }

  /** Drops pieces that end at or before a position. */
  drop(position: number): void {
    for (let piece = this.#pieces[0]; piece !== undefined; piece = this.#pieces[0]) {
      if (this.dropped + piece.length > position) break;
      this.dropped += piece.length;
      this.#pieces.shift();
    }
    this.position = Math.max(this.position, this.dropped);
  }

  /** Returns the text between two positions, as far as it is kept. */
  slice(from = 0, to: number = this.end): string {
    const parts: string[] = [];
    let at = this.dropped;
    for (const piece of this.#pieces) {
      if (at < to && at + piece.length > from) {
        parts.push(piece.slice(Math.max(0, from - at), to - at));
      }
      at += piece.length;
    }
    return parts.join("");
  }

  /**
   * Starts a search for the first match at or after {@linkcode position}.
   * @returns a function that continues the search in all text received so far
   */
  search(words: string | RegExp): () => Match | null {
    const { source, flags } = patternOf(words);
    const pattern = new RegExp(source, `${flags.replace("g", "")}g`);
    const longest = typeof words === "string" ? words.length : LONGEST_MATCH;
    let from = 0;
    return () => {
      const match = this.#find(pattern, pattern.sticky ? 0 : from);
      from = this.end - longest;
      return match;
    };
  }

  #find(pattern: RegExp, from: number): Match | null {
    const first = Math.max(this.position, from);
    const start = Math.max(this.position, first - CONTEXT);
    const isCached = start >= this.#flatStart && start <= this.#flatStart + this.#flat.length;
    let text = isCached ? this.#flat.slice(start - this.#flatStart) : "";
    for (;;) {
      pattern.lastIndex = first - start;
      const found = pattern.exec(text);
      const end = start + pattern.lastIndex;
      const textEnd = start + text.length;
      if (textEnd === this.end || (found && end < textEnd)) return found && { found, end };
      text += this.slice(textEnd);
      this.#flat = text;
      this.#flatStart = start;
    }
  }
}

/** Returns words as a pattern that matches them; a pattern as it is. */
export function patternOf(words: string | RegExp): RegExp {
  return typeof words === "string" ? new RegExp(RegExp.escape(words)) : words;
}
