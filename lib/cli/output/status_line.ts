/** A line on a terminal that shows what is awaited, or how a measurement goes, and is removed again. */

import { formatEndpoint } from "../../net/address.ts";
import { connect, type FamilyOptions } from "../../net/connect.ts";
import type { ServerConn } from "../../net/conn.ts";

/** Milliseconds that an activity must last to be shown. */
export const SHOWN_AFTER = 300;
/** The time from one drawing to the next, in ms; the least after other output. */
const REDRAW = 100, RESTORE = 25;

/** A stream that may be a terminal. */
export interface TerminalStream {
  /** Writes some bytes at once. */
  writeSync(bytes: Uint8Array): number;
  isTerminal(): boolean;
}

const encoder = new TextEncoder();

/** Draws the line, on a terminal only. */
export class StatusLine {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #look: (() => string | undefined) | undefined;
  #isDrawn = false;
  #drawnAt = 0;
  #writes = 0; // of other output that are pending

  /**
   * @param size of the terminal, which may change
   * @param colours whether it may have colours
   */
  constructor(
    readonly stream: TerminalStream,
    readonly size: () => { readonly columns: number },
    readonly colours = false,
  ) {}

  /**
   * Awaits a promise, and shows what is awaited meanwhile.
   * @param describe by how many seconds it has been
   */
  async during<T>(promise: Promise<T>, describe: (seconds: number) => string): Promise<T> {
    const since = performance.now();
    const look = () => {
      const waited = performance.now() - since;
      const text = describe(waited / 1000 | 0);
      return waited < SHOWN_AFTER ? undefined : text.slice(0, this.size().columns - 1);
    };
    using _watch = this.watch(look);
    return await promise;
  }

  /**
   * Shows a text that changes.
   * @param look gives the text, which must fit a line; undefined: none
   * @returns stops, and removes the line
   */
  watch(look: () => string | undefined): Disposable {
    this.#look = look;
    this.#timer = setInterval(() => this.#draw(), REDRAW);
    return {
      [Symbol.dispose]: () => {
        clearInterval(this.#timer);
        this.#look = undefined;
        this.hide();
      },
    };
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
    const text = this.#look?.();
    if (text === undefined) return this.hide();
    this.#write(`\r${text}\x1b[K`);
    this.#isDrawn = true;
    this.#drawnAt = performance.now();
  }

  #write(text: string): void {
    this.stream.writeSync(encoder.encode(text));
  }
}

/**
 * Connects to a server, and shows that meanwhile.
 * @throws {ConnectError}
 */
export async function connectVisibly(
  status: StatusLine,
  options: FamilyOptions,
): Promise<ServerConn> {
  return await status.during(connect(options), (seconds) => describeWait(options, seconds));
}

/** Describes what is awaited while there is no connection. */
export function describeWait(where: FamilyOptions, seconds: number): string {
  return `connecting to ${formatEndpoint(where)}: ${seconds} s`;
}
