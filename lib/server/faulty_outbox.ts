/** A connection with faults: what is written meets those of the message that it answers. */

import type { Addr } from "../net/addr.ts";
import type { ServerConn } from "../net/listener.ts";
import { type Fault, type FaultPlan, find, NO_FAULTS } from "../faults/faults.ts";
import { Sleeps } from "../wait.ts";
import type { Conversation } from "./conversation.ts";
import type { OutboxConn } from "./outbox.ts";

const STALL = 60_000;
const PIECE = 65536;
const BEFORE_RESET = 50;
const TICK = 50;

export class FaultyConn implements OutboxConn {
  readonly remoteAddr: Addr;
  readonly localAddr: Addr | undefined;
  readonly isHealthCheck: boolean | undefined;
  readonly sleeps = new Sleeps();
  isEnding = false;
  isPacing = false;
  tell: ((fault: string, message?: number) => void) | undefined;
  conversation: Conversation<unknown> | undefined;
  #state: "open" | "stalled" | "over" = "open";
  #hold: Fault & { name: "hold" } | undefined;
  #holding: Promise<void> | undefined;
  #plans = new Map<number, FaultPlan>();
  #mayBeSentAt = 0;
  readonly #stopped = Promise.withResolvers<void>();

  constructor(
    readonly inner: ServerConn,
    readonly number: number,
    readonly stopping: AbortSignal,
    faults: readonly Fault[],
  ) {
    this.remoteAddr = inner.remoteAddr;
    this.localAddr = inner.localAddr;
    this.isHealthCheck = inner.isHealthCheck;
    this.#hold = find(faults, "hold");
    stopping.addEventListener("abort", this.#stop);
    if (stopping.aborted) this.#stop();
  }

  readonly #stop = () => this.#stopped.resolve();

  get isOver(): boolean {
    return this.#state === "over";
  }

  meet(lot: FaultPlan): void {
    this.isEnding ||= endOf(lot) !== undefined;
    this.#plans.set(lot.number, lot);
    this.#hold = find(lot.faults, "hold") ?? this.#hold;
    const deaf = find(lot.faults, "deaf");
    if (deaf === undefined || this.stopping.aborted) return;
    this.happens(deaf, lot);
    this.conversation?.pauseUntil(this.#stopped.promise);
  }

  happens({ asked }: Fault, { number }: FaultPlan): void {
    if (this.#state === "open") this.tell?.(asked, number);
  }

  read(into: Uint8Array): Promise<number | null> {
    return this.inner.read(into);
  }

  async write(bytes: Uint8Array, message?: number): Promise<number> {
    const lot = this.#plans.get(message ?? 0) ?? NO_FAULTS;
    this.#plans.delete(message ?? 0);
    if (this.#state === "open") await this.#deliver(bytes, lot);
    return bytes.length;
  }

  async beforeEnd(): Promise<void> {
    await (this.#holding ??= this.#holdBack());
  }

  closeWrite(): Promise<void> {
    return this.inner.closeWrite();
  }

  close(): void {
    this.#state = "over";
    this.stopping.removeEventListener("abort", this.#stop);
    this.sleeps.end();
    this.inner.close();
  }

  async #deliver(bytes: Uint8Array, lot: FaultPlan): Promise<void> {
    const end = endOf(lot);
    const sent = end === undefined ? bytes : bytes.subarray(0, end.bytes);
    if (sent.length > 0) await this.#pace(sent, lot);
    if (end?.name === "reset") await this.#sleep(Math.ceil(sent.length / PIECE) * BEFORE_RESET);
    if (end === undefined || this.#state !== "open") return;
    this.happens(end, lot);
    this.#state = end.name === "stall" ? "stalled" : "over";
    if (end.name === "cut") this.conversation?.end();
    else if (end.name === "reset") {
      this.inner.reset?.();
      this.conversation?.cut("done");
    }
  }

  async #pace(bytes: Uint8Array, lot: FaultPlan): Promise<void> {
    const slice = find(lot.faults, "slice");
    const rate = find(lot.faults, "rate");
    if (slice !== undefined) this.happens(slice, lot);
    if (rate !== undefined) this.happens(rate, lot);
    const each = rate === undefined ? bytes.length : Math.ceil(rate.bytes * TICK / 1000);
    const piece = slice?.bytes ?? each;
    for (let at = 0; at < bytes.length; at += piece) {
      const part = bytes.subarray(at, at + piece);
      if (slice !== undefined && at > 0) await this.#sleep(slice.pause);
      if (rate !== undefined) {
        const now = performance.now();
        this.#mayBeSentAt = Math.max(now, this.#mayBeSentAt) + part.length / rate.bytes * 1000;
        await this.#sleep(this.#mayBeSentAt - now);
      }
      if (this.#state === "over") return;
      for (let left = part; left.length > 0;) left = left.subarray(await this.inner.write(left));
    }
  }

  async #sleep(milliseconds: number): Promise<void> {
    this.isPacing = true;
    await this.sleeps.sleep(milliseconds);
    this.isPacing = false;
  }

  async #holdBack(): Promise<void> {
    if (this.stopping.aborted) return;
    if (this.#state === "stalled") {
      await Promise.race([this.sleeps.sleep(STALL), this.#stopped.promise]);
    } else if (this.#hold !== undefined) {
      this.tell?.(this.#hold.asked);
      await Promise.race([this.sleeps.sleep(this.#hold.pause), this.#stopped.promise]);
    }
  }
}

function endOf({ faults }: FaultPlan): Fault & { name: "cut" | "reset" | "stall" } | undefined {
  return faults.find((fault) =>
    fault.name === "cut" || fault.name === "reset" || fault.name === "stall"
  );
}
