/** Events of messages and replies, as a measurement or a conversation reports them. */

/** What there is to tell of messages and replies; durations are in ms. */
export type ReportedEvent =
  | {
    event: "reply";
    seq: number;
    bytes: number;
    data: Uint8Array;
    /** Known where each reply was waited for. */
    duration?: number;
  }
  | { event: "wrong"; seq: number; bytes: number; data: Uint8Array }
  | { event: "doubled"; seq: number; bytes: number; data: Uint8Array }
  | { event: "late"; seq: number; bytes: number; data: Uint8Array; duration: number }
  | { event: "lost"; seq: number; reason?: string }
  | { event: "unasked"; bytes: number; data: Uint8Array }
  | { event: "connection"; seq: number; duration: number; connect: number; handshake?: number }
  | { event: "disconnected"; reason: string; silence: number };
