/** The commands that run readback's two programs, in Node: those of the package itself. */

import process from "node:process";
import { fileURLToPath } from "node:url";

/** Returns the command that runs one of the two. */
export function program(name: "server" | "client"): string[] {
  const file = name === "server" ? "readback-server.mjs" : "readback.mjs";
  return [process.execPath, fileURLToPath(import.meta.resolve(`readback/${file}`))];
}
