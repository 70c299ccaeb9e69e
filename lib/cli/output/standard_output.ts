/** Standard output, whose errors are sentences. */

import { errorMessage } from "../../checks.ts";

/** Returns the width of the terminal that a stream goes to, in characters; undefined without one. */
export function columnsOf(stream: { isTerminal(): boolean }): number | undefined {
  return stream.isTerminal() ? Deno.consoleSize().columns : undefined;
}

/** Standard output, for people or programs to read. */
export class StandardOutput {
  /** Text may be emphasized, by escape sequences. */
  readonly emphasis: boolean = Deno.stdout.isTerminal() && !Deno.noColor;

  /** The width of the terminal, in characters; undefined without one. */
  get columns(): number | undefined {
    return columnsOf(Deno.stdout);
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await Deno.stdout.write(bytes));
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) {
        throw new Error("nobody reads the replies any more");
      }
      throw new Error(`cannot write the replies: ${errorMessage(error)}`);
    }
  }
}
