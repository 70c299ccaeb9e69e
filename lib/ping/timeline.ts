/** The worst round trip and the losses of each stretch of time, in constant memory. Pure. */

/** Stretches that are kept: once a run is longer, every two become one. */
const CELLS = 4096;

/** A stretch of time: its longest round trip, in ms; Infinity if a message was lost. */
type Cell = number | undefined;

/** The fates of messages, by when they were due. */
export class Timeline {
  /** Messages that were answered or lost. */
  count = 0;
  /** The longest round trip, in ms. */
  worst = 0;
  /** When the last reply came, or the last lost message was due, in ms since the start. */
  end = 0;
  #width = 1; // of a cell, in ms
  #cells: Cell[] = [];

  /**
   * Records a round trip, or a loss.
   * @param at when the message was due, in ms since the start
   * @param duration in ms; Infinity for a loss
   */
  record(at: number, duration: number): void {
    const took = duration === Infinity ? 0 : duration;
    this.count++;
    this.end = Math.max(this.end, at + took);
    this.worst = Math.max(this.worst, took);
    for (; at >= this.#width * CELLS; this.#width *= 2) {
      this.#cells = this.#grouped(CELLS / 2, (cell) => cell / 2 | 0);
    }
    const cell = at / this.#width | 0;
    this.#cells[cell] = Math.max(duration, this.#cells[cell] ?? 0);
  }

  /**
   * The longest round trips of cells of equal length, from the first message to the last.
   * @returns for each in ms; Infinity where a message was lost, undefined where none was due
   */
  cells(count: number): Cell[] {
    const scale = (count - 1) / (this.#cells.length - 1 || 1);
    return this.#grouped(count, (cell) => Math.round(cell * scale));
  }

  /** Merges the cells that get the same index. */
  #grouped(count: number, indexOf: (cell: number) => number): Cell[] {
    const groups = new Array<Cell>(count).fill(undefined);
    this.#cells.forEach((trip, cell) => {
      const group = indexOf(cell);
      if (trip !== undefined) groups[group] = Math.max(trip, groups[group] ?? 0);
    });
    return groups;
  }
}
