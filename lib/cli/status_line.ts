/** A line on a terminal that says what is waited for, as long as it is. */

import type { ServerConn } from "../net/listener.ts";
import { connect, type ConnectOptions, formatEndpoint } from "../net/address.ts";

/** What is over sooner is not worth a line, in ms. */
const PATIENCE = 300;
/** The time from one drawing to the next, in ms. */
const REDRAW = 100;

/** A stream that may be a terminal. */
export interface TerminalStream {
  /** Writes some bytes at once. */
  writeSync(bytes: Uint8Array): number;
  isTerminal(): boolean;
}

const encoder = new TextEncoder();

/** Draws the line, and takes it away again; on a terminal only. */
export class StatusLine {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #drawn = false;

  /** @param size of the terminal, which may change */
  constructor(readonly canvas: TerminalStream, readonly size: () => { readonly columns: number }) {}

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

  /**
   * Looks now and then whether something is waited for, and shows that.
   * @param waiting for how long, in ms
   * @param say what is waited for, by how many seconds it has been
   * @return ends this
   */
  watch(waiting: () => number, say: (seconds: number) => string): Disposable {
    const look = () => {
      const since = waiting();
      if (since < PATIENCE) this.hide();
      else this.#show(say(since / 1000 | 0));
    };
    const timer = this.canvas.isTerminal() ? setInterval(look, REDRAW) : undefined;
    return {
      [Symbol.dispose]: () => {
        clearInterval(timer);
        this.hide();
      },
    };
  }

  /** Takes the line away. */
  hide(): void {
    clearTimeout(this.#timer);
    if (this.#drawn) this.#write("\r\x1b[K");
    this.#drawn = false;
  }

  #draw(say: (seconds: number) => string, since: number, after: number): void {
    this.#timer = setTimeout(() => {
      this.#show(say((performance.now() - since) / 1000 | 0));
      this.#draw(say, since, REDRAW);
    }, after);
  }

  #show(text: string): void {
    this.#write(`\r${text.slice(0, this.size().columns - 1)}\x1b[K`);
    this.#drawn = true;
  }

  #write(text: string): void {
    this.canvas.writeSync(encoder.encode(text));
  }
}

/**
 * Connects to a server, and shows that meanwhile.
 * @throws {ConnectError}
 */
export async function connectVisibly(
  progress: StatusLine,
  options: ConnectOptions,
): Promise<ServerConn> {
  return await progress.during(
    connect(options),
    (s) => `connecting to ${formatEndpoint(options)}: ${s} s`,
  );
}
