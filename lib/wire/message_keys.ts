/** Which messages a line holds, so that it may answer them. Pure. */

/** How messages are recognized in replies: equal messages have equal keys. */
export interface MessageKeys {
  /** The key of a message, by its number. */
  keyOf(seq: number): number;
  /** The keys of all messages that a line holds. */
  keysIn(line: Uint8Array): readonly number[];
  /** No two messages are equal, so a reply can be late or a duplicate. */
  readonly areUnique: boolean;
}

/** Decodes each byte to a character of its own: a search in the text is a search in bytes. */
const latin1 = new TextDecoder("latin1");
const WORD = String.raw`[\w\u0080-\uffff]`;
const NUMBERED = new RegExp(`(?<!${WORD})ping ([1-9]\\d*)(?!${WORD})`, "g");
const INSIDE_WORD = new RegExp(`^${WORD}{2}$`);

/** Keys of the messages `ping 1`, `ping 2` and so on. */
export const numbered: MessageKeys = {
  areUnique: true,
  keyOf: (seq) => seq,
  keysIn: (line) => [...latin1.decode(line).matchAll(NUMBERED)].map(([, seq]) => Number(seq)),
};

/** The single key of messages that any line answers. */
export const anyLine: MessageKeys = { areUnique: false, keyOf: () => 0, keysIn: () => [0] };

/** Keys of messages that are sent in turn, over and over. */
export function inTurn(messages: readonly Uint8Array[]): MessageKeys {
  const texts = messages.map((message) => latin1.decode(message));
  const keys = texts.map((text) => texts.indexOf(text));
  const distinct = [...new Set(keys)];
  return {
    areUnique: false,
    keyOf: (seq) => keys[(seq - 1) % keys.length] as number,
    keysIn: (line) => {
      const text = latin1.decode(line);
      return distinct.filter((key) => holds(text, texts[key] as string));
    },
  };
}

/** Returns whether a line holds a message as words of their own: `ping 12` does not hold `ping 1`. */
function holds(line: string, message: string): boolean {
  const isInside = (at: number) => at > 0 && INSIDE_WORD.test(line.slice(at - 1, at + 1));
  for (let at = -1; (at = line.indexOf(message, at + 1)) >= 0;) {
    if (!isInside(at) && !isInside(at + message.length)) return true;
  }
  return false;
}
