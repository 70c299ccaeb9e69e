/** Events of messages and replies, as a measurement or a conversation reports them. */

import type { Outage } from "./outages.ts";

/** The reports on one message, or of one connection. Durations are in ms. */
type MessageEvent =
  | {
    event: "reply";
    seq: number;
    bytes: number;
    data: Uint8Array;
    /** Known if each reply was awaited. */
    duration?: number;
  }
  | { event: "wrong"; seq: number; bytes: number; data: Uint8Array }
  | { event: "duplicate"; seq: number; bytes: number; data: Uint8Array }
  | { event: "late"; seq: number; bytes: number; data: Uint8Array; duration: number }
  | { event: "lost"; seq: number; reason?: string }
  | { event: "unsolicited"; bytes: number; data: Uint8Array }
  | {
    event: "connection";
    seq: number;
    duration: number;
    resolve?: number;
    connect: number;
    handshake?: number;
  }
  | { event: "disconnected"; reason: string; silence: number };

/** The reports on a conversation or a measurement. */
export type ReportedEvent =
  | MessageEvent & {
    /** The connection's number, from 1, where a measurement has several. */
    connection?: number;
  }
  | { event: "outage" } & Outage;
