/** The client as a filter: lines in, replies out, sent on without waiting. */

import { concat, Framer, type Framing, messagesOf } from "../wire/framing.ts";
import { isErrorReply } from "../wire/error_reply.ts";
import type { DatagramPeer } from "../client/datagram_peer.ts";
import type { Deadline } from "../net/deadline.ts";
import { countLines, Lines } from "./lines.ts";
import { ErrorReply, frame, hearReply, MOST_ADDED } from "../client/peer.ts";
import type { Input, Output } from "./pipes.ts";
import type { Report } from "./report.ts";
import type { BufferedConn } from "../net/buffered_conn.ts";
import { talkAhead } from "./talk.ts";

/** What one read of the input may bring, in bytes. */
const READ = 262144;
/** The longest message that is held as a whole, in bytes: the longest that a server can be told to take. */
const LONGEST_MESSAGE = 1 << 30;
const LF = 10;
const CRLF = Uint8Array.of(13, LF);

/** Says every line of the input, and tells every reply as the report's style has it. */
export async function filter(
  peer: Filter | DatagramPeer,
  input: Input,
  report: Report,
): Promise<void> {
  if (!(peer instanceof Filter)) return await filterDatagrams(peer, input, report);
  if (report.style !== "json") return await peer.run(input, report.paper);
  const lines = new Lines(report.reply.bind(report));
  await peer.run(input, lines).finally(() => lines.end());
}

/** As over TCP, the reply to a line that ended in CRLF does too. */
async function filterDatagrams(peer: DatagramPeer, input: Input, report: Report): Promise<void> {
  const { paper } = report;
  const framer = new Framer("line", LONGEST_MESSAGE);
  const byCrlf = new Set<number>(); // messages by number
  async function* messages() {
    let seq = 0;
    for await (const message of messagesOf(input, framer)) {
      seq++;
      if (framer.ending.length === CRLF.length) byCrlf.add(seq);
      yield message;
    }
  }
  const isCopied = report.style !== "json" && paper.columns === undefined;
  await talkAhead(peer, messages(), async (reply, seq) => {
    if (byCrlf.delete(seq) && isCopied) await paper.write(concat([reply, CRLF]));
    else await report.reply(reply, seq);
  });
}

/** A filter over a connection. */
export class Filter {
  /** Messages sent. */
  sent = 0;
  /** Messages whose reply was written. */
  answered = 0;

  #framing: Framing;
  #input: "open" | "ended" | "ended without LF" = "open";
  #isWriting = false;
  #lineLength = 0; // of what was sent of the line under way
  readonly #allHere = Promise.withResolvers<void>(); // the input has ended, and every reply has come

  /**
   * @param stream nobody else reads from it or writes to it
   * @param framing how a message's end is told
   */
  constructor(readonly stream: BufferedConn, framing: Framing) {
    this.#framing = framing;
  }

