/** A Unix socket's file: to have it for one's own, and to remove it at the end only if it still is. */

import type { UnixAddr } from "./addr.ts";
import type { Listener } from "./listener.ts";
import { isPending } from "../wait.ts";

/** The longest path of a socket, in bytes. */
const LONGEST_PATH = 107;
/** What is wrong with a longer one. */
export const TOO_LONG = `a socket's path has at most ${LONGEST_PATH} bytes`;
/** How long others may take to have a socket's file, in ms; who stops half-way is not waited for. */
const PATIENCE = 2000;

/**
 * Listens at a path where there is nothing.
 * @throws {Error} as Deno.listen does
 */
export function listenAtPath(path: string): Listener {
  return listenThenMove(path, (own) => {
    try {
      Deno.linkSync(own, path); // unlike a rename it replaces nothing
    } catch (error) {
      const isTaken = error instanceof Deno.errors.AlreadyExists;
      throw isTaken ? new Deno.errors.AddrInUse(`${path} is there`) : error;
    }
    Deno.removeSync(own);
  });
}

/**
 * Listens at a path; the file that a killed server left is replaced, a live server's is not. Of
 * several servers that do so at once, one listens, and the others find it alive.
 * @throws {Error} as Deno.listen does; also where there is a file that is no socket
 */
export async function takePath(path: string): Promise<Listener> {
  // Whether nobody listens must be true still when the file is replaced. The system lets go of
  // the lock when its holder dies; where a folder can't be locked, this goes without.
  using folder = await Deno.open(folderOf(path));
  await isPending(folder.lock(true), PATIENCE);
  if (!await isFree(path)) throw new Deno.errors.AddrInUse(`somebody listens at ${path}`);
  return listenThenMove(path, (own) => Deno.renameSync(own, path));
}

/** Whether nobody listens at a path. */
async function isFree(path: string): Promise<boolean> {
  const { NotFound, ConnectionRefused } = Deno.errors;
  try {
    if (!(await Deno.lstat(path)).isSocket) throw new Error("there is a file that is no socket");
  } catch (error) {
    if (error instanceof NotFound) return true;
    throw error;
  }
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return false;
  } catch (error) { // any other one is of somebody who is there
    return error instanceof NotFound || error instanceof ConnectionRefused;
  }
}

/**
 * When the runtime closes a listener, it unlinks the path that was bound, whoever's the file is by
 * then. So what is bound is a name that nobody else has, and the file is moved to its place.
 */
function listenThenMove(path: string, move: (own: string) => void): Listener {
  const folder = folderOf(path);
  const room = LONGEST_PATH - lengthOf(folder);
  if (lengthOf(path) > LONGEST_PATH) throw new Error(TOO_LONG);
  const name = `.${crypto.randomUUID()}`.slice(0, Math.min(Math.max(room, 2), 9));
  const listener = Deno.listen({ transport: "unix", path: `${folder}${name}` });
  try {
    move(`${folder}${name}`);
    return new UnixListener(listener, path);
  } catch (error) {
    listener.close();
    throw error;
  }
}

/** Is known by the path where its file is, and removes that when it is closed, if it still is its own. */
class UnixListener implements Listener {
  readonly addr: UnixAddr;
  readonly #listener: Deno.UnixListener;
  #file: Deno.FileInfo | undefined; // as long as it is open: then another file may get its number

  constructor(listener: Deno.UnixListener, path: string) {
    this.addr = { transport: "unix", path };
    this.#listener = listener;
    this.#file = Deno.lstatSync(path);
  }

  async accept(): Promise<Deno.UnixConn> {
    const conn = await this.#listener.accept();
    // The runtime gives the name that was bound, and null for the client's.
    return Object.defineProperties(conn, {
      localAddr: { value: this.addr },
      remoteAddr: { value: { transport: "unix", path: "" } },
    });
  }

  close(): void {
    this.#remove(this.addr.path);
    this.#file = undefined;
    this.#listener.close();
  }

  #remove(path: string): void {
    try {
      const { dev, ino } = Deno.lstatSync(path);
      if (dev === this.#file?.dev && ino === this.#file.ino) Deno.removeSync(path);
    } catch {
      // It is gone, or the right to remove it is: then the next server replaces it.
    }
  }
}

function lengthOf(path: string): number {
  return new TextEncoder().encode(path).length;
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1) || "./";
}
