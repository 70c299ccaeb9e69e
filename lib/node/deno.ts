/**
 * The parts of Deno that the library and the harness use, over `node:` modules. The build for npm
 * puts these exports in place of the names that they have here; no global is touched. The
 * connections are those of lib/net/node_socket.ts, the error classes those of ./errors.ts.
 */

import * as childProcess from "node:child_process";
import * as fs from "node:fs";
import net from "node:net";
import { constants } from "node:os";
import process from "node:process";
import { Readable, type Writable } from "node:stream";
import tls from "node:tls";
import { getSystemErrorMap } from "node:util";
import type { Endpoint } from "../net/address.ts";
import {
  asDenoError,
  connectSocket,
  SocketConn,
  SocketListener,
  untilEvent,
} from "../net/node_socket.ts";
import { errors } from "./errors.ts";

if (!("withResolvers" in Promise)) {
  throw new Error(`readback runs on Node 22 or newer, and this is Node ${process.versions.node}`);
}

/** Calls a function; throws Node's errors as Deno's. */
function mapped<A extends unknown[], R>(call: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    try {
      return call(...args);
    } catch (error) {
      throw asDenoError(error);
    }
  };
}

/** Waits for a callback. */
function settled(start: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((done, fail) => start((error) => error ? fail(error) : done()));
}

// --- the system

const build = { os: process.platform === "win32" ? "windows" : process.platform };
/** The Deno whose behaviour this is. */
const version = { deno: "2.9.6" };
const env = { get: (name: string) => process.env[name] };
/** Node asks for no permission. */
const permissions = { querySync: () => ({ state: "granted" }) };
const on = process.on.bind(process);
const off = process.off.bind(process);
const stderr = {
  write: (bytes: Uint8Array) =>
    settled((done) => process.stderr.write(bytes, done)).then(() => bytes.length),
};
/** `RegExp.escape`, which Node has from version 24 on. */
const escape = (text: string) => text.replace(/[$()*+\-./?[\\\]^{|}]/g, "\\$&");

export { off as "Deno.removeSignalListener", on as "Deno.addSignalListener" };
export { build as "Deno.build", env as "Deno.env", version as "Deno.version" };
export { escape as "RegExp.escape", permissions as "Deno.permissions", stderr as "Deno.stderr" };

// --- files

const info = (stats: fs.Stats) => ({ ...stats, isSocket: stats.isSocket() });
const stat = (path: string) => fs.promises.stat(path).then(info);
const lstat = (path: string) => fs.promises.lstat(path).then(info);
const lstatSync = (path: string) => info(fs.lstatSync(path));
const linkSync = mapped(fs.linkSync);
const removeSync = mapped(fs.unlinkSync);
/** Opens a folder. Node has no locks, so `lock` does nothing. */
const open = mapped((path: string) => {
  fs.accessSync(path);
  return { lock: () => Promise.resolve(), [Symbol.dispose]() {} };
});

export { linkSync as "Deno.linkSync", lstat as "Deno.lstat", lstatSync as "Deno.lstatSync" };
export { open as "Deno.open", removeSync as "Deno.removeSync", stat as "Deno.stat" };

// --- sockets

/**
 * Binds a socket at once, where a `net.Server` does so later: so that a failure is thrown, and the
 * port known. Undocumented, and in every Node since 0.11; it returns a negative errno on failure.
 */
const { _createServerHandle: createHandle } = net as unknown as {
  _createServerHandle(address: string, port: number, family: number): Handle | number;
};

type Handle = { getsockname(own: { address: string; port: number }): number; close(): void };

function listen(options: Partial<Deno.TcpListenOptions & Deno.UnixListenOptions>): SocketListener {
  const { hostname = "0.0.0.0", port = 0, path, tcpBacklog = 511 } = options;
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  if (path !== undefined) {
    // Finds out whether that works. A server that listens on the handle itself leaves its file.
    bind(path, -1, -1).close();
    server.listen({ path, backlog: tcpBacklog });
    return new SocketListener(server, { transport: "unix", path });
  }
  const family = net.isIP(hostname);
  if (family === 0) {
    throw new TypeError(
      `in Node, a server listens at once only on an address, and ${hostname} is a name: ` +
        "use listeners: await listen({ hostname })",
    );
  }
  const handle = bind(hostname, port, family);
  const own = { address: hostname, port };
  const errno = handle.getsockname(own); // an error where the port is taken
  if (errno < 0) {
    handle.close();
    throw systemError(errno, `${hostname}:${port}`);
  }
  server.listen(handle, tcpBacklog);
  return new SocketListener(server, { transport: "tcp", hostname: own.address, port: own.port });
}

