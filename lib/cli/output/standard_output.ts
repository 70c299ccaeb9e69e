/** Standard output, whose errors are sentences. */

import { errorMessage } from "../../checks.ts";

/** Standard output, for people or programs to read. */
export class StandardOutput {
  /** Text may be emphasized, by escape sequences. */
  readonly emphasis: boolean;

  /**
   * @param size returns the size of the terminal, which may change
   * @param colours whether a terminal may show colours
   */
  constructor(
    readonly stream: Pick<typeof Deno.stdout, "write" | "isTerminal">,
    readonly size: () => { readonly columns: number },
    colours: boolean,
  ) {
    this.emphasis = colours && stream.isTerminal();
  }

  /** The width of the terminal, in characters; undefined without one. */
  get columns(): number | undefined {
    return this.stream.isTerminal() ? this.size().columns : undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await this.stream.write(bytes));
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) {
        throw new Error("nobody reads the replies any more");
      }
      throw new Error(`cannot write the replies: ${errorMessage(error)}`);
    }
  }
}
