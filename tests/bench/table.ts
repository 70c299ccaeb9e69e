/** A row's outcome as text. */

import type { Column, Outcome, Row } from "./row.ts";

const BAR = 14;
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/** A process is busy from here on. In a closed loop one side is: if not, somebody else had the processors. */
const BUSY = 0.9;

/**
 * A table, a line for each entry, ours marked. Beside a bar stands the ratio of
 * our figure to that entry's, ▲ where ours is better, ▼ where it is worse.
 */
export function table(row: Row, outcomes: ReadonlyMap<string, Outcome>): string {
  const ours = figuresOf(outcomes.get(row.ours));
  const most = (figure: string) =>
    Math.max(...[...outcomes.values()].map((one) => figuresOf(one)[figure] ?? 0));
  const cells = (column: Column, name: string, outcome: Outcome): string[] => {
    const figure = figuresOf(outcome)[column.figure] ?? NaN;
    const shown = [number(figure, column.digits ?? 0)];
    if (!column.bar) return shown;
    const us = ours[column.figure] ?? NaN;
    const better = column.bar === "less" ? us < figure : us > figure;
    const ratio = name === row.ours ? "" : `${number(us / figure, 2)} x ${better ? "▲" : "▼"}`;
    return [...shown, bar(figure / most(column.figure)), ratio];
  };
  const lines = [[
    "",
    ...row.columns.flatMap(({ head, bar }) => bar ? [head, "", "ours"] : [head]),
  ]];
  const notes: string[] = [];
  const disturbed: string[] = [], unloaded: string[] = [];
  for (const [name, outcome] of outcomes) {
    const mark = name === row.ours ? ">" : " ";
    if ("failure" in outcome) {
      notes.push(`  ${name} failed: ${outcome.failure}`);
      continue;
    }
    lines.push([`${mark} ${name}`, ...row.columns.flatMap((one) => cells(one, name, outcome))]);
    const { serverBusy = 1, loadBusy = 1 } = outcome.figures;
    if (serverBusy >= BUSY || row.idles) continue;
    (loadBusy < BUSY ? disturbed : unloaded).push(name);
  }
  if (disturbed.length > 0) {
    notes.push(`  somebody else had the processors part of the time: ${disturbed.join(", ")}`);
  }
  if (unloaded.length > 0) {
    notes.push(`  the load was the limit of messages/s, not the server: ${unloaded.join(", ")}`);
  }
  return [`${row.name}: ${row.title}`, ...align(lines), ...notes].join("\n");
}

function figuresOf(outcome: Outcome | undefined): Readonly<Record<string, number>> {
  return outcome && "figures" in outcome ? outcome.figures : {};
}

/** A number with that many digits after the point, its thousands apart. */
export function number(value: number, digits: number): string {
  if (!Number.isFinite(value)) return "-";
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

function bar(part: number): string {
  const eighths = Math.max(1, Math.round(part * BAR * 8)) || 0;
  return ("█".repeat(eighths / 8) + EIGHTHS[eighths % 8]).padEnd(BAR);
}

/** The first column to the left, the others to the right. */
function align(lines: readonly (readonly string[])[]): string[] {
  const widths = lines[0]?.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  return lines.map((line) =>
    line.map((cell, at) => {
      const width = widths?.[at] ?? 0;
      return at === 0 ? cell.padEnd(width) : cell.padStart(width);
    }).join("  ").trimEnd()
  );
}
