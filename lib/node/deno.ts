/**
 * The parts of Deno that the library and the harness use, over `node:` modules. The build for npm
 * puts these exports in place of the names that they have here; no global is touched. The
 * connections are those of lib/net/node_socket.ts, the error classes those of ./errors.ts.
 */

import * as childProcess from "node:child_process";
import * as fs from "node:fs";
import net from "node:net";
import process from "node:process";
import path from "node:path";
import { Readable, type Writable } from "node:stream";
import tls from "node:tls";
import { getSystemErrorMap } from "node:util";
import { constants } from "node:os";
import {
  asDenoError,
  connectSocket,
  happens,
  SocketConn,
  SocketListener,
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

/** Likewise for a promise. */
function mappedAsync<A extends unknown[], R>(
  call: (...args: A) => Promise<R>,
): (...args: A) => Promise<R> {
  return (...args) => call(...args).catch((error) => Promise.reject(asDenoError(error)));
}

/** Waits for a callback. */
function settled(start: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) =>
    start((error) => error ? reject(asDenoError(error)) : resolve())
  );
}

// --- the system

const build = { os: process.platform === "win32" ? "windows" : process.platform };
/** The Deno whose behaviour this is. */
const version = { deno: "2.9.6" };
const env = { get: (name: string) => process.env[name] };
/** Node asks for no permission. */
const permissions = { querySync: () => ({ state: "granted" }) };
const addSignalListener = (signal: NodeJS.Signals, listener: () => void) =>
  void process.on(signal, listener);
const removeSignalListener = (signal: NodeJS.Signals, listener: () => void) =>
  void process.off(signal, listener);
const stderr = {
  write: (bytes: Uint8Array) =>
    settled((done) => process.stderr.write(bytes, done)).then(() => bytes.length),
};
/** `RegExp.escape`, which Node has from version 24 on. */
const escape = (text: string) => text.replace(/[$()*+\-./?[\\\]^{|}]/g, "\\$&");

// --- files

const info = (stats: fs.Stats) => ({ ...stats, isSocket: stats.isSocket() });
const stat = mappedAsync(async (path: string) => info(await fs.promises.stat(path)));
const lstat = mappedAsync(async (path: string) => info(await fs.promises.lstat(path)));
const lstatSync = mapped((path: string) => info(fs.lstatSync(path)));
const linkSync = mapped(fs.linkSync);
const renameSync = mapped(fs.renameSync);
const removeSync = mapped(fs.unlinkSync);
const readTextFile = mappedAsync((path: string | URL) => fs.promises.readFile(path, "utf8"));
/** Opens a folder. Node has no locks, so the caller goes without. */
const open = mappedAsync(async (path: string) => {
  await fs.promises.access(path);
  return {
    lock: () => Promise.reject(new Error("Node has no locks")),
    [Symbol.dispose]() {},
  };
});

// --- sockets

interface Place {
  hostname?: string;
  port?: number;
  path?: string;
}

/**
 * Binds a socket at once, where a `net.Server` does so later: so that a failure is thrown, and the
 * port known. Undocumented, and in every Node since 0.11; it returns a negative errno on failure.
 */
const { _createServerHandle: createHandle } = net as unknown as {
  _createServerHandle(address: string, port: number, family: number): Handle | number;
};

interface Handle {
  getsockname(into: { address?: string; port?: number }): number;
  close(): void;
}

