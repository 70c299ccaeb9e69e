/** The worst round trip and the losses of each stretch of time, in constant memory. Pure. */

/** Cells that are kept: once a run is longer, every two become one. */
const CELLS = 1024;

/** A stretch of time. */
export interface Cell {
  /** When its first message was due, in ms since the start. */
  at: number;
  /** Its longest round trip, in ms; undefined if no message of it was answered. */
  worst?: number | undefined;
  /** Whether a message of it was lost. */
  isLost: boolean;
}

/** What became of messages, by when they were due. */
export class Timeline {
  /** Messages that were answered or lost. */
  count = 0;
  /** The longest round trip, in ms. */
  worst = 0;
  hasLosses = false;
  /** When the last reply came, or the last lost message was due, in ms since the start. */
  end = 0;
  #width = 1; // of a cell, in ms
  #cells: (Cell | undefined)[] = [];

  /**
   * Records a round trip, or a loss.
   * @param at when the message was due, in ms since the start
   * @param duration in ms; undefined for a loss
   */
  record(at: number, duration?: number): void {
    this.count++;
    this.end = Math.max(this.end, at + (duration ?? 0));
    this.worst = Math.max(this.worst, duration ?? 0);
    this.hasLosses ||= duration === undefined;
    while (at >= this.#width * CELLS) this.#halve();
    const index = Math.max(0, at / this.#width | 0);
    this.#cells[index] = merged(this.#cells[index], {
      at,
      worst: duration,
      isLost: duration === undefined,
    });
  }

  /** The run in this many cells of equal length; undefined where no message was due. */
  cells(count: number): (Cell | undefined)[] {
    const cells = new Array<Cell | undefined>(count).fill(undefined);
    const last = this.#cells.at(-1)?.at ?? 0;
    for (const cell of this.#cells) {
      if (cell === undefined) continue;
      // The last message has a cell as wide as the others.
      const index = Math.round(cell.at / Math.max(last, 1e-3) * (count - 1));
      cells[index] = merged(cells[index], cell);
    }
    return cells;
  }

  #halve(): void {
    const half = Math.ceil(this.#cells.length / 2);
    this.#cells = Array.from({ length: half }, (_, index) => {
      const [one, other] = [this.#cells[2 * index], this.#cells[2 * index + 1]];
      return one && other ? merged(one, other) : one ?? other;
    });
    this.#width *= 2;
  }
}

function merged(one: Cell | undefined, other: Cell): Cell {
  if (one === undefined) return other;
  const worst = Math.max(one.worst ?? -1, other.worst ?? -1);
  return {
    at: Math.min(one.at, other.at),
    worst: worst < 0 ? undefined : worst,
    isLost: one.isLost || other.isLost,
  };
}
