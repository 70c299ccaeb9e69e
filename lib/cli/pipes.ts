/** Standard input and output, with errors that are sentences. */

import { errorMessage } from "../checks.ts";

/** Where bytes come from. */
export interface Input {
  /** Reads some bytes; null at the end. */
  read(into: Uint8Array): Promise<number | null>;
}

/** Where bytes go. */
export interface Output {
  /** Writes all of these bytes. */
  write(bytes: Uint8Array): Promise<unknown>;
}

/** Standard input. */
export function wordedInput(input: Input): Input {
  return {
    read: (into) =>
      input.read(into).catch((error) => {
        throw new Error(`cannot read standard input: ${errorMessage(error)}`);
      }),
  };
}

/** Standard output, for people or programs to read. */
export class StandardOutput implements Output {
  /** It shows emphasis, by escape sequences. */
  readonly emphasis: boolean;

  /**
   * @param stream what is written to
   * @param size of the terminal, which may change
   * @param colours whether a terminal may have them
   */
  constructor(
    readonly stream: {
      write(bytes: Uint8Array): Promise<number>;
      isTerminal(): boolean;
    },
    readonly size: () => { readonly columns: number },
    colours: boolean,
  ) {
    this.emphasis = colours && stream.isTerminal();
  }

  /** The width of the terminal, in characters; undefined where there is none. */
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
