/** Applies faults to the bytes of a reply. Pure. */

import { errorReply } from "../wire/message.ts";
import type { FaultPlan } from "./faults.ts";
import { type Fault, FAULTS } from "./grammar.ts";
import type { Random } from "./random.ts";

const CR = 13, LF = 10;

/**
 * Makes what is sent instead of a reply, each without its ending: nothing, one reply or two.
 *
 * @param reply undefined if there is none
 * @param report is called with each fault that happens
 */
export function applyReplyFaults(
  reply: Uint8Array | undefined,
  { faults, error, random }: FaultPlan,
  report: (fault: Fault) => void,
): Uint8Array[] {
  if (error !== undefined) return [errorReply(error)];
  if (reply === undefined) return [];
  let bytes = reply;
  let times = 1;
  for (const fault of faults) {
    if (FAULTS[fault.name].on !== "reply") continue;
    report(fault);
    if (fault.name === "drop") return [];
    if (fault.name === "twice") times = 2;
    if (fault.name === "error") bytes = errorReply(fault.text);
    if (fault.name === "corrupt") bytes = corrupted(bytes, fault.bytes, random);
    if (fault.name === "noise") bytes = new Uint8Array(fault.bytes).map(() => random.below(256));
  }
  return Array.from({ length: times }, () => bytes);
}

/** Copies bytes and changes some of them. An LF stays, and none comes: there are as many lines. */
function corrupted(bytes: Uint8Array, count: number, random: Random): Uint8Array {
  let left = bytes.filter((byte) => byte !== LF).length;
  return bytes.map((byte) => {
    if (byte === LF || random.next() * left-- >= count) return byte;
    count--;
    return otherThan(byte, random);
  });
}

/** Another byte; no CR either, which would be taken for a part of the ending. */
function otherThan(byte: number, random: Random): number {
  const other = (byte + 1 + random.below(255)) % 256;
  return other === LF || other === CR ? otherThan(byte, random) : other;
}
