/** Events of messages and replies, as a measurement or a conversation reports them. */

import type { Connected } from "../net/connect.ts";
import type { Outage } from "./outages.ts";

/** Bytes that the server sent. */
type Received = { bytes: number; data: Uint8Array };

/** The reports on one message, or of one connection. Durations are in ms. */
type MessageEvent =
  /** The duration is known if each reply was awaited. */
  | { event: "reply"; seq: number; duration?: number | undefined } & Received
  | { event: "wrong"; seq: number } & Received
  | { event: "duplicate"; seq: number } & Received
  | { event: "late"; seq: number; duration: number } & Received
  | { event: "lost"; seq: number; reason?: string | undefined }
  | { event: "unsolicited" } & Received
  | { event: "connection"; seq: number; duration: number } & Omit<Connected, "conn">
  | { event: "disconnected"; reason: string; silence: number };

/**
 * The reports on a conversation or a measurement. A connection has a number, from 1, where a
 * measurement has several.
 */
export type ReportedEvent =
  | MessageEvent & { connection?: number }
  | { event: "outage" } & Outage;
