/** Standard input and output, whose errors are sentences. */

import { errorMessage } from "../checks.ts";
import { isPending } from "../wait.ts";
import { UsageError } from "./options.ts";

/** A source of bytes. */
export interface Input {
  /** Reads some bytes; resolves to their number, or null at the end. */
  read(into: Uint8Array): Promise<number | null>;
}

/** A destination of bytes. */
export interface Output {
  /** Writes all of these bytes. */
  write(bytes: Uint8Array): Promise<unknown>;
}

/** Standard input. Its end is final: a terminal could be read again after Ctrl-D. */
export function standardInput(input: Input): Input {
  let isOver = false;
  return {
    async read(into) {
      if (isOver) return null;
      const count = await input.read(into).catch((error) => {
        throw new Error(`cannot read standard input: ${errorMessage(error)}`);
      });
      isOver = count === null;
      return count;
    },
  };
}

/** Standard output, for people or programs to read. */
export class StandardOutput implements Output {
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

/** The time in which an input that has already ended shows that, in ms. */
const ENDED = 50;

/**
 * Calls back at the end of an input, which is discarded.
 * @throws {UsageError} if it has already ended
 */
export async function onInputEnd(input: Input, callback: () => void): Promise<void> {
  const buffer = new Uint8Array(4096);
  const end = (async () => {
    while (await input.read(buffer).catch(() => null) !== null);
  })();
  if (!await isPending(end, ENDED)) {
    throw new UsageError(
      "cannot use --until-eof: standard input has already ended; give it a pipe that stays open, " +
        "as the program that starts the server can",
    );
  }
  void end.then(callback);
}
