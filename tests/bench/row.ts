/** What a row of the benchmark is. */

import type { Figures } from "./bench.ts";

/** A column of a row's table. */
export interface Column {
  /** The figure's name. */
  readonly figure: string;
  readonly head: string;
  /** Digits after the point. */
  readonly digits?: number;
  /** A bar is drawn, and our figure is divided by the other's; which is better? */
  readonly bar?: "less" | "more";
  /** The worst round counts, not the median. */
  readonly worst?: boolean;
}

/** One of those who are compared in a row. */
export interface Entry {
  readonly name: string;
  /** Measured in every round, or in the first alone. */
  readonly everyRound: boolean;
  measure(): Promise<Figures>;
}

/** Something that is measured of several, in turn. */
export interface Row {
  readonly name: string;
  readonly title: string;
  /** The entry that the others are compared with. */
  readonly ours: string;
  readonly columns: readonly Column[];
  /** Server and load wait for each other, so that neither is ever busy. */
  readonly idles?: boolean;
  readonly entries: readonly Entry[];
}

/** What an entry came to: its figures, or why there are none. */
export type Outcome = { figures: Figures; rounds: number } | { failure: string };

/** Measures all entries of a row in turn, round after round. */
export async function runRow(row: Row, rounds: number): Promise<Map<string, Outcome>> {
  const found = new Map<string, Figures[]>();
  const failures = new Map<string, string>();
  for (let round = 0; round < rounds; round++) {
    // There and back, so that whoever comes later is not always the one.
    const entries = round % 2 === 0 ? row.entries : row.entries.toReversed();
    for (const entry of entries) {
      if ((round > 0 && !entry.everyRound) || failures.has(entry.name)) continue;
      try {
        const figures = await entry.measure();
        found.set(entry.name, [...found.get(entry.name) ?? [], figures]);
      } catch (error) {
        failures.set(entry.name, error instanceof Error ? error.message : String(error));
      }
    }
  }
  return new Map(row.entries.map(({ name }) => {
    const failure = failures.get(name);
    const all = found.get(name) ?? [];
    return [name, failure ? { failure } : { figures: summary(row, all), rounds: all.length }];
  }));
}

function summary({ columns }: Row, all: readonly Figures[]): Figures {
  const names = Object.keys(all[0] ?? {});
  return Object.fromEntries(names.map((name) => {
    const figures = all.map((one) => one[name] ?? NaN);
    const worst = columns.some(({ figure, worst }) => figure === name && worst);
    return [name, worst ? Math.max(...figures) : median(figures)];
  }));
}

function median(of: readonly number[]): number {
  const sorted = of.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle) - 1] ?? NaN)) / 2;
}
