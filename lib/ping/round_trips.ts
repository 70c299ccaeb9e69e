/** How long replies took, summed up in constant memory. Pure: the times are parameters. */

/** Neighbouring buckets differ by this factor: percentiles are right to 0.1 %. */
const STEP = 1.001;
/** The shortest round trip that is distinguished, in ms. */
const LEAST = 0.001;
/** Percentiles, and the round trips that are needed to know them. */
const PERCENTILES = { p50: 1, p90: 10, p99: 100, p999: 1000 };

/** Figures of all round trips, in ms; percentiles if there are enough to know them. */
export type Figures =
  & Readonly<Record<"min" | "avg" | "p50" | "max", number>>
  & { readonly [Percentile in "p90" | "p99" | "p999"]?: number };

/** Round trips, counted by how long they took. */
export class RoundTrips {
  /** How many there are. */
  count = 0;
  #sum = 0;
  #min = Infinity;
  #max = 0;
  readonly #buckets = new Map<number, number>(); // round trips by the logarithm of their duration

  /**
   * Counts one.
   * @param duration in ms
   */
  record(duration: number): void {
    this.count++;
    this.#sum += duration;
    this.#min = Math.min(this.#min, duration);
    this.#max = Math.max(this.#max, duration);
    const bucket = bucketOf(duration);
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + 1);
  }

  /** The figures, to the microsecond; undefined if there are no round trips. */
  get figures(): Figures | undefined {
    if (this.count === 0) return undefined;
    const percentiles = Object.entries(PERCENTILES).filter(([, enough]) => this.count >= enough)
      .map(([name]) => [name, this.#percentile(Number(`.${name.slice(1)}`))]);
    return {
      min: rounded(this.#min),
      avg: rounded(this.#sum / this.count),
      ...Object.fromEntries(percentiles) as { p50: number },
      max: rounded(this.#max),
    };
  }

  /**
   * Counts the round trips in ranges from the shortest to the longest, which grow by the same
   * factor. If all are alike, there is one range.
   */
  ranges(most: number): { edges: number[]; counts: number[] } {
    const least = Math.max(this.#min, LEAST);
    const factor = (Math.max(this.#max, LEAST) / least) ** (1 / most);
    const length = factor > STEP ? most : 1;
    const edges = Array.from({ length: length + 1 }, (_, row) => least * factor ** row);
    const buckets = edges.map(bucketOf);
    const counts = new Array<number>(length).fill(0);
    for (const [bucket, count] of this.#buckets) {
      const row = Math.min(buckets.findLastIndex((edge) => edge <= bucket), length - 1);
      counts[row] = (counts[row] ?? 0) + count;
    }
    return { edges, counts };
  }

  /** The least duration that this share of the round trips did not exceed. */
  #percentile(share: number): number {
    let left = Math.ceil(share * this.count);
    const sorted = [...this.#buckets].sort(([one], [other]) => one - other);
    const [bucket = 0] = sorted.find(([, count]) => (left -= count) <= 0) ?? [];
    const middle = LEAST * STEP ** (bucket + 0.5);
    return rounded(Math.min(Math.max(middle, this.#min), this.#max));
  }
}

function bucketOf(duration: number): number {
  return Math.floor(Math.log(Math.max(duration, LEAST) / LEAST) / Math.log(STEP));
}

/** To the microsecond. */
export function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
