/** Temporary folders. */

/** Calls a function with a new folder, which is removed once the function is done. */
export async function inFolder(does: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "readback-" });
  try {
    await does(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
