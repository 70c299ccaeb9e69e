/** Errors in words, and numbers checked: a wrong one would freeze a server, or end it at once. */

/** The longest that a timer waits, in ms: about 24.8 days. A longer one is over at once. */
export const LONGEST: number = 2 ** 31 - 1;

/** An error's message. Nothing else is read of it: without free descriptors, even to make its stack fails. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

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
