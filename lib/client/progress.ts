/** A line on a terminal that says what is waited for, as long as it is. */

/** What is over sooner is not worth a line, in ms. */
const PATIENCE = 300;
/** The time from one drawing to the next, in ms. */
const REDRAW = 100;

/** A stream that may be a terminal. */
export interface Canvas {
  /** Writes some bytes at once. */
  writeSync(bytes: Uint8Array): number;
  isTerminal(): boolean;
}

const encoder = new TextEncoder();

/** Draws the line, and takes it away again; on a terminal only. */
export class Progress {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #drawn = false;

  /** @param size of the terminal, which may change */
  constructor(readonly canvas: Canvas, readonly size: () => { readonly columns: number }) {}

  /**
   * Waits for something, and shows that meanwhile.
   * @param say what is waited for, by how many seconds it has been
   */
  async during<T>(promise: Promise<T>, say: (seconds: number) => string): Promise<T> {
    if (this.canvas.isTerminal()) this.#draw(say, performance.now(), PATIENCE);
    try {
      return await promise;
    } finally {
      this.hide();
    }
  }

  /** Takes the line away. */
  hide(): void {
    clearTimeout(this.#timer);
    if (this.#drawn) this.#write("\r\x1b[K");
    this.#drawn = false;
  }

  #draw(say: (seconds: number) => string, since: number, after: number): void {
    this.#timer = setTimeout(() => {
      const text = say((performance.now() - since) / 1000 | 0);
      this.#write(`\r${text.slice(0, this.size().columns - 1)}\x1b[K`);
      this.#drawn = true;
      this.#draw(say, since, REDRAW);
    }, after);
  }

  #write(text: string): void {
    this.canvas.writeSync(encoder.encode(text));
  }
}
