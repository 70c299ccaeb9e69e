/** The versions of Deno that the programs run on. */

import { UsageError } from "./options.ts";

/** The oldest version that the programs run on. */
export const OLDEST = "2.4.0";

/**
 * Checks that this Deno is new enough.
 * @throws {UsageError} instead of an error about whatever an older one lacks
 */
export function checkRuntime(version: string = Deno.version.deno): void {
  const number = (version: string) => {
    const [major = 0, minor = 0] = version.split(".").map(Number);
    return major * 1000 + minor;
  };
  if (number(version) >= number(OLDEST)) return;
  throw new UsageError(`cannot run on Deno ${version}: it must be ${OLDEST} or newer`);
}
