/** The worst round trip and the losses of each stretch of time, in constant memory. Pure. */

/** Cells that are kept: once a run is longer, every two become one. */
const CELLS = 1024;

/** A stretch of time. */
interface Cell {
  /** When its first message was due, in ms since the start. */
  readonly at: number;
  /** Its longest round trip, in ms; Infinity if a message was lost. */
  readonly worst: number;
}

/** The fates of messages, by when they were due. */
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
   * @param duration in ms; Infinity for a loss
   */
  record(at: number, duration: number): void {
    const isLoss = duration === Infinity;
    this.count++;
    this.hasLosses ||= isLoss;
    this.end = Math.max(this.end, isLoss ? at : at + duration);
    if (!isLoss) this.worst = Math.max(this.worst, duration);
    for (; at >= this.#width * CELLS; this.#width *= 2) {
      this.#cells = grouped(this.#cells, CELLS / 2, (_, index) => index / 2 | 0);
    }
    const index = Math.max(0, at / this.#width | 0);
    this.#cells[index] = merged(this.#cells[index], { at, worst: duration });
  }

  /**
   * The longest round trips of cells of equal length, from the first message to the last.
   * @returns for each in ms; Infinity where a message was lost, undefined where none was due
   */
  cells(count: number): (number | undefined)[] {
    const scale = (count - 1) / (this.#cells.at(-1)?.at || 1);
    const cells = grouped(this.#cells, count, ({ at }) => Math.round(at * scale));
    return cells.map((cell) => cell?.worst);
  }
}

/** Merges the cells that get the same index. */
function grouped(
  cells: readonly (Cell | undefined)[],
  count: number,
  indexOf: (cell: Cell, index: number) => number,
): (Cell | undefined)[] {
  const groups = new Array<Cell | undefined>(count).fill(undefined);
  for (const [index, cell] of cells.entries()) {
    if (cell === undefined) continue;
    const group = indexOf(cell, index);
    groups[group] = merged(groups[group], cell);
  }
  return groups;
}

function merged(one: Cell | undefined, other: Cell): Cell {
  if (one === undefined) return other;
  return { at: Math.min(one.at, other.at), worst: Math.max(one.worst, other.worst) };
}
