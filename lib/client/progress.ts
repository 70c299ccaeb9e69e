/** A line on a terminal that says what is waited for, as long as it is. */

/** What is over sooner is not worth a line, in ms. */
const PATIENCE = 300;
/** The pause between two drawings, in ms. */
const PAUSE = 100;

/** A terminal to draw on. */
export interface Canvas {
  /** Writes a text at once. */
  write(text: string): void;
  /** Its width, in characters. */
  readonly columns: number;
}

/** Draws the line, and takes it away again. */
export class Progress {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #drawn = false;

  /** @param canvas without one, nothing is drawn */
  constructor(readonly canvas: Canvas | undefined) {}

  /**
   * Waits for something, and shows that meanwhile.
   * @param say what is waited for, by how many seconds it has been
   */
  async during<T>(promise: Promise<T>, say: (seconds: number) => string): Promise<T> {
    if (this.canvas !== undefined) this.#draw(this.canvas, say, performance.now(), PATIENCE);
    try {
      return await promise;
    } finally {
      this.hide();
    }
  }

  /** Takes the line away. */
  hide(): void {
    clearTimeout(this.#timer);
    if (this.#drawn) this.canvas?.write("\r\x1b[K");
    this.#drawn = false;
  }

  #draw(canvas: Canvas, say: (seconds: number) => string, since: number, pause: number): void {
    this.#timer = setTimeout(() => {
      const text = say((performance.now() - since) / 1000 | 0);
      canvas.write(`\r${text.slice(0, canvas.columns - 1)}\x1b[K`);
      this.#drawn = true;
      this.#draw(canvas, say, since, PAUSE);
    }, pause);
  }
}
