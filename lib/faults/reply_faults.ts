/** What faults make of a reply's bytes. Pure. */

import { errorReply } from "../wire/error_reply.ts";
import type { Fault, FaultPlan } from "./faults.ts";
import type { Random } from "./random.ts";

const CR = 13, LF = 10;

/**
 * What is sent in place of a reply.
 * @param reply undefined if there is none
 * @param seal ends a reply on the wire
 * @param tell is called with each fault that happens
 */
export function applyReplyFaults(
  reply: Uint8Array | undefined,
  seal: (reply: Uint8Array) => Uint8Array,
  { faults, error, random }: FaultPlan,
  tell: (fault: Fault) => void,
): Uint8Array[] {
  if (error !== undefined) return [seal(errorReply(error))];
  if (reply === undefined) return [];
  let bytes = reply;
  let times = 1;
  for (const fault of faults) {
    switch (fault.name) {
      case "drop":
        tell(fault);
        return [];
      case "twice":
        times = 2;
        break;
      case "error":
        bytes = errorReply(fault.text);
        break;
      case "noise":
        bytes = Uint8Array.from({ length: fault.bytes }, () => random.below(256));
        break;
      case "corrupt":
        bytes = corrupted(bytes, fault.bytes, random);
        break;
      default:
        continue; // does not change it
    }
    tell(fault);
  }
  return Array.from({ length: times }, () => seal(bytes));
}

/** A copy in which this many bytes are others. An LF stays, and none comes: there are as many lines. */
function corrupted(bytes: Uint8Array, count: number, random: Random): Uint8Array {
  const others = bytes.slice();
  let left = bytes.reduce((left, byte) => byte === LF ? left : left + 1, 0);
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] === LF) continue;
    if (random.next() * left < Math.min(count, left)) {
      others[at] = other(bytes[at] as number, random);
      count--;
    }
    left--;
  }
  return others;
}

/** Another byte; no CR either, which would be taken for a part of the ending. */
function other(byte: number, random: Random): number {
  for (;;) {
    const other = (byte + 1 + random.below(255)) % 256;
    if (other !== LF && other !== CR) return other;
  }
}
