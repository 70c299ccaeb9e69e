/** UDP sockets of a test's own, and a relay between a client and a server that does as it is told. */

import { createSocket, type Socket } from "node:dgram";
import { latin1, text } from "../../lib/testing/wire.ts";

/** What no wait for a datagram should take, in ms: only a failure does. */
const PATIENCE = 20_000;

/** A datagram that came; a character a byte. */
export interface Datagram {
  readonly data: string;
  readonly address: string;
  readonly port: number;
}

/** A socket. */
export class Udp implements AsyncDisposable {
  readonly #came: Datagram[] = [];
  #wake = Promise.withResolvers<void>();

  private constructor(readonly socket: Socket) {
    socket.on("message", (bytes, { address, port }) => {
      this.#came.push({ data: text(new Uint8Array(bytes)), address, port });
      this.#wake.resolve();
    });
  }

  /** Opens one on a free port. */
  static async open(address = "127.0.0.1"): Promise<Udp> {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    await new Promise<void>((done) => socket.bind(0, address, done));
    return new Udp(socket);
  }

  /** Where it is. */
  get port(): number {
    return this.socket.address().port;
  }

  /** Sends a datagram; a character a byte. */
  async send(data: string, port: number, address = this.socket.address().address): Promise<void> {
    await new Promise<void>((done, fail) =>
      this.socket.send(latin1(data), port, address, (error) => error ? fail(error) : done())
    );
  }

  /** The next that comes. */
  async next(): Promise<Datagram> {
    let late: ReturnType<typeof setTimeout> | undefined;
    for (;;) {
      const datagram = this.#came.shift();
      if (datagram !== undefined) return datagram;
      this.#wake = Promise.withResolvers();
      late = setTimeout(() => this.#wake.reject(new Error("no datagram came")), PATIENCE);
      await this.#wake.promise.finally(() => clearTimeout(late));
    }
  }

  /** Sends a datagram; gives the next that comes. */
  async ask(data: string, port: number, address?: string): Promise<string> {
    await this.send(data, port, address);
    return (await this.next()).data;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((done) => this.socket.close(done));
  }
}

/** What a relay does: replies may be sent now, later, twice or never. */
export interface Ways {
  /** A message passed; its number from 1. */
  message?(seq: number): void;
  /** A reply came; its number from 1. Without: it is sent on. */
  reply?(seq: number, send: () => void): void;
}

/** Stands between a client and a server; `port` is where the client finds it. */
export class Relay implements AsyncDisposable {
  /** Messages that came, in order. */
  readonly messages: string[] = [];
  /** The client's port, once it has said something. */
  client = 0;
  #replies = 0;

  private constructor(readonly front: Socket, readonly back: Socket, server: number, ways: Ways) {
    front.on("message", (bytes, { port }) => {
      this.client = port;
      this.messages.push(text(new Uint8Array(bytes)));
      ways.message?.(this.messages.length);
      back.send(bytes, server, "127.0.0.1");
    });
    back.on("message", (bytes) => {
      const send = () => front.send(bytes, this.client, "127.0.0.1");
      const seq = ++this.#replies;
      if (ways.reply) ways.reply(seq, send);
      else send();
    });
  }

  /** Opens one before a server's port. */
  static async open(server: number, ways: Ways): Promise<Relay> {
    const [front, back] = [await Udp.open(), await Udp.open()];
    front.socket.removeAllListeners("message");
    back.socket.removeAllListeners("message");
    return new Relay(front.socket, back.socket, server, ways);
  }

  /** Where the client finds it. */
  get port(): number {
    return this.front.address().port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of [this.front, this.back]) {
      await new Promise<void>((done) => socket.close(done));
    }
  }
}
