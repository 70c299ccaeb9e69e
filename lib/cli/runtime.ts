/** The Deno that the programs run on. */

import { UsageError } from "./options.ts";

/** The oldest that they run on. */
export const OLDEST = "2.4.0";

/**
 * Checks that this Deno is not too old.
 * @throws {UsageError} before anything that it lacks fails in its own words
 */
export function checkRuntime(version: string = Deno.version.deno): void {
  const number = (version: string) => {
    const [major = 0, minor = 0] = version.split(".").map(Number);
    return major * 1000 + minor;
  };
  if (number(version) >= number(OLDEST)) return;
  throw new UsageError(`cannot run on Deno ${version}: it must be ${OLDEST} or newer`);
}