function listen(
  { hostname = "0.0.0.0", port = 0, path, tcpBacklog = 511 }: Place & { tcpBacklog?: number },
): SocketListener {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  if (path !== undefined) {
    bind(path, -1, -1).close(); // finds out whether that works
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

function connect(
  { hostname = "127.0.0.1", port = 0, path, signal }: Place & { signal?: AbortSignal },
): Promise<SocketConn> {
  return connectSocket(path === undefined ? { host: hostname, port } : { path }, signal);
}

interface TlsOptions {
  hostname: string;
  caCerts: string[];
  cert?: string;
  key?: string;
}

/** A TLS client's connection. Its handshake has begun. */
class TlsConn extends SocketConn {
  readonly #handshake;

  constructor(socket: net.Socket, { hostname, caCerts, cert, key }: TlsOptions) {
    const secured = tls.connect({
      socket,
      host: hostname, // whose name is verified
      ...net.isIP(hostname) ? {} : { servername: hostname },
      ...caCerts.length === 0 ? {} : { ca: [...tls.rootCertificates, ...caCerts] },
      ...cert === undefined ? {} : { cert, key },
    });
    super(secured);
    this.#handshake = happens(secured, "secureConnect", () => {});
    this.#handshake.catch(() => {}); // handshake() reports it
  }

  /** Waits until the handshake is done, and the server's name verified. */
  handshake(): Promise<void> {
    return this.#handshake;
  }
}

async function connectTls(options: TlsOptions & { port: number }): Promise<TlsConn> {
  const { socket } = await connect(options);
  return new TlsConn(socket, options);
}

const startTls = (conn: SocketConn, options: TlsOptions) =>
  Promise.resolve(new TlsConn(conn.socket, options));

// --- programs

type Stdio = "piped" | "inherit" | "null";

interface CommandOptions {
  args?: string[];
  cwd?: string | URL;
  env?: Record<string, string>;
  clearEnv?: boolean;
  detached?: boolean;
  stdin?: Stdio;
  stdout?: Stdio;
  stderr?: Stdio;
}

interface Status {
  success: boolean;
  code: number;
  signal: string | null;
}

class Command {
  constructor(readonly command: string, readonly options: CommandOptions = {}) {}

  spawn() {
    const child = childProcess.spawn(this.command, this.options.args ?? [], this.#how("inherit"));
    child.on("error", () => {}); // thrown here, with its reason
    if (child.pid === undefined) throw this.#failure();
    const status = new Promise<Status>((resolve) =>
      child.once("exit", (code, signal) => resolve(statusOf(code, signal)))
    );
    return {
      pid: child.pid,
      status,
      stdin: child.stdin && writable(child.stdin),
      stdout: child.stdout && Readable.toWeb(child.stdout),
      stderr: child.stderr && Readable.toWeb(child.stderr),
      kill(signal: NodeJS.Signals = "SIGTERM"): void {
        if (!child.kill(signal)) throw new TypeError("the program has ended");
      },
    };
  }

  outputSync() {
    const args = this.options.args ?? [];
    const done = childProcess.spawnSync(this.command, args, this.#how("piped"));
    if (done.error) throw asDenoError(done.error);
    return { ...statusOf(done.status, done.signal), stdout: done.stdout, stderr: done.stderr };
  }

  #how(usual: Stdio): childProcess.SpawnOptions {
    const { cwd, env, clearEnv, detached = false, stdin, stdout, stderr } = this.options;
    const names = { piped: "pipe", inherit: "inherit", null: "ignore" } as const;
    return {
      ...cwd === undefined ? {} : { cwd },
      env: clearEnv ? { ...env } : { ...process.env, ...env },
      detached,
      stdio: [stdin, stdout, stderr].map((stream) => names[stream ?? usual]),
    };
  }

  /** Returns why the system started nothing, which Node tells only later. */
  #failure(): Error {
    const { command, options: { cwd } } = this;
    if (cwd !== undefined && !fs.existsSync(cwd)) {
      return new errors.NotFound(`no such folder: ${cwd}`);
    }
    const folders = command.includes("/") ? [""] : process.env["PATH"]?.split(":") ?? [];
    return folders.some((folder) => fs.existsSync(path.join(folder, command)))
      ? new errors.PermissionDenied(`cannot execute ${command}`)
      : new errors.NotFound(`no such program: ${command}`);
  }
}

/** A signal's code is 128 and its number, as a shell's. */
function statusOf(code: number | null, signal: NodeJS.Signals | null): Status {
  const number = signal === null ? 0 : constants.signals[signal];
  return { success: code === 0, code: code ?? 128 + number, signal };
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

export {
  addSignalListener as "Deno.addSignalListener",
  build as "Deno.build",
  Command as "Deno.Command",
  connect as "Deno.connect",
  connectTls as "Deno.connectTls",
  env as "Deno.env",
  escape as "RegExp.escape",
  linkSync as "Deno.linkSync",
  listen as "Deno.listen",
  listenTls as "Deno.listenTls",
  lstat as "Deno.lstat",
  lstatSync as "Deno.lstatSync",
  open as "Deno.open",
  permissions as "Deno.permissions",
  readTextFile as "Deno.readTextFile",
  removeSignalListener as "Deno.removeSignalListener",
  removeSync as "Deno.removeSync",
  renameSync as "Deno.renameSync",
  startTls as "Deno.startTls",
  stat as "Deno.stat",
  stderr as "Deno.stderr",
  version as "Deno.version",
};
