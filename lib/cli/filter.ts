/** The client as a filter: sends the lines of its input, and writes the replies. Messages are pipelined. */

import type { Framing } from "../wire/framing.ts";
import { BY_CRLF, BY_LF, concat, CR, Framer, LF, messagesOf } from "../wire/framing.ts";
import { type Deadline, isPending } from "../wait.ts";
import { ErrorReply, isErrorReply, MessageView } from "../wire/message.ts";
import { frame } from "../wire/replies.ts";
import type { Context } from "./client_options.ts";
import { MAX_MESSAGE } from "./options.ts";
import type { Report } from "./output/report.ts";
import { countLines, cutIntoLines, type Input, type Output, piecesOf } from "./pipes.ts";
import { type BufferedConn, MAX_ADDED } from "../net/buffered_conn.ts";
import type { Turns } from "./talk.ts";

/**
 * The most bytes of messages in flight over UDP. Linux drops datagrams that exceed the server's
 * receive buffer, by default 208 KiB with the system's own overhead.
 */
const MAX_IN_FLIGHT = 65536;
/** A shorter message counts as long as this, in bytes: at most 32 are in flight. */
const MIN_COUNTED = MAX_IN_FLIGHT / 32;

/**
 * Sends every line of the input, and reports every reply in the report's style. Where the replies
 * go elsewhere, shows their count on the terminal.
 */
export async function filter(talker: Filter | Turns, input: Input, context: Context) {
  const { report, status } = context;
  const lines = cutIntoLines((line, seq) => report.reply(line, seq));
  const output = report.options.style === "json" ? lines : report.output;
  const filtering = talker instanceof Filter
    ? talker.run(input, output).finally(() => lines.end())
    : filterDatagrams(talker, input, report);
  if (report.output.columns !== undefined) return await filtering;
  await status.during(filtering, () => `${talker.answered} of ${talker.sent} messages answered`);
}

/**
 * Sends messages while others are pending. Replies are reported in the order of the messages. As
 * over TCP, the reply to a line that ended in CRLF ends in CRLF.
 * @throws {TimeoutError} at the end, if a message was lost
 * @throws {Error} if a message can't be sent, or was refused
 */
async function filterDatagrams(turns: Turns, input: Input, report: Report): Promise<void> {
  const isCopied = report.options.style !== "json" && report.output.columns === undefined;
  const framer = new Framer("line", MAX_MESSAGE);
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  const inFlight: Promise<void>[] = [];
  let bytesInFlight = 0;

  async function sendAll(): Promise<void> {
    for await (const message of messagesOf(input, framer)) {
      const bytes = Math.max(message.length, MIN_COUNTED);
      while (inFlight.length > 0 && bytesInFlight + bytes > MAX_IN_FLIGHT) await inFlight[0];
      bytesInFlight += bytes;
      const before = inFlight.at(-1);
      const seq = turns.sent + 1;
      const isCrlf = isCopied && framer.ending.length === BY_CRLF.length;
      const exchanged = turns.exchange(message, async (reply) => {
        await before;
        if (reply && isErrorReply(reply)) throw new ErrorReply(new MessageView(reply));
        // The report adds LF.
        if (reply) await report.reply(isCrlf ? concat([reply, Uint8Array.of(CR)]) : reply, seq);
      }).then(() => {
        bytesInFlight -= bytes;
        inFlight.shift();
      });
      exchanged.catch(fail);
      inFlight.push(exchanged);
    }
    await inFlight.at(-1);
  }

  await Promise.race([sendAll(), failed]);
  if (turns.lost) throw turns.lost;
}

/** A filter over a connection. */
export class Filter {
  /** Messages sent. */
  sent = 0;
  /** Messages whose reply was written to the output. */
  answered = 0;

  #input: "open" | "ended" | "ended without LF" = "open";
  #isWriting = false;
  #lineLength = 0; // of the part sent of a line
  #deadline: Deadline | undefined;

  /**
   * @param conn used by the filter alone
   * @param framing remains `auto` until the first reply
   */
  constructor(readonly conn: BufferedConn, public framing: Framing) {}

  /**
   * Sends every line of the input, and writes every reply to the output. Lines are sent one at a
   * time until the first reply has shown the server's framing, and always if that is raw. Then, both
   * directions are copied at once, each with its own back-pressure, in constant memory. If the
   * framing is `raw` from the start, nothing is counted. When nothing more can be sent, the replies
   * that have arrived are still written.
   * @throws {Error} if a message was not answered
   */
  async run(input: Input, output: Output): Promise<void> {
    // The time limit is for replies that are due and for the end, not for a slow reader of our output.
    const isWaiting = () => !this.#isWriting && (this.#input !== "open" || this.#owed > 0);
    using _deadline = this.#deadline = this.conn.deadline(isWaiting);
    const framer = new Framer("line", MAX_MESSAGE);
    if (this.framing === "auto" && !await this.#takeTurns(input, framer, output)) return;
    const sending = this.#sendAll(input, framer.rest);
    sending.catch(() => {}); // awaited below, after what is still received
    await this.#receiveAll(output).catch((error) => {
      // A server that has answered everything need not close the connection.
      const isDone = this.#input !== "open" && this.#owed === 0 && this.conn.held.length === 0;
      if (!isDone || this.framing === "raw") throw error;
    });
    if (await isPending(sending, 0)) throw this.conn.endError(); // else the input has ended too
    await sending;
    if (this.#owed > 0) throw this.conn.endError();
  }