  /**
   * Says every line of the input, writes every reply to the output. Until the first reply has
   * shown what the server speaks, and to one that then speaks raw, one at a time. Where the
   * framing is `raw` from the start, both directions are copied, and nothing is counted.
   * @throws {Error} when not every message was answered
   */
  async run(input: Input, output: Output): Promise<void> {
    if (this.#framing === "raw") return await this.#pump(input, new Uint8Array(0), output);
    const framer = new Framer("line", LONGEST_MESSAGE);
    if (this.#framing === "auto") await this.#exchangeEach(input, framer, output);
    if (this.#framing === "line") await this.#pump(input, framer.rest, output);
  }

  async #exchangeEach(input: Input, framer: Framer, output: Output): Promise<void> {
    for await (const message of messagesOf(input, framer)) {
      const reply = await this.#exchange(message);
      await output.write(concat([reply, framer.ending]));
      this.answered++;
      if (this.#framing === "line") break;
    }
  }

  async #exchange(message: Uint8Array): Promise<Uint8Array> {
    const framed = frame(message, this.#framing);
    this.sent++;
    using _deadline = this.stream.deadline();
    await this.stream.send(framed);
    const { reply, framing } = await hearReply(this.stream, message, this.#framing);
    this.#framing = framing;
    if (isErrorReply(reply)) throw new ErrorReply(reply);
    return reply;
  }

  /**
   * Both directions at once, each with its own back-pressure, in constant memory. When nothing
   * more can be sent, what has arrived is still written.
   * @param begun was read of the input, and is not sent yet
   */
  async #pump(input: Input, begun: Uint8Array, output: Output): Promise<void> {
    // Waiting is for replies that are due and for the end, not for a reader of ours that is slow.
    const waits = () => !this.#isWriting && (this.#input !== "open" || this.#isOwed);
    using deadline = this.stream.deadline(waits);
    let failure: unknown;
    const saying = this.#sayAll(input, begun, deadline).catch((error) => {
      failure = error;
      this.#endInput("ended", deadline);
      return this.stream.end();
    });
    await this.#hearAll(output, deadline);
    if (this.#input !== "open") await saying;
    if (failure !== undefined) throw failure;
    if (this.#input === "open" || this.#isOwed) throw this.stream.over();
  }

  async #sayAll(input: Input, begun: Uint8Array, deadline: Deadline): Promise<void> {
    await this.#say(begun, deadline);
    const buffer = new Uint8Array(READ);
    for (let count; (count = await input.read(buffer)) !== null;) {
      await this.#say(buffer.subarray(0, count), deadline);
    }
    const isUnended = this.#framing === "line" && this.#lineLength > 0;
    if (isUnended) this.sent++;
    this.#endInput(isUnended || this.#framing === "raw" ? "ended without LF" : "ended", deadline);
    // Some proxies take a half-close for the end, and drop what is on its way.
    if (this.#input === "ended") await this.#allHere.promise;
    await this.stream.end();
  }

  async #say(bytes: Uint8Array, deadline: Deadline): Promise<void> {
    if (bytes.length === 0) return;
    if (!this.#isOwed) deadline.putOff();
    const whole = bytes.lastIndexOf(LF) + 1;
    const longest = this.#lineLength + bytes.length; // or shorter: that is only a limit
    this.stream.mostHeld = Math.max(this.stream.mostHeld, longest + MOST_ADDED);
    this.#lineLength = whole === 0 ? longest : bytes.length - whole;
    if (this.#framing === "line") this.sent += countLines(bytes);
    await this.stream.send(bytes);
  }

  #endInput(how: "ended" | "ended without LF", deadline: Deadline): void {
    this.#input = how;
    if (!this.#isOwed) deadline.putOff();
    this.#lookIfAllHere();
  }

  async #hearAll(output: Output, deadline: Deadline): Promise<void> {
    const { stream } = this;
    do {
      const replies = this.#framing === "raw" ? stream.held : wholeReplies(stream.held);
      if (replies.length > 0) await this.#write(replies, countLines(replies), output, deadline);
      this.#lookIfAllHere();
    } while (await this.#more());
    const last = stream.held;
    if (isErrorReply(last)) throw new ErrorReply(last);
    if (last.length === 0) return;
    if (this.#input !== "ended without LF") throw stream.over();
    await this.#write(last, 1, output, deadline);
  }

  /** Writes whole replies; only then they are answers. */
  async #write(
    bytes: Uint8Array,
    replies: number,
    output: Output,
    deadline: Deadline,
  ): Promise<void> {
    this.#isWriting = true;
    await output.write(bytes);
    this.#isWriting = false;
    deadline.putOff();
    this.stream.drop(bytes.length);
    if (this.#framing === "raw") return;
    this.answered += replies;
    if (this.answered > this.sent) throw new Error("the server sent more replies than messages");
  }

  /** Waits for more; a server that has answered all need not end. */
  async #more(): Promise<boolean> {
    try {
      return await this.stream.more();
    } catch (error) {
      const isFine = this.#input !== "open" && !this.#isOwed && this.stream.held.length === 0;
      if (!isFine || this.#framing === "raw") throw error;
      return false;
    }
  }

  get #isOwed(): boolean {
    return this.sent > this.answered;
  }

  /** A refusal is held back, and is the last reply if nothing follows. */
  #lookIfAllHere(): void {
    const owed = this.sent - this.answered;
    if (this.#input !== "open" && owed <= countLines(this.stream.held)) this.#allHere.resolve();
  }
}

/** The whole lines; but a refusal at their end is held back: it is no reply if nothing follows. */
function wholeReplies(held: Uint8Array): Uint8Array {
  const end = held.lastIndexOf(LF) + 1;
  const last = end < 2 ? 0 : held.lastIndexOf(LF, end - 2) + 1;
  return held.subarray(0, isErrorReply(held.subarray(last, end)) ? last : end);
}
