/** The client's part in a conversation: says what it is given, tells what comes back. */

/** Whom to talk to: a peer, or who stands for one. */
export interface Interlocutor {
  /** Says a message; gives its reply. */
  say(message: Uint8Array): Promise<Uint8Array>;
  /** Rejects when it goes away, and never resolves. */
  gone(): Promise<never>;
}

/** Where messages come from. */
export interface Source {
  /** The next message; null at the end. */
  next(): Promise<Uint8Array | null>;
  /** The server has gone away while it was asked for one. */
  abandon?(): Promise<void>;
}

/** Is told a reply, the number of its message from 1, and how long it took, in ms. */
export type Tell = (reply: Uint8Array, seq: number, duration: number) => Promise<void>;

/**
 * Talks until the source ends, or the server goes away, even while the source is asked.
 * @param most so many messages at most
 * @throws {Error} when a message was not answered, or the server has gone away
 */
export async function talk(
  peer: Interlocutor,
  source: Source,
  tell: Tell,
  most = Infinity,
): Promise<void> {
  let fail = (_: unknown) => {};
  peer.gone().catch((error) => fail(error));
  for (let seq = 1; seq <= most; seq++) {
    // Not Promise.race: a promise that is raced for ever keeps something of each race.
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
    fail = reject;
    source.next().then(resolve, reject);
    const message = await promise.catch(async (error) => {
      await source.abandon?.();
      throw error;
    });
    if (message === null) return;
    const since = performance.now();
    const reply = await peer.say(message);
    await tell(reply, seq, performance.now() - since);
  }
}

/** These messages, one after the other. */
export function saying(messages: readonly Uint8Array[]): Source {
  const left = messages.values();
  return { next: () => Promise.resolve(left.next().value ?? null) };
}
