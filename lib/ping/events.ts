/** Events of messages and replies, as a measurement or a conversation reports them. */

import type { Connected } from "../net/connect.ts";
import type { Outage } from "./outages.ts";

/** Bytes that were sent or received. */
export type Transfer = { bytes: number; data: Uint8Array };

/** The reports on one message, or of one connection. Durations are in ms. */
type MessageEvent =
  /** The duration is known if each reply was awaited. */
  | { event: "reply"; seq: number; duration?: number | undefined } & Transfer
  | { event: "wrong"; seq: number } & Transfer
  | { event: "duplicate"; seq: number } & Transfer
  | { event: "late"; seq: number; duration: number } & Transfer
  | { event: "lost"; seq: number; reason?: string | undefined }
  | { event: "unsolicited" } & Transfer
  | { event: "connection"; seq: number; duration: number } & Omit<Connected, "conn">
  | { event: "disconnected"; reason: string; silence: number };

/**
 * The reports on a conversation or a measurement. A connection has a number, from 1, where a
 * measurement has several.
 */
export type ReportedEvent =
  | MessageEvent & { connection?: number }
  | { event: "outage" } & Outage;