  /** Sends lines one at a time until the framing is `line`; false if the input ended before that. */
  async #takeTurns(input: Input, framer: Framer, output: Output): Promise<boolean> {
    const watched = { read: (into: Uint8Array) => this.#readInput(input, into) };
    for await (const message of messagesOf(watched, framer)) {
      const { ending } = framer;
      // A last line without LF gets one; after a CR it gets CRLF, or the CR would be part of the ending.
      const added = message.at(-1) === CR ? BY_CRLF : BY_LF;
      const sentEnding = ending.length > 0 ? ending : added;
      const isAuto = this.framing === "auto";
      const bytes = isAuto ? concat([message, sentEnding]) : frame(message, this.framing);
      const sending = this.#send(bytes);
      this.sent++;
      sending.catch(() => {}); // reading explains more
      const search = { message, framing: this.framing, ending: sentEnding };
      const { reply, framing } = await this.conn.receive(search);
      await sending;
      this.framing = framing as Framing;
      if (isErrorReply(reply)) throw new ErrorReply(new MessageView(reply));
      await this.#write(concat([reply, ending]), 1, output);
      if (framing === "line") return true;
    }
    return false;
  }

  /** Reads the input; rejects if the server closes the connection meanwhile. */
  async #readInput(input: Input, into: Uint8Array): Promise<number | null> {
    const reading = input.read(into);
    while (await Promise.race([reading, this.conn.more()]) === true); // until either of them ends
    if (await isPending(reading, 0)) throw this.conn.endError(); // else there is input, or its end
    return await reading;
  }

  async #sendAll(input: Input, begun: Uint8Array): Promise<void> {
    let isUnended = false; // the last line, which counts as a message
    try {
      await this.#send(begun);
      for await (const bytes of piecesOf(input)) await this.#send(bytes);
      isUnended = this.framing === "line" && this.#lineLength > 0;
    } finally {
      if (this.#owed === 0) this.#deadline?.restart();
      if (isUnended) this.sent++;
      this.#input = isUnended ? "ended without LF" : "ended";
      if (isUnended) void this.conn.closeWrite(); // only then it is answered
      else this.#checkSettled();
    }
  }

  async #send(bytes: Uint8Array): Promise<void> {
    if (this.#owed === 0) this.#deadline?.restart();
    const whole = bytes.lastIndexOf(LF) + 1;
    const longest = this.#lineLength + bytes.length; // or shorter: that is only a limit
    this.conn.maxHeld = Math.max(this.conn.maxHeld, longest + MAX_ADDED);
    this.#lineLength = whole === 0 ? longest : bytes.length - whole;
    if (this.framing === "line") this.sent += countLines(bytes);
    await this.conn.send(bytes);
  }

  async #receiveAll(output: Output): Promise<void> {
    const { conn } = this;
    const isRaw = this.framing === "raw";
    do {
      const replies = isRaw ? conn.held : wholeReplies(conn.held);
      const count = isRaw ? 0 : countLines(replies);
      if (replies.length > 0) await this.#write(replies, count, output);
      conn.consume(replies.length);
      this.#checkSettled();
    } while (await conn.more());
    const last = conn.held;
    if (isErrorReply(last)) throw new ErrorReply(new MessageView(last.slice()));
    if (last.length === 0) return;
    if (this.#input !== "ended without LF") throw conn.endError();
    await this.#write(last, 1, output);
  }

  /** Writes whole replies; once they are written, counts them. */
  async #write(bytes: Uint8Array, replies: number, output: Output): Promise<void> {
    this.#isWriting = true;
    await output.write(bytes);
    this.#isWriting = false;
    this.#deadline?.restart();
    this.answered += replies;
    if (this.answered > this.sent) throw new Error("the server sent more replies than messages");
  }

  /** Replies that are due. */
  get #owed(): number {
    return this.sent - this.answered;
  }

  /**
   * Half-closes the connection once all replies are there, an error reply that is held back too.
   * Some proxies treat a half-close as a close, and drop the bytes in flight.
   */
  #checkSettled(): void {
    const isSettled = this.#owed <= countLines(this.conn.held);
    if (this.#input === "ended" && isSettled) void this.conn.closeWrite();
  }
}

/** Returns the whole lines, without an error reply at the end: it is thrown if nothing follows. */
function wholeReplies(held: Uint8Array): Uint8Array {
  const end = held.lastIndexOf(LF) + 1;
  const last = end < 2 ? 0 : held.lastIndexOf(LF, end - 2) + 1;
  return held.subarray(0, isErrorReply(held.subarray(last, end)) ? last : end);
}