function bind(address: string, port: number, family: number): Handle {
  const handle = createHandle(address, port, family);
  if (typeof handle === "number") throw systemError(handle, address);
  return handle;
}

function systemError(errno: number, where: string): unknown {
  const [code, why] = getSystemErrorMap().get(errno) ?? [String(errno), "unknown error"];
  return asDenoError(Object.assign(new Error(`${why}: ${where}`), { code }));
}

/** Checks only the certificate and its key: lib/net/tls_listener.ts listens. */
const listenTls = mapped(({ cert, key }: { cert: string; key: string }) => {
  tls.createSecureContext({ cert, key });
  return { close() {} };
});

const connect = (options: Endpoint & { signal?: AbortSignal }) =>
  connectSocket(options, options.signal);

type TlsOptions = Deno.StartTlsOptions & Partial<Deno.TlsCertifiedKeyPem>;

/** Begins a TLS client's handshake. */
function secure({ socket }: SocketConn, options: TlsOptions) {
  const { hostname = "127.0.0.1", caCerts = [], cert, key } = options;
  const secured = tls.connect({
    socket,
    host: hostname, // its name is verified
    cert,
    key,
    servername: net.isIP(hostname) ? undefined : hostname,
    ca: caCerts.length === 0 ? undefined : [...tls.rootCertificates, ...caCerts],
  });
  const handshake = untilEvent(secured, "secureConnect", () => {});
  handshake.catch(() => {}); // handshake() reports it
  return Object.assign(new SocketConn(secured), { handshake: () => handshake });
}

const connectTls = async (options: TlsOptions) => secure(await connect(options), options);
const startTls = (conn: SocketConn, options: TlsOptions) => Promise.resolve(secure(conn, options));

export { connect as "Deno.connect", connectTls as "Deno.connectTls", startTls as "Deno.startTls" };
export { listen as "Deno.listen", listenTls as "Deno.listenTls" };

// --- programs

/** A program whose streams are pipes. */
class Command {
  readonly #args;
  readonly #how;

  constructor(readonly command: string, options: Deno.CommandOptions = {}) {
    const { args = [], cwd, env, clearEnv = false } = options;
    this.#args = args;
    this.#how = { cwd, env: clearEnv ? { ...env } : { ...process.env, ...env } };
  }

  spawn() {
    const child = childProcess.spawn(this.command, this.#args, this.#how);
    child.on("error", () => {}); // thrown here, with its reason
    if (child.pid === undefined) throw this.#failure();
    const { promise: status, resolve } = Promise.withResolvers<{ code: number }>();
    child.once("exit", (code, signal) => { // a signal's code is 128 and its number, as a shell's
      resolve({ code: code ?? 128 + constants.signals[signal as NodeJS.Signals] });
    });
    return {
      pid: child.pid,
      status,
      stdin: writable(child.stdin),
      stdout: Readable.toWeb(child.stdout),
      stderr: Readable.toWeb(child.stderr),
      kill(signal?: NodeJS.Signals): void {
        if (!child.kill(signal)) throw new TypeError("the program has ended");
      },
    };
  }

  outputSync() {
    return childProcess.spawnSync(this.command, this.#args, this.#how);
  }

  /** Returns why the system started nothing, which Node tells only later: it starts nothing again. */
  #failure(): Error {
    const { command } = this;
    const { cwd } = this.#how;
    const { error } = childProcess.spawnSync(command, this.#args, this.#how);
    const isThere = (error as NodeJS.ErrnoException | undefined)?.code !== "ENOENT";
    if (isThere) return new errors.PermissionDenied(`cannot execute ${command}`);
    const isHere = cwd === undefined || fs.existsSync(cwd);
    return new errors.NotFound(isHere ? `no such program: ${command}` : `no such folder: ${cwd}`);
  }
}

/** A write settles once the system has taken the bytes; Node's own `toWeb` settles before. */
function writable(stream: Writable): WritableStream<Uint8Array> {
  stream.on("error", () => {}); // the write reports it
  return new WritableStream({
    write: (bytes) => settled((done) => stream.write(bytes, done)),
    close: () => settled((done) => stream.end(done)),
    abort: () => void stream.destroy(),
  });
}

export { Command as "Deno.Command" };
