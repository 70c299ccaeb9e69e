/** Claims a Unix socket's path, and removes the file on close only if it is still ours. */

import { close, type Listener, wrapListener } from "./conn.ts";
import { isPending } from "../wait.ts";

/** The most bytes of a socket's path. */
const LONGEST_PATH = 107;
export const PATH_TOO_LONG: string = `a socket's path has at most ${LONGEST_PATH} bytes`;
/** Milliseconds to wait for another server that is claiming the path: it may be suspended. */
const LOCK_TIMEOUT = 2000;

/**
 * Listens on a path where there is no file. Binds a unique name, then moves the file to its path. On
 * close, the runtime unlinks the name that was bound, even if the file there is now another server's.
 * @throws {Error} as Deno.listen does
 */
export function listenAtPath(path: string): Listener {
  const folder = folderOf(path);
  const lengthOf = (text: string) => new TextEncoder().encode(text).length;
  const room = LONGEST_PATH - lengthOf(folder);
  if (lengthOf(path) > LONGEST_PATH) throw new Error(PATH_TOO_LONG);
  const own = folder + `.${crypto.randomUUID()}`.slice(0, Math.min(Math.max(room, 2), 9));
  const listener = Deno.listen({ transport: "unix", path: own });
  try {
    Deno.linkSync(own, path); // unlike a rename, replaces nothing
    Deno.removeSync(own);
    return movedTo(path, listener);
  } catch (error) {
    listener.close();
    const isTaken = error instanceof Deno.errors.AlreadyExists;
    throw isTaken ? new Deno.errors.AddrInUse(`${path} exists`) : error;
  }
}

/**
 * Listens on a path. Replaces the file of a server that was killed, not that of a running one. Of
 * several servers that do so at once, one listens, and the others fail.
 * @throws {Error} as Deno.listen does, and if a file that is not a socket is there
 */
export async function takePath(path: string): Promise<Listener> {
  // The lock keeps the path free from the check until the file is replaced. The system releases it
  // if its holder dies. A folder that can't be locked is used without.
  using folder = await Deno.open(folderOf(path));
  await isPending(folder.lock(true), LOCK_TIMEOUT);
  const file = await Deno.lstat(path).catch(() => undefined);
  if (file?.isSocket === false) throw new Error("a file that is not a socket is there");
  const failure = await Deno.connect({ transport: "unix", path }).then(close, (error) => error);
  // The server was killed. Any other error but NotFound means that one is there: then the file stays.
  if (failure instanceof Deno.errors.ConnectionRefused) Deno.removeSync(path);
  return listenAtPath(path);
}

/** Returns a listener whose address is the path that its file was moved to. */
function movedTo(path: string, listener: Deno.UnixListener): Listener {
  const addr = { transport: "unix", path } as const;
  const { dev, ino } = Deno.lstatSync(path);
  // The runtime gives the name that was bound, and null for the client's. Each client gets its own
  // object, which distinguishes it from others.
  const ends = () => ({ localAddr: { value: addr }, remoteAddr: { value: { ...addr, path: "" } } });
  return {
    ...wrapListener(listener, (conn) => Object.defineProperties(conn, ends())),
    addr,
    close() {
      listener.close(); // throws if it was closed before: another file may have the same number now
      try {
        const file = Deno.lstatSync(path);
        if (dev === file.dev && ino === file.ino) Deno.removeSync(path);
      } catch {
        // It is gone, or can't be removed: the next server replaces it.
      }
    },
  };
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1) || "./";
}
