/**
 * The parts of Deno that the library and the harness use, over `node:` modules. The build for npm
 * puts these exports in place of the names that they have here; no global is touched. The
 * connections are those of lib/net/node_socket.ts, the error classes those of ./errors.ts.
 */

import * as childProcess from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import net from "node:net";
import process from "node:process";
import { Readable, type Writable } from "node:stream";
import tls from "node:tls";
import { getSystemErrorName } from "node:util";
import { constants } from "node:os";
import { asDenoError } from "../net/node_errors.ts";
import { SocketConn, SocketListener } from "../net/node_socket.ts";
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
    new Promise<number>((resolve, reject) =>
      process.stderr.write(
        bytes,
        (error) => error ? reject(asDenoError(error)) : resolve(bytes.length),
      )
    ),
};
/** `RegExp.escape`, which Node has from version 24 on. */
const escape = (text: string) => text.replace(/[$()*+\-./?[\\\]^{|}]/g, "\\$&");

// --- files

function info(stats: fs.Stats) {
  return {
    isFile: stats.isFile(),
    isDirectory: stats.isDirectory(),
    isSocket: stats.isSocket(),
    dev: stats.dev,
    ino: stats.ino,
  };
}

const stat = mappedAsync(async (path: string) => info(await fs.promises.stat(path)));
const lstat = mappedAsync(async (path: string) => info(await fs.promises.lstat(path)));
const lstatSync = mapped((path: string) => info(fs.lstatSync(path)));
const linkSync = mapped(fs.linkSync);
const renameSync = mapped(fs.renameSync);
const removeSync = mapped(fs.unlinkSync);
const readTextFile = mappedAsync((path: string | URL) => fs.promises.readFile(path, "utf8"));
/** Opens a folder, to lock it: that Node can't do, so the caller goes without. */
const open = mappedAsync(async (path: string) => {
  await fs.promises.access(path);
  return {
    lock: () => Promise.reject(new Error("Node can't lock a folder")),
    [Symbol.dispose]() {},
  };
});

// --- sockets

interface Place {
  transport?: "tcp" | "unix";
  hostname?: string;
  port?: number;
  path?: string;
}

/** Binds a socket at once, which net.Server does later; so a failure is thrown, and the port known. */
const createHandle = (net as unknown as {
  _createServerHandle(address: string, port: number, family: number): Handle | number;
})._createServerHandle;

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
  const own: { address?: string; port?: number } = {};
  const failed = handle.getsockname(own); // also where the port is taken
  if (failed) {
    handle.close();
    throw systemError(failed, `${hostname}:${port}`);
  }
  server.listen(handle, tcpBacklog);
  return new SocketListener(server, {
    transport: "tcp",
    hostname: own.address ?? hostname,
    port: own.port ?? port,
  });
}

function bind(address: string, port: number, family: number): Handle {
  const handle = createHandle(address, port, family);
  if (typeof handle === "number") throw systemError(handle, address);
  return handle;
}

function systemError(errno: number, where: string): unknown {
  const code = getSystemErrorName(errno);
  return asDenoError(Object.assign(new Error(`${code}: ${where}`), { code }));
}

/** Only tells whether that is a certificate and its key: see lib/net/tls_listener.ts. */
const listenTls = mapped(({ cert, key }: { cert: string; key: string }) => {
  tls.createSecureContext({ cert, key });
  return { close() {} };
});

async function connect(
  { hostname = "127.0.0.1", port = 0, path, signal }: Place & { signal?: AbortSignal },
): Promise<SocketConn> {
  const socket = path === undefined
    ? net.connect({ host: hostname, port, allowHalfOpen: true })
    : net.connect({ path, allowHalfOpen: true });
  await happens(socket, "connect", signal);
  return new SocketConn(socket, path === undefined ? undefined : { transport: "unix", path: "" });
}

/** Waits for an event of a socket that is being connected; if that fails, destroys the socket. */
async function happens(socket: net.Socket, event: string, signal?: AbortSignal): Promise<void> {
  const closed = new AbortController();
  socket.once("close", () => closed.abort(new errors.Interrupted("the connection was closed")));
  const stop = AbortSignal.any(signal ? [closed.signal, signal] : [closed.signal]);
  try {
    await once(socket, event, { signal: stop });
  } catch (error) {
    socket.on("error", () => {}).destroy();
    if (error instanceof Error && error.name === "AbortError") throw stop.reason;
    throw asDenoError(error instanceof AggregateError ? error.errors[0] : error);
  }
}

/** A TLS client's connection. Its handshake has begun. */
class TlsConn extends SocketConn {
  readonly #handshake;

  constructor(socket: tls.TLSSocket) {
    super(socket);
    this.#handshake = happens(socket, "secureConnect");
    this.#handshake.catch(() => {}); // handshake() reports it
  }

  /** Waits until the handshake is done, and the server's name verified. */
  handshake(): Promise<void> {
    return this.#handshake;
  }
}

