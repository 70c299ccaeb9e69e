/** How long replies took, summed up in constant memory. Pure: the times are handed in. */

/** Round trips are told apart by this factor: percentiles are right to 0.1 %. */
const STEP = 1.001;
/** The shortest that is told apart, in ms. */
const LEAST = 0.001;
/** Enough for a day. */
const BUCKETS = Math.ceil(Math.log(86_400_000 / LEAST) / Math.log(STEP));
/** Rows of the histogram. */
const ROWS = 10;
/** The blocks that a bar ends with, in eighths. */
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** How many round trips it takes to know these. */
const ENOUGH = { p90: 10, p99: 100, histogram: 10 };

/** Figures of all round trips, in ms; percentiles where there are enough to know them. */
export interface Figures {
  readonly min: number;
  readonly avg: number;
  readonly p50: number;
  readonly p90?: number;
  readonly p99?: number;
  readonly max: number;
}

/** Round trips, counted by how long they took. */
export class RoundTrips {
  /** How many there were. */
  count = 0;
  #sum = 0;
  #min = Infinity;
  #max = 0;
  #buckets: Float64Array | undefined; // most conversations never ask

  /**
   * Counts one.
   * @param duration in ms
   */
  record(duration: number): void {
    this.count++;
    this.#sum += duration;
    this.#min = Math.min(this.#min, duration);
    this.#max = Math.max(this.#max, duration);
    this.#buckets ??= new Float64Array(BUCKETS);
    const at = bucketOf(duration);
    this.#buckets[at] = (this.#buckets[at] ?? 0) + 1;
  }

  /** The figures, to the microsecond; undefined where there was none. */
  get figures(): Figures | undefined {
    if (this.count === 0) return undefined;
    return {
      min: rounded(this.#min),
      avg: rounded(this.#sum / this.count),
      p50: this.#percentile(0.5),
      ...this.count >= ENOUGH.p90 ? { p90: this.#percentile(0.9) } : {},
      ...this.count >= ENOUGH.p99 ? { p99: this.#percentile(0.99) } : {},
      max: rounded(this.#max),
    };
  }

  /**
   * A bar for each range of durations; the ranges grow by the same factor. None where there are too few.
   * @param columns none of its lines is wider
   */
  histogram(columns: number): string[] {
    if (this.count < ENOUGH.histogram) return [];
    const least = Math.max(this.#min, LEAST);
    const factor = (Math.max(this.#max, LEAST) / least) ** (1 / ROWS);
    const rows = factor > STEP ? ROWS : 1;
    const edges = Array.from({ length: rows + 1 }, (_, row) => least * factor ** row);
    const counts = this.#countsBetween(edges);
    const labels = counts.map((_, row) => edges.slice(row, row + 2).map(short).join(" - "));
    const width = Math.max(...labels.map(({ length }) => length));
    const digits = String(Math.max(...counts)).length;
    const room = Math.max(1, columns - width - " ms ".length - digits - 1);
    const scale = room / Math.max(...counts);
    return counts.map((count, row) =>
      `${labels[row]?.padStart(width)} ms ${bar(count * scale)} ${count}`
    );
  }

  /** The least duration that this share of the round trips did not exceed. */
  #percentile(share: number): number {
    let left = Math.ceil(share * this.count);
    const at = this.#buckets?.findIndex((count) => (left -= count) <= 0) ?? 0;
    const middle = LEAST * STEP ** (at + 0.5);
    return rounded(Math.min(Math.max(middle, this.#min), this.#max));
  }

  /** How many lie between an edge and the next. */
  #countsBetween(edges: readonly number[]): number[] {
    const counts = new Array<number>(edges.length - 1).fill(0);
    this.#buckets?.forEach((count, at) => {
      if (count === 0) return;
      const above = edges.findIndex((edge, row) => row > 0 && bucketOf(edge) > at);
      const row = above === -1 ? counts.length - 1 : above - 1;
      counts[row] = (counts[row] ?? 0) + count;
    });
    return counts;
  }
}

function bucketOf(duration: number): number {
  const at = Math.floor(Math.log(Math.max(duration, LEAST) / LEAST) / Math.log(STEP));
  return Math.min(at, BUCKETS - 1);
}

/** A bar of this many characters; anything at all shows as an eighth. */
function bar(length: number): string {
  const eighths = length > 0 ? Math.max(1, Math.round(length * 8)) : 0;
  return "█".repeat(eighths / 8 | 0) + EIGHTHS[eighths % 8];
}

/** To the microsecond. */
export function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

/** Three digits that count. */
function short(milliseconds: number): string {
  return milliseconds >= 100 ? milliseconds.toFixed(0) : milliseconds.toPrecision(3);
}
