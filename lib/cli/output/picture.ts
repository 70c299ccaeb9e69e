/** Round trips as pictures in text: how many took how long, and how long they took over time. Pure. */

import type { RoundTrips } from "../../ping/round_trips.ts";
import type { Timeline } from "../../ping/timeline.ts";

/** Round trips that a histogram needs, and messages that a line needs. */
const ENOUGH_FOR_BARS = 10, ENOUGH_FOR_LINE = 20;
/** Rows of a histogram. */
const ROWS = 10;
/** The blocks that a bar ends with, in eighths. */
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/** Heights of a cell over time. */
const HEIGHTS = "▁▂▃▄▅▆▇█";
/** Marks a cell in which a message was lost. */
const LOSS = "×";

/**
 * Draws a bar for each range of round trips; the ranges grow by the same factor.
 * @param columns the width of each row
 * @returns no rows if there are too few round trips
 */
export function histogram(trips: RoundTrips, columns: number): string[] {
  if (trips.count < ENOUGH_FOR_BARS) return [];
  const { counts, edges } = trips.ranges(ROWS);
  const labels = counts.map((_, row) => edges.slice(row, row + 2).map(digits).join(" - "));
  const width = Math.max(...labels.map(({ length }) => length));
  const most = Math.max(...counts);
  const room = Math.max(1, columns - width - " ms ".length - String(most).length - 1);
  return counts.map((count, row) =>
    `${labels[row]?.padStart(width)} ms ${bar(count * room / most)} ${count}`
  );
}

/**
 * Draws the run from its start to its end. Each cell has the height of its longest round trip, or
 * is a cross if a message was lost. The scale is beside it.
 * @param columns the width of the line
 * @returns undefined if there are too few messages
 */
export function line(timeline: Timeline, columns: number): string | undefined {
  if (timeline.count < ENOUGH_FOR_LINE) return undefined;
  const losses = timeline.cells(1).includes(Infinity) ? `, ${LOSS} lost` : "";
  const scale = ` █ ${digits(timeline.worst)} ms${losses}, ${span(timeline.end)}`;
  const room = Math.max(10, columns - scale.length);
  const cells = timeline.cells(Math.min(room, timeline.count));
  return cells.map((trip) => block(trip, timeline.worst)).join("") + scale;
}

/** Colours the crosses of a line red. */
export function emphasizeLosses(line: string): string {
  return line.replaceAll(LOSS, `\x1b[31m${LOSS}\x1b[39m`);
}

function block(trip: number | undefined, most: number): string {
  if (trip === undefined || trip === Infinity) return trip === undefined ? " " : LOSS;
  return HEIGHTS[(Math.ceil(trip / most * HEIGHTS.length) || 1) - 1] ?? " ";
}

/** A bar of so many characters; anything above 0 shows as an eighth. */
function bar(length: number): string {
  const eighths = length > 0 ? Math.max(1, Math.round(length * 8)) : 0;
  return "█".repeat(eighths / 8 | 0) + EIGHTHS[eighths % 8];
}

/** A number in at least three digits; 0 in one. */
export function digits(number: number): string {
  if (number === 0) return "0";
  return number >= 100 ? number.toFixed(0) : number.toPrecision(3);
}

/** A duration for people: `9.8 s`, `12 min`, `3.4 h`. */
export function span(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return seconds < 6000 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