interface Trust {
  hostname: string;
  caCerts: string[];
  cert?: string;
  key?: string;
}

function tlsOptions({ hostname, caCerts, cert, key }: Trust): tls.ConnectionOptions {
  return {
    ...cert === undefined ? {} : { cert, key },
    ...net.isIP(hostname) ? {} : { servername: hostname },
    ...caCerts.length === 0 ? {} : { ca: [...tls.rootCertificates, ...caCerts] },
  };
}

async function connectTls(options: Trust & { port: number }): Promise<TlsConn> {
  const { hostname, port } = options;
  const socket = net.connect({ host: hostname, port, allowHalfOpen: true });
  await happens(socket, "connect");
  return layTls(socket, options);
}

// deno-lint-ignore require-await -- Deno's is async
async function startTls(conn: SocketConn, options: Trust): Promise<TlsConn> {
  return layTls(conn.socket, options);
}

function layTls(socket: net.Socket, options: Trust): TlsConn {
  return new TlsConn(
    tls.connect({ ...tlsOptions(options), host: options.hostname, socket }),
  );
}

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

class Command {
  constructor(readonly command: string, readonly options: CommandOptions = {}) {}

  spawn(): ChildProcess {
    const child = childProcess.spawn(this.command, this.options.args ?? [], this.#how("inherit"));
    child.on("error", () => {}); // thrown below, with its reason
    if (child.pid === undefined) throw this.#failure();
    return new ChildProcess(child);
  }

  async output(): Promise<Output> {
    const child = new Command(this.command, {
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...this.options,
    }).spawn();
    const [status, stdout, stderr] = await Promise.all([
      child.status,
      bytesOf(child.stdout),
      bytesOf(child.stderr),
    ]);
    return { ...status, stdout, stderr };
  }

  outputSync(): Output {
    const { status, signal, stdout, stderr, error } = childProcess.spawnSync(
      this.command,
      this.options.args ?? [],
      this.#how("piped"),
    );
    if (error) throw asDenoError(error);
    return { ...statusOf(status, signal), stdout, stderr };
  }

  #how(usual: Stdio): childProcess.SpawnOptions {
    const { cwd, env, clearEnv, detached, stdin = usual, stdout = usual, stderr = usual } =
      this.options;
    const names = { piped: "pipe", inherit: "inherit", null: "ignore" } as const;
    return {
      ...cwd === undefined ? {} : { cwd },
      env: clearEnv ? { ...env } : { ...process.env, ...env },
      detached: detached ?? false,
      stdio: [names[stdin], names[stdout], names[stderr]],
    };
  }

  /** Why the system started nothing: Node says so only later. */
  #failure(): Error {
    const { cwd } = this.options;
    if (cwd !== undefined && !fs.existsSync(cwd)) {
      return new errors.NotFound(`no such folder: ${cwd}`);
    }
    const folders = this.command.includes("/")
      ? [""]
      : (process.env["PATH"] ?? "").split(":").map((folder) => `${folder}/`);
    const isThere = folders.some((folder) => fs.existsSync(folder + this.command));
    return isThere
      ? new errors.PermissionDenied(`cannot execute ${this.command}`)
      : new errors.NotFound(`no such program: ${this.command}`);
  }
}

interface Status {
  success: boolean;
  code: number;
  signal: string | null;
}

type Output = Status & { stdout: Uint8Array; stderr: Uint8Array };

function statusOf(code: number | null, signal: NodeJS.Signals | null): Status {
  return {
    success: code === 0,
    code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]),
    signal,
  };
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

class ChildProcess {
  readonly pid: number;
  readonly status: Promise<Status>;
  readonly #child: childProcess.ChildProcess;
  readonly stdin: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;

  constructor(child: childProcess.ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.stdin = child.stdin === null ? new WritableStream() : writable(child.stdin);
    this.stdout = readable(child.stdout);
    this.stderr = readable(child.stderr);
    this.status = new Promise((resolve) =>
      child.once("exit", (code, signal) => resolve(statusOf(code, signal)))
    );
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    if (!this.#child.kill(signal)) throw new TypeError("the program has ended");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.status;
  }
}

/** A write settles once the system has taken the bytes; Node's own `toWeb` settles before. */
function writable(stream: Writable): WritableStream<Uint8Array> {
  stream.on("error", () => {}); // the write reports it
  const settled = (start: (done: (error?: Error | null) => void) => void) =>
    new Promise<void>((resolve, reject) =>
      start((error) => error ? reject(asDenoError(error)) : resolve())
    );
  return new WritableStream({
    write: (bytes) => settled((done) => stream.write(bytes, done)),
    close: () => settled((done) => stream.end(done)),
    abort: () => void stream.destroy(),
  });
}

function readable(stream: Readable | null): ReadableStream<Uint8Array> {
  return Readable.toWeb(stream ?? Readable.from([])) as unknown as ReadableStream<Uint8Array>;
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
