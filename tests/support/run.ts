/** A program that is run to its end. */

import type { Program } from "../../lib/testing/program.ts";
import { unstamped } from "./replies.ts";

/** What a program printed, each stamp replaced by STAMP, and its exit code. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Types the input at a program that was started, ends it, and waits for the program's end.
 * @param code fails, and shows the output, if the exit code is another
 * @param timeout milliseconds to wait for the end
 */
export async function run(
  program: Program,
  { input = "", code, timeout }: { input?: string | Uint8Array; code?: number; timeout?: number } =
    {},
): Promise<Ended> {
  await using running = program;
  const wait = timeout === undefined ? {} : { timeout };
  if (input.length > 0) await running.type(input).catch(() => {}); // it may have ended already
  await running.endInput();
  const is = await running.exitCode(wait);
  if (code !== undefined) await running.ends(code);
  return { code: is, stdout: unstamped(running.stdout), stderr: running.stderr };
}
