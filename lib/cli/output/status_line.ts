/** A line on a terminal that shows what is awaited, or how a measurement goes, and is removed again. */

import { type Endpoint, formatEndpoint } from "../../net/address.ts";

/** Milliseconds that an activity must last to be shown. */
export const SHOWN_AFTER = 300;
/** The time from one drawing to the next, in ms; the least after other output. */
const REDRAW = 100, RESTORE = 25;

/** Returns the text for so many columns; undefined: none. */
type Look = (columns: number) => string | undefined;

/** Draws the line, on a terminal only. */
export class StatusLine {
  #look: Look = () => undefined;
  #isDrawn = false;
  #drawnAt = 0;
  #writes = 0; // of other output that are pending

  /**
   * @param stream may be a terminal
   * @param size of the terminal, which may change
   */
  constructor(
    readonly stream: Pick<typeof Deno.stderr, "writeSync" | "isTerminal">,
    readonly size: () => { readonly columns: number },
  ) {}

  /**
   * Awaits a promise, and shows what is awaited meanwhile.
   * @param describe by how many seconds it has been
   */
  async during<T>(promise: Promise<T>, describe: (seconds: number) => string): Promise<T> {
    const since = performance.now();
    return await this.show(promise, (columns) => {
      const waited = performance.now() - since;
      return waited < SHOWN_AFTER ? undefined : describe(waited / 1000 | 0).slice(0, columns - 1);
    });
  }

  /**
   * Awaits a promise, and shows a text that changes meanwhile.
   * @param look the text must fit a line
   */
  async show<T>(promise: Promise<T>, look: Look): Promise<T> {
    this.#look = look;
    const timer = setInterval(() => this.#draw(), REDRAW);
    return await promise.finally(() => {
      clearInterval(timer);
      this.#look = () => undefined;
      this.hide();
    });
  }

  /** Removes the line, before other output. */
  hide(): void {
    if (this.#isDrawn) this.#write("\r\x1b[K");
    this.#isDrawn = false;
  }

  /** Writes other output, and removes the line meanwhile. */
  async around<T>(write: () => Promise<T>): Promise<T> {
    this.#writes++;
    this.hide();
    try {
      return await write();
    } finally {
      this.#writes--;
      if (performance.now() - this.#drawnAt > RESTORE) this.#draw();
    }
  }

  #draw(): void {
    if (this.#writes > 0 || !this.stream.isTerminal()) return;
    const text = this.#look(this.size().columns);
    if (text === undefined) return this.hide();
    this.#write(`\r${text}\x1b[K`);
    this.#isDrawn = true;
    this.#drawnAt = performance.now();
  }

  #write(text: string): void {
    this.stream.writeSync(new TextEncoder().encode(text));
  }
}

/** Describes what is awaited while there is no connection. */
export function connectingTo(where: Endpoint): (seconds: number) => string {
  return (seconds) => `connecting to ${formatEndpoint(where)}: ${seconds} s`;
}
