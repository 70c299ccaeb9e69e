/** The speed we want to show, and whether it was. */

import type { Outcome } from "./row.ts";
import type { RowName } from "./rows.ts";
import { number } from "./table.ts";

/** The outcomes of all rows that were run. */
export type Results = ReadonlyMap<RowName, ReadonlyMap<string, Outcome>>;

/** Gives a figure of one who was compared in a row; NaN if it was not measured. */
type Figure = (row: RowName, name: string, figure: string) => number;

interface Target {
  readonly what: string;
  /** At most, or at least. */
  readonly wanted: readonly ["<=" | ">=" | "<", number];
  readonly unit: string;
  measured(of: Figure): number;
}

function against(
  what: string,
  wanted: Target["wanted"],
  row: RowName,
  figure: string,
  peer: string,
  us = "readback",
): Target {
  const measured = (of: Figure) => of(row, us, figure) / of(row, peer, figure);
  return { what, wanted, unit: `x ${peer === "c" ? "C" : peer}`, measured };
}

function alone(
  what: string,
  wanted: Target["wanted"],
  unit: string,
  row: RowName,
  figure: string,
): Target {
  return { what, wanted, unit, measured: (of) => of(row, "readback", figure) };
}

// deno-fmt-ignore
const TARGETS: readonly Target[] = [
  against("50 connections, CPU/message", ["<=", 1.3], "50", "cpu", "c"),
  against("50 connections, CPU/message", ["<=", 0.85], "50", "cpu", "node"),
  against("64 in flight, messages/s", [">=", 0.45], "64", "rate", "c"),
  against("64 in flight, messages/s", [">=", 1.4], "64", "rate", "node"),
  against("64 in flight, messages/s", [">=", 1.4], "64", "rate", "uvloop"),
  alone("1,000 connections, without a reply in 3 s", ["<=", 0], "", "1000", "unanswered"),
  {
    what: "1,000 connections, p99.9",
    wanted: ["<=", 4],
    unit: "x p50",
    measured: (of) => of("1000", "readback", "p999") / of("1000", "readback", "p50"),
  },
  against("1,000 connections, messages/s", [">=", 1], "1000", "rate", "node"),
  alone("10,000 at once, unanswered", ["<=", 0], "", "10000", "unanswered"),
  against("10,000 at once, until all are answered", ["<=", 2], "10000", "seconds", "uvloop"),
  alone("10,000 silent, memory a connection", ["<=", 8], "KB", "10000", "memory"),
  alone("beside a flood of 1 kB lines, p99", ["<", 10], "ms", "flood", "p99"),
  alone("beside a flood of newlines, p99", ["<", 10], "ms", "newlines", "p99"),
  against("50 connections, transcript, messages/s", [">=", 0.5], "transcript", "rate", "--quiet", "transcript"),
  against("a million lines through the filter, seconds", ["<=", 1], "filter", "seconds", "ncat"),
];

/** A line for each target: what, wanted, measured, and whether it is met. */
export function report(results: Results): string {
  const figure: Figure = (row, name, figure) => {
    const outcome = results.get(row)?.get(name);
    return outcome && "figures" in outcome ? outcome.figures[figure] ?? NaN : NaN;
  };
  return TARGETS.map(({ what, wanted: [sign, wanted], unit, measured }) => {
    const value = measured(figure);
    const said = !Number.isFinite(value) ? "" : number(value, 2);
    const verdict = !Number.isFinite(value)
      ? "not measured"
      : meets(value, sign, wanted)
      ? "met"
      : "NOT MET";
    return `${what.padEnd(46)}${`${sign} ${wanted} ${unit}`.padEnd(18)}${
      said.padStart(8)
    }   ${verdict}`;
  }).join("\n");
}

function meets(value: number, sign: Target["wanted"][0], wanted: number): boolean {
  if (sign === "<") return value < wanted;
  return sign === "<=" ? value <= wanted : value >= wanted;
}
