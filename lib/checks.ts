/** Options that are numbers, checked: a wrong one would freeze a server, or end it at once. */

import { LONGEST } from "./wait.ts";

/**
 * Checks that each of these, where it is given, is 1 or more.
 * @throws {RangeError} which names the first that is not
 */
export function checkCounts<Name extends string>(
  options: { readonly [name in Name]?: number | undefined },
  names: readonly Name[],
): void {
  check(options, names, 1, Infinity, "1 or more");
}

/**
 * Checks that each of these, where it is given, is a time that a timer can wait, in ms.
 * @throws {RangeError} which names the first that is not
 */
export function checkTimes<Name extends string>(
  options: { readonly [name in Name]?: number | undefined },
  names: readonly Name[],
): void {
  check(options, names, 0, LONGEST, `0 to ${LONGEST}`);
}

function check<Name extends string>(
  options: { readonly [name in Name]?: number | undefined },
  names: readonly Name[],
  least: number,
  most: number,
  right: string,
): void {
  for (const name of names) {
    const value = options[name] ?? least;
    if (!(value >= least && value <= most)) {
      throw new RangeError(`${name} must be ${right}, not ${value}`);
    }
  }
}
